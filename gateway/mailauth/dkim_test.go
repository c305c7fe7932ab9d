package mailauth_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"pgregory.net/rapid"

	"ticketgate/gateway/mailauth"
	"ticketgate/test/corpora"
)

const letterMail = "From: Anna <anna@a.example>\r\nSubject: Hello\r\n\r\nFirst line\r\nSecond line\r\n"

// TestSignatureRules is the table of what makes a signature count, or not.
func TestSignatureRules(t *testing.T) {
	t.Parallel()
	key := signers()["ed25519"]
	type option = func(*dkim.SignOptions)
	for _, c := range []struct {
		name   string
		record string // of the key; "" = the right one
		sign   option
		edit   func(string) string
		want   mailauth.Result
		says   string
	}{
		{name: "plain", want: "pass"},
		{name: "flag s, i= is d=", record: key.record + "; t=s", sign: func(o *dkim.SignOptions) { o.Identifier = "anna@a.example" }, want: "pass"},
		{name: "flag s, i= below d=", record: key.record + "; t=s", sign: func(o *dkim.SignOptions) { o.Identifier = "anna@x.a.example" }, want: "permerror", says: "no subdomain"},
		{name: "i= below d=", sign: func(o *dkim.SignOptions) { o.Identifier = "anna@x.a.example" }, want: "pass"},
		{name: "flag y", record: key.record + "; t=y", want: "neutral", says: "being tested"},
		{name: "flags y and s", record: key.record + "; t=s:y", want: "neutral", says: "being tested"},
		{name: "flag y, broken", record: key.record + "; t=y", edit: func(m string) string { return m + "x\r\n" }, want: "neutral", says: "body was changed"},
		{name: "unknown flag", record: key.record + "; t=q", want: "pass"},
		{name: "not for mail", record: key.record + "; s=tlsrpt", want: "permerror", says: "not for mail"},
		{name: "for everything", record: key.record + "; s=*", want: "pass"},
		{name: "other hash", record: key.record + "; h=sha1", want: "permerror", says: "SHA-256"},
		{name: "revoked", record: "v=DKIM1; k=ed25519; p=", want: "permerror", says: "revoked"},
		{name: "no p=", record: "v=DKIM1; k=ed25519", want: "permerror", says: "holds no key"},
		{name: "tag twice", record: key.record + "; k=rsa", want: "permerror", says: "stands twice"},
		{name: "wrong kind", record: strings.Replace(key.record, "k=ed25519", "k=rsa", 1), want: "permerror"},
		{name: "wrong length", record: "v=DKIM1; k=ed25519; p=AAAA", want: "permerror", says: "wrong length"},
		{name: "not expired", sign: func(o *dkim.SignOptions) { o.Expiration = today.Add(time.Second) }, want: "pass"},
		{name: "expired", sign: func(o *dkim.SignOptions) { o.Expiration = today.Add(-time.Second) }, want: "fail", says: "expired"},
		{name: "from the future", edit: func(m string) string { return retag(m, "t", fmt.Sprint(today.Add(time.Hour).Unix())) }, want: "fail", says: "in the future"},
		{name: "clock a little ahead", edit: func(m string) string { return retag(m, "t", fmt.Sprint(today.Add(time.Minute).Unix())) }, want: "fail", says: "does not match"},
		{name: "x= before t=", edit: func(m string) string { return retag(m, "t", "100; x=99") }, want: "permerror", says: "not after"},
		{name: "t= is no time", edit: func(m string) string { return retag(m, "t", "soon") }, want: "permerror", says: "not a time"},
		{name: "v=2", edit: func(m string) string { return retag(m, "v", "2") }, want: "permerror", says: "version"},
		{name: "sha1", edit: func(m string) string { return retag(m, "a", "rsa-sha1") }, want: "policy", says: "too weak"},
		{name: "unknown algorithm", edit: func(m string) string { return retag(m, "a", "rot13-sha256") }, want: "neutral"},
		{name: "unknown form", edit: func(m string) string { return retag(m, "c", "loose/relaxed") }, want: "neutral"},
		{name: "From not signed", edit: func(m string) string { return retag(m, "h", "Subject") }, want: "permerror", says: "From field is not signed"},
		{name: "i= elsewhere", edit: func(m string) string { return retag(m, "v", "1; i=x@nota.example") }, want: "permerror", says: "not within"},
		{name: "second From", edit: func(m string) string { return "From: eve@e.example\r\n" + m }, want: "pass"}, // and no author: see TestAuthor
		{name: "second From, oversigned", sign: func(o *dkim.SignOptions) { o.HeaderKeys = []string{"From", "From"} }, edit: func(m string) string { return "From: eve@e.example\r\n" + m }, want: "fail"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			record := c.record
			if record == "" {
				record = key.record
			}
			h.TXT("k._domainkey.a.example", record)
			mail := sign(t, key.key, "a.example", "k", letterMail, c.sign)
			if c.edit != nil {
				mail = c.edit(mail)
			}
			_, e := h.check(t, "", "", "", mail)
			if len(e.DKIM) != 1 || e.DKIM[0].Result != c.want || !strings.Contains(e.DKIM[0].Reason, c.says) {
				t.Errorf("%+v, want %s (%s)\n%s", e.DKIM, c.want, c.says, mail)
			}
		})
	}
}

// retag gives a tag of the first signature another value.
func retag(mail, name, value string) string {
	head, rest, _ := strings.Cut(mail, "\r\nFrom:")
	_, tags, _ := strings.Cut(head, ":")
	var out []string
	for piece := range strings.SplitSeq(tags, ";") {
		if n, _, ok := strings.Cut(piece, "="); ok && strings.TrimSpace(n) == name {
			piece = " " + name + "=" + value
		}
		out = append(out, piece)
	}
	return "DKIM-Signature:" + strings.Join(out, ";") + "\r\nFrom:" + rest
}

// TestLength: l= must not let anybody append to a signed mail.
func TestLength(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	limited := corpora.DKIMVector{File: "chasquid/09-limited_body.msg"}
	_, e := h.check(t, "", "", "", limited.Serve(t, h.Server)+"<html>buy</html>\r\n")
	if got := e.DKIM[0]; got.Result != mailauth.Neutral || !strings.Contains(got.Reason, "only the first 17 of") {
		t.Errorf("%+v", got)
	}
}

func TestRSASizes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for name, modulus := range map[string]string{"512": strings.Repeat("\xff", 64), "16384": strings.Repeat("\xff", 2048)} {
		k := &rsa.PublicKey{E: 65537, N: new(big.Int).SetBytes([]byte(modulus))}
		h.TXT("k"+name+"._domainkey.a.example", "v=DKIM1; p="+base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(k)))
		mail := sign(t, signers()["rsa1024"].key, "a.example", "k"+name, letterMail, nil)
		if _, e := h.check(t, "", "", "", mail); e.DKIM[0].Result != mailauth.Policy || !strings.Contains(e.DKIM[0].Reason, name+" bits") {
			t.Errorf("%s: %+v", name, e.DKIM[0])
		}
	}
}

// TestManySignatures: only the first five cost anything.
func TestManySignatures(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.TXT("k._domainkey.a.example", signers()["ed25519"].record)
	mail := letterMail
	for range 11 {
		mail = sign(t, signers()["ed25519"].key, "a.example", "k", mail, nil)
	}
	_, e := h.check(t, "", "", "", mail)
	if len(e.DKIM) != 5 || e.Ignored != 6 || e.DKIM[4].Result != mailauth.Pass {
		t.Errorf("%d judged, %d ignored", len(e.DKIM), e.Ignored)
	}
}

// TestBombs: mails built to be slow take time in proportion to their size: a
// second or two each. The deadline is generous, for the race detector on a busy
// machine; a quadratic verifier needs minutes.
func TestBombs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.TXT("k._domainkey.a.example", signers()["ed25519"].record)
	signature := func(c, names string) string {
		return "DKIM-Signature: v=1; a=ed25519-sha256; d=a.example; s=k; c=" + c + "; h=from" + names + "; bh=AAAA; b=AAAA\r\n"
	}
	five := func(s string) string { return strings.Repeat(s, 5) }
	for name, mail := range map[string]string{
		"empty lines":      five(signature("simple/simple", "")) + "From: a@a.example\r\n\r\n" + strings.Repeat("\r\n", 8<<20),
		"white space":      five(signature("relaxed/relaxed", "")) + "From: a@a.example\r\n\r\n" + strings.Repeat(" ", 16<<20),
		"names times heap": five(signature("relaxed/relaxed", strings.Repeat(":a", 80_000))) + "From: a@a.example\r\n" + strings.Repeat("a:b\r\n", 40_000) + "\r\n",
		"folds":            five(signature("relaxed/relaxed", ":x")) + "From: a@a.example\r\nX: y\r\n" + strings.Repeat(" y\r\n", 150_000) + "\r\n",
		"semicolons":       "DKIM-Signature: " + strings.Repeat(";", 900_000) + "\r\nFrom: a@a.example\r\n\r\n",
	} {
		start := time.Now()
		_, e := h.check(t, "", "", "", mail)
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%s took %s", name, took)
		}
		for _, s := range e.DKIM {
			if s.Result == mailauth.Pass || s.Result == mailauth.TempError {
				t.Errorf("%s: %+v", name, s)
			}
		}
	}
}

// TestAgreesWithLibrary: on any mail, signed and then changed at random, we and
// the library say the same. Where the change leaves half a line end, which no
// mail has (RFC 5322 §2.3), the library takes a CR at the end of the body for
// nothing, which we hash; and it may find no end of the header, which is no
// judgement.
func TestAgreesWithLibrary(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	key := signers()["ed25519"]
	h.TXT("k._domainkey.a.example", key.record)
	lookup := func(string) ([]string, error) { return []string{key.record}, nil }
	passes, runs := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		line := rapid.StringMatching(`[a-c \t:;=]{0,12}`)
		lines := rapid.SliceOfN(line, 0, 6)
		forms := rapid.SampledFrom([]dkim.Canonicalization{"simple", "relaxed"})
		end := rapid.SampledFrom([]string{"", "\r\n", "\r\n\r\n"}).Draw(r, "end")
		mail := "From: anna@a.example\r\nSubject: " + rapid.StringMatching(`[a-c \t]{0,9}(\r\n [a-c]+)?`).Draw(r, "subject") + "\r\n\r\n" +
			strings.Join(lines.Draw(r, "body"), "\r\n") + end
		o := &dkim.SignOptions{
			Domain: "a.example", Selector: "k", Signer: key.key, HeaderKeys: []string{"From", "Subject"},
			HeaderCanonicalization: forms.Draw(r, "header"), BodyCanonicalization: forms.Draw(r, "form"),
		}
		var out bytes.Buffer
		if err := dkim.Sign(&out, strings.NewReader(mail), o); err != nil {
			r.Skip(err)
		}
		signed := []byte(out.String())
		if rapid.Bool().Draw(r, "change") {
			at := rapid.IntRange(0, len(signed)-1).Draw(r, "at")
			signed[at] = rapid.SampledFrom([]byte(" \tax;=")).Draw(r, "octet")
		}
		theirs, err := dkim.VerifyWithOptions(bytes.NewReader(signed), &dkim.VerifyOptions{LookupTXT: lookup})
		_, e := h.check(r, "", "", "", string(signed))
		they := err == nil && len(theirs) == 1 && theirs[0].Err == nil
		we := len(e.DKIM) == 1 && e.DKIM[0].Result == mailauth.Pass
		if err != nil && halfLineEnd(signed) {
			return
		}
		runs++
		if we {
			passes++
		}
		if we && !they {
			r.Fatalf("we pass what the library does not (%v)\n%q", err, signed)
		}
		if they && !we && e.Note == "" && !halfLineEnd(signed) {
			r.Fatalf("the library passes what we do not: %+v\n%q", e.DKIM, signed)
		}
	})
	if passes == 0 || passes == runs {
		t.Errorf("%d of %d pass: the test tells nothing", passes, runs)
	}
}

func halfLineEnd(mail []byte) bool {
	whole := bytes.Count(mail, []byte("\r\n"))
	return bytes.Count(mail, []byte("\r")) != whole || bytes.Count(mail, []byte("\n")) != whole
}

// slowReader never ends.
type slowReader struct{}

func (slowReader) ReadAt(p []byte, off int64) (int, error) {
	if off > 1<<20 {
		return 0, io.ErrUnexpectedEOF
	}
	head := "DKIM-Signature: v=1; a=ed25519-sha256; d=a.example; s=k; h=from; bh=AAAA; b=AAAA\r\nFrom: a@a.example\r\n\r\n"
	for i := range p {
		p[i] = 'x'
		if at := off + int64(i); at < int64(len(head)) {
			p[i] = head[at]
		}
	}
	return len(p), nil
}

// TestUnreadableMail: a failing disk is evidence as well, not a pass and not a
// panic.
func TestUnreadableMail(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.TXT("k._domainkey.a.example", signers()["ed25519"].record)
	v, _ := h.c.Evaluate(t.Context(), mailauth.Input{Raw: slowReader{}, Size: 1 << 30})
	if len(v.DKIM) != 1 || v.DKIM[0].Result != "temperror" || v.Trust != "T0" {
		t.Errorf("%+v", v)
	}
}
