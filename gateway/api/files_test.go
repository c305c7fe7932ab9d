package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"ticketgate/ticketing"
)

func TestRaw(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.do("GET", "/messages/msg_1/raw", "")
	if w.Code != 200 || w.Body.String() != "Subject: x\r\n\r\nhello\r\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	wantHeaders(t, w, "message/rfc822", `attachment; filename="msg_1.eml"`, "21")
	w = s.do("HEAD", "/messages/msg_1/raw", "")
	if w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("HEAD %d %q", w.Code, w.Body)
	}
	wantHeaders(t, w, "message/rfc822", `attachment; filename="msg_1.eml"`, "21")
	wantProblem(t, s.do("GET", "/messages/msg_2/raw", ""), 404, "not_found")
	wantProblem(t, s.do("GET", "/messages/msg_9/raw", ""), 404, "not_found")
}

func wantHeaders(t *testing.T, w *httptest.ResponseRecorder, contentType, disposition, length string) {
	t.Helper()
	for name, want := range map[string]string{
		"Content-Type": contentType, "Content-Disposition": disposition, "Content-Length": length,
		"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestAttachment(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	wantProblem(t, s.do("GET", "/attachments/att_9", ""), 404, "not_found")
	s.desk.attachment = &ticketing.Attachment{ID: "att_1", Filename: "Übersicht \"März\".html", ContentType: "text/html; charset=utf-8", Size: 4}
	s.desk.file = strings.NewReader("<b/>")
	w := s.do("GET", "/attachments/att_1", "")
	if w.Code != 200 || w.Body.String() != "<b/>" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	wantHeaders(t, w, "application/octet-stream", `attachment; filename="_bersicht _M_rz_.html"; filename*=UTF-8''%C3%9Cbersicht%20%22M%C3%A4rz%22.html`, "4")
}

// TestBrokenFile: a file that ends early must not look whole.
func TestBrokenFile(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]io.Reader{
		"short":  strings.NewReader("abc"),
		"failed": io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(errors.New("bad sector"))),
	} {
		s := newStage(t)
		s.desk.attachment = &ticketing.Attachment{ID: "att_1", Filename: "a", ContentType: "text/plain", Size: 4}
		s.desk.file = file
		srv := httptest.NewServer(s.api.Handler())
		req, err := http.NewRequest("GET", srv.URL+Base+"/attachments/att_1", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.admin)
		res, err := srv.Client().Do(req)
		if err == nil {
			_, err = io.ReadAll(res.Body)
			res.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: looks whole", name)
		}
		srv.Close()
		if !strings.Contains(s.log.String(), "broke off") {
			t.Errorf("%s: not in the log", name)
		}
	}
}

func TestSafeType(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"text/plain; charset=x": "text/plain", "image/PNG": "image/png", "application/pdf": "application/pdf",
		"text/html": "application/octet-stream", "image/svg+xml": "application/octet-stream", "application/xhtml+xml": "application/octet-stream",
		"text/javascript": "application/octet-stream", "": "application/octet-stream", "a/b\r\nX: y": "application/octet-stream", "text": "application/octet-stream",
	} {
		if got := safeType(in); got != want {
			t.Errorf("%q: %s", in, got)
		}
	}
}

func TestDisposition(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"log.txt":                         `attachment; filename="log.txt"`,
		"":                                `attachment; filename="attachment"`,
		"..":                              `attachment; filename="attachment"`,
		"../../etc/passwd":                `attachment; filename="passwd"`,
		`C:\temp\a.doc`:                   `attachment; filename="a.doc"`,
		"a\r\nSet-Cookie: b":              `attachment; filename="aSet-Cookie: b"`,
		"gpj.\u202eexe.txt":               `attachment; filename="gpj.exe.txt"`,
		"100%.txt":                        `attachment; filename="100_.txt"; filename*=UTF-8''100%25.txt`,
		"naïve.txt":                       `attachment; filename="na_ve.txt"; filename*=UTF-8''na%C3%AFve.txt`,
		"\xff.txt":                        `attachment; filename="_.txt"`,
		strings.Repeat("a", 300) + ".pdf": `attachment; filename="` + strings.Repeat("a", 196) + `.pdf"`,
	} {
		if got := disposition(in); got != want {
			t.Errorf("%q\n got %s\nwant %s", in, got, want)
		}
	}
}

// FuzzDisposition: any name gives one header line that can be read back.
func FuzzDisposition(f *testing.F) {
	for _, s := range []string{"a", "ü", "\"", "\\", "%00", "a\x00b", "\u202e", strings.Repeat("ü", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := disposition(name)
		kind, params, err := mime.ParseMediaType(got)
		if err != nil || kind != "attachment" || params["filename"] != safeName(name) {
			t.Fatalf("%q: %q: %v %v", name, got, params, err)
		}
		if strings.ContainsAny(got, "\r\n\x00") || len(got) > 2000 || strings.ContainsAny(safeName(name), `/\`) {
			t.Fatalf("%q: %q", name, got)
		}
	})
}

func TestMessageOf(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"att_msg_01J_3": "msg_01J", "att_01J_12": "msg_01J", "x": "msg_x", "": "msg_"} {
		if got := messageOf(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}
