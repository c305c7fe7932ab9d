package message

import (
	"strings"
	"testing"
	"time"
)

func TestDecodeWords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain": "plain", "": "", "=?utf-8?q?Gr=C3=BC=C3=9Fe?=": "Grüße", "=?UTF-8?B?R3LDvMOfZQ==?=": "Grüße", "=?utf-8?b?R3LDvMOfZQ?=": "Grüße",
		"=?iso-8859-1?q?a?= =?iso-8859-1?q?b?=": "ab", "=?utf-8?q?a?= b =?utf-8?q?c?=": "a b c",
		"=?utf-8?q?=C3?= =?utf-8?q?=BC?=":            "ü",
		"=?x-nothing?q?abc?=":                        "abc",
		"=?utf-8?q?a=ZZb=4?=":                        "a=ZZb=4",
		"=?utf-8?q?not finished":                     "=?utf-8?q?not finished",
		"=?utf-8?x?abc?=":                            "=?utf-8?x?abc?=",
		"=?gb2312?b?xOO6ww==?=":                      "你好",
		"=?gb2312?b?" + "gTCBMA==" + "?=":            "\u0080\u0080"[:0], // gb18030 code points that are controls are dropped
		"=?ks_c_5601-1987?b?vsiz58fPvLy/5A==?=":      "안녕하세요",
		"=?iso-2022-jp?b?GyRCJDMkcyRLJEEkTxsoQg==?=": "こんにちは",
		"=?iso-8859-1?q?=80uro?=":                    "€uro",
		"=?utf-7?q?+ADw-script+AD4-?=":               "+ADw-script+AD4-",
		"=?utf-8?q?a=0D=0ABcc:_b?=":                  "a  Bcc: b",
		"=?utf-8?q?a=00b?=":                          "ab",
		"=?us-ascii*en?q?Keith?=":                    "Keith",
		"Re: =?utf-8?q?=E2=80=AEgpj.exe?=":           "Re: gpj.exe",
		"Gr\xfc\xdfe":                                "Grüße",
		"Gru\u0308\u00dfe":                           "Grüße", // NFC
	} {
		if got := DecodeWords(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestHeaderAccess(t *testing.T) {
	t.Parallel()
	m := parseBytes(t, "Received: one\nreceived:\n two\n\t three\nSUBJECT: =?utf-8?q?x?=\nReferences: <a@b> junk <c@\n d> <a@b>\n\tbroken <e@f\nReferences: <g@h>\nIn-Reply-To: Your mail of Monday, x@y\nTo: a@b.c\nTo: d@e.f\n\n")
	h := m.Header
	if got := h.All("RECEIVED"); len(got) != 2 || got[1] != "two three" {
		t.Errorf("All: %q", got)
	}
	if got := h.Text("subject"); got != "x" {
		t.Errorf("Text: %q", got)
	}
	if got := strings.Join(h.IDs("references"), " "); got != "<a@b> <c@d> <g@h>" {
		t.Errorf("IDs: %q", got)
	}
	if got := strings.Join(h.IDs("in-reply-to"), " "); got != "<x@y>" {
		t.Errorf("IDs without brackets: %q", got)
	}
	if got := h.Addresses("to"); len(got) != 2 || got[1].Addr != "d@e.f" {
		t.Errorf("Addresses: %v", got)
	}
	if h.Get("absent") != "" || h.Has("absent") || !h.Has("to") {
		t.Error("Get or Has")
	}
}

func TestIDsKeepBothEnds(t *testing.T) {
	t.Parallel()
	var v strings.Builder
	for i := range 3000 {
		v.WriteString("<" + time.Unix(int64(i), 0).UTC().Format("150405") + "@x> ")
	}
	ids := Header{{"References", v.String()}}.IDs("References")
	if len(ids) != 1000 || ids[0] != "<000000@x>" || ids[999] != "<004959@x>" {
		t.Errorf("%d ids, %s … %s", len(ids), ids[0], ids[len(ids)-1])
	}
}

func TestParseDate(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Fri, 21 Nov 1997 09:55:06 -0600":              "1997-11-21T09:55:06-06:00",
		"21 Nov 97 09:55 GMT":                          "1997-11-21T09:55:00Z",
		"Fri Nov 21 09:55:06 1997":                     "1997-11-21T09:55:06Z",
		"Fri, 21 Nov 1997 09:55:06 +0100 (CET)":        "1997-11-21T09:55:06+01:00",
		"Fri, 21 November 1997 9:55:06 PM EST":         "1997-11-21T21:55:06-05:00",
		"1997-11-21T09:55:06+01:00":                    "1997-11-21T09:55:06+01:00",
		"1997-11-21 09:55:06":                          "1997-11-21T09:55:06Z",
		"21-Nov-1997 09:55:06 +0000":                   "1997-11-21T09:55:06Z",
		"Fri, 21 Nov 1997 09:55:06 GMT+2":              "1997-11-21T09:55:06+02:00",
		"Fri, 21 Nov 1997 09:55:06 +9959":              "1997-11-21T09:55:06Z",
		"from a by b; Fri, 21 Nov 1997 09:55:06 -0600": "1997-11-21T09:55:06-06:00",
		"Sat, 31 Dec 2016 23:59:60 +0000":              "2016-12-31T23:59:59Z",
		"Thu, 01 Jan 1900 00:00:00 +0000":              "1900-01-01T00:00:00Z",
		"":                                             "", "yesterday": "", "Fri, 31 Dec 9999 23:59:59 -0500": "", "1 Foo 2020 10:00": "", "99 Nov 2020 10:00": "", "1 Jan 1 10:00:00": "2001-01-01T10:00:00Z",
	} {
		got, ok := ParseDate(in)
		if ok != (want != "") || ok && got.Format(time.RFC3339) != want {
			t.Errorf("%q: got %v %v, want %s", in, got.Format(time.RFC3339), ok, want)
		}
		if _, err := got.UTC().MarshalJSON(); ok && err != nil {
			t.Errorf("%q cannot be written as JSON: %v", in, err)
		}
	}
}

// TestFilenames: decoded whatever way they were written, and harmless.
func TestFilenames(t *testing.T) {
	t.Parallel()
	for disposition, want := range map[string]string{
		`attachment; filename="report.pdf"`:                                         "report.pdf",
		`attachment; filename=my report.pdf`:                                        "my report.pdf",
		`attachment; filename=report (1).pdf; size=3`:                               "report (1).pdf",
		`attachment; filename*=utf-8''Gr%C3%BC%C3%9Fe.txt`:                          "Grüße.txt",
		`attachment; filename*0*=utf-8''Gr%C3; filename*1*=%BC; filename*2=sse.txt`: "Grüsse.txt",
		`attachment; filename*1="b.txt"; filename*0="a"`:                            "ab.txt",
		`attachment; filename="plain.txt"; filename*=utf-8''extended.txt`:           "extended.txt",
		`attachment; filename="first.txt"; filename="second.exe"`:                   "first.txt",
		`attachment; filename="=?utf-8?q?Gr=C3=BC=C3=9Fe=2Etxt?="`:                  "Grüße.txt",
		"attachment; filename=\"Gr\xfc\xdfe.txt\"":                                  "Grüße.txt",
		`attachment; filename="../../etc/passwd"`:                                   "passwd",
		`attachment; filename="C:\Users\x\report.doc"`:                              "report.doc",
		`attachment; filename*=utf-8''a%00b%0D%0A.txt`:                              "ab  .txt",
		`attachment; filename*=utf-8''%E2%80%AEgpj.exe`:                             "gpj.exe",
		`attachment; filename="..."`:                                                "",
		`attachment; filename="con.txt"`:                                            "_con.txt",
		`attachment; filename="a<b>:c?.txt"`:                                        "a_b__c_.txt",
		`attachment; filename=""`:                                                   "",
		`attachment; filename="unclosed.txt`:                                        "unclosed.txt",
		`attachment filename=nosemicolon.txt`:                                       "nosemicolon.txt",
		`attachment; filename="` + strings.Repeat("x", 300) + `.pdf"`:               strings.Repeat("x", 251) + ".pdf",
	} {
		m := parseBytes(t, "Content-Type: application/pdf\nContent-Disposition: "+disposition+"\n\nx")
		if got := m.Root.Filename; got != want {
			t.Errorf("%s: got %q, want %q", disposition, got, want)
		}
		if m.Root.Disposition != "attachment" {
			t.Errorf("%s: disposition %q", disposition, m.Root.Disposition)
		}
	}
}
