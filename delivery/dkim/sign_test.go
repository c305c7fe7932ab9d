package dkim

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"
	"pgregory.net/rapid"

	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/pebble"
)

const testDomain = "help.example"

var signTime = time.Date(2026, 11, 2, 9, 30, 0, 0, time.UTC)

func openStore(t testing.TB) store.DB {
	t.Helper()
	db, err := pebble.OpenMem(pebble.Options{Now: func() time.Time { return signTime }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// sharedRows are the keys of testDomain, made once: RSA keys take their time.
var sharedRows = sync.OnceValues(func() ([]row, error) {
	var rows []row
	for selector, alg := range map[string]algorithm{selectorRSA: algRSA, selectorEd25519: algEd25519} {
		private, err := generate(alg, rand.Reader)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{Domain: testDomain, Selector: selector, Algorithm: alg, Private: private, Created: signTime})
	}
	return rows, nil
})

// testKeys can sign for testDomain.
func testKeys(t testing.TB) *Keys {
	t.Helper()
	rows, err := sharedRows()
	if err != nil {
		t.Fatal(err)
	}
	k := New(Options{DB: openStore(t), Random: rand.Reader, Now: func() time.Time { return signTime }})
	err = k.db.Update(context.Background(), func(tx store.Tx) error {
		for _, r := range rows {
			if err := k.table.Put(tx, &r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func signed(t testing.TB, k *Keys, mail string) string {
	t.Helper()
	fields, err := k.Sign(context.Background(), testDomain, strings.NewReader(mail))
	if err != nil {
		t.Fatal(err)
	}
	return string(fields) + mail
}

// lookup answers for the records that the keys ask to be published.
func lookup(t testing.TB, k *Keys) func(string) ([]string, error) {
	t.Helper()
	records, err := k.Records(context.Background(), testDomain)
	if err != nil {
		t.Fatal(err)
	}
	return func(name string) ([]string, error) {
		for _, r := range records {
			if r.Name == name {
				return []string{r.Text}, nil
			}
		}
		return nil, fmt.Errorf("no record %s", name)
	}
}

// verify returns how many signatures a mail has and how many of them hold.
func verify(t testing.TB, k *Keys, mail string) (have, good int, errs []error) {
	t.Helper()
	list, err := msgauth.VerifyWithOptions(strings.NewReader(mail), &msgauth.VerifyOptions{LookupTXT: lookup(t, k)})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		if v.Err == nil {
			good++
		} else {
			errs = append(errs, v.Err)
		}
	}
	return len(list), good, errs
}

const sampleMail = "From: Support <support@help.example>\r\n" +
	"To: Anna  Kunde\r\n <anna@customer.example>\r\n" +
	"Subject:  Re: [#1001]\t Printer \r\n on fire \r\n" +
	"Date: Mon, 02 Nov 2026 09:30:00 +0100\r\n" +
	"Message-ID: <aeb4q3@help.example>\r\n" +
	"Reply-To: support+aeb4q3@help.example\r\n" +
	"List-Unsubscribe: <https://help.example/u>\r\n" +
	"X-Free: not signed\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\n" +
	"\r\n" +
	"Dear Anna, \r\n\r\n  please\t unplug it.\r\n-- \r\nOtto\r\n\r\n\r\n"

func TestSignaturesHold(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	tests := []struct{ name, mail string }{
		{"sample", sampleMail},
		{"empty body", "From: a@help.example\r\n\r\n"},
		{"body of empty lines", "From: a@help.example\r\n\r\n\r\n \r\n\t\r\n"},
		{"no line end at the end", "From: a@help.example\r\n\r\nx"},
		{"blanks at the end", "From: a@help.example\r\n\r\nx \t"},
		{"blanks everywhere", "From: a@help.example\r\n\r\n  \r\n  x  y  \r\n\r\n \r\n z \r\n \r\n"},
		{"blank before a colon", "From : a@help.example\r\nSubject\t: x\r\n\r\nx\r\n"},
		{"empty fields", "From: a@help.example\r\nSubject:\r\nCc: \r\n\r\nx\r\n"},
		{"many of one field", "From: a@help.example\r\nList-Post: 1\r\nList-Post: 2\r\nList-Post: 3\r\n\r\nx\r\n"},
		{"octets of all sorts", "From: a@help.example\r\nSubject: \xc3\xbc\xff\r\n\r\n\x00\x01\x0b\x0c \x80\xff\r\n"},
	}
	for _, tt := range tests {
		mail := signed(t, k, tt.mail)
		if have, good, errs := verify(t, k, mail); have != 2 || good != 2 {
			t.Errorf("%s: %d of %d signatures hold: %v\n%s", tt.name, good, have, errs, mail)
		}
	}
}

// Any body, in any pieces, has a hash that the judge finds too.
func TestSignaturesHoldForAnyBody(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	piece := rapid.SampledFrom([]string{" ", "\t", "\r\n", "x", "long word", "\r\n\r\n", " \r\n", ".", "\x00", "é", strings.Repeat("\r\n", 40000), strings.Repeat("ab ", 20000)})
	rapid.Check(t, func(t *rapid.T) {
		mail := "From: a@help.example\r\n\r\n" + strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "body"), "")
		fields, err := k.Sign(context.Background(), testDomain, iotestPieces{strings.NewReader(mail), rapid.IntRange(1, 5000).Draw(t, "piece")})
		if err != nil {
			t.Fatal(err)
		}
		list, err := msgauth.VerifyWithOptions(strings.NewReader(string(fields)+mail), &msgauth.VerifyOptions{LookupTXT: lookup2(k)})
		if err != nil || len(list) != 2 || list[0].Err != nil || list[1].Err != nil {
			t.Fatalf("%v: %+v", err, list)
		}
	})
}

func lookup2(k *Keys) func(string) ([]string, error) {
	return func(name string) ([]string, error) {
		records, err := k.Records(context.Background(), testDomain)
		for _, r := range records {
			if r.Name == name {
				return []string{r.Text}, nil
			}
		}
		return nil, err
	}
}

// iotestPieces reads at most n octets at once.
type iotestPieces struct {
	r io.Reader
	n int
}

func (p iotestPieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), p.n)]) }

// What somebody changes on the way breaks both signatures.
func TestChangesBreakSignatures(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	mail := signed(t, k, sampleMail)
	head, body, _ := strings.Cut(sampleMail, "\r\n\r\n")
	fields := strings.TrimSuffix(mail, sampleMail)
	tests := map[string]string{
		"a body octet":     fields + head + "\r\n\r\n" + strings.Replace(body, "unplug", "unplUg", 1),
		"appended text":    fields + head + "\r\n\r\n" + body + "more\r\n",
		"removed text":     fields + head + "\r\n\r\n" + strings.Replace(body, "Otto", "", 1),
		"the subject":      strings.Replace(mail, "on fire", "on hire", 1),
		"the author":       strings.Replace(mail, "Support <", "Suppart <", 1),
		"unsubscribe link": strings.Replace(mail, "example/u>", "example/v>", 1),
		"removed date":     strings.Replace(mail, "Date: Mon, 02 Nov 2026 09:30:00 +0100\r\n", "", 1),
		"the time":         strings.ReplaceAll(mail, "t=1793611800", "t=1793611801"),
	}
	for _, name := range signedFields {
		tests["a further "+name+" above"] = fields + name + ": x\r\n" + sampleMail
		tests["a further "+name+" below"] = fields + head + "\r\n" + name + ": x\r\n\r\n" + body
	}
	for name, changed := range tests {
		if changed == mail {
			t.Errorf("%s: nothing was changed", name)
		}
		if have, good, _ := verify(t, k, changed); have != 2 || good != 0 {
			t.Errorf("%s: %d of %d signatures still hold", name, good, have)
		}
	}
	free := strings.Replace(mail, "not signed", "changed", 1)
	if _, good, errs := verify(t, k, free); good != 2 {
		t.Errorf("a field that is not signed broke %v", errs)
	}
}

func TestSignatureForm(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	fields, err := k.Sign(context.Background(), "Help.Example.", strings.NewReader(sampleMail))
	if err != nil {
		t.Fatal(err)
	}
	s := string(fields)
	first, second := strings.Index(s, "a=rsa-sha256;"), strings.Index(s, "a=ed25519-sha256;")
	if first < 0 || second < first {
		t.Errorf("RSA is not on top:\n%s", s)
	}
	for _, want := range []string{"DKIM-Signature: v=1;", " c=relaxed/relaxed;", " d=help.example;", " s=tg1r;", " s=tg1e;", " t=1793611800;", "h=From:From:To:To:Cc:Subject:"} {
		if !strings.Contains(strings.ReplaceAll(s, "\r\n ", " "), want) {
			t.Errorf("no %q in\n%s", want, s)
		}
	}
	if strings.Contains(s, "l=") {
		t.Errorf("a length limit in\n%s", s)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(s, "\r\n"), "\r\n") {
		if len(line) > 78 || strings.TrimSpace(line) == "" || strings.ContainsAny(line, "\r\n") {
			t.Errorf("bad line %q", line)
		}
	}
	if again, err := k.Sign(context.Background(), testDomain, strings.NewReader(sampleMail)); err != nil || !bytes.Equal(again, fields) {
		t.Errorf("the same mail at the same time got another signature (%v)", err)
	}
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	broken := errors.New("broken pipe")
	tests := []struct {
		name string
		mail io.Reader
		want error
	}{
		{"no From", strings.NewReader("To: a@b\r\n\r\nx\r\n"), ErrMessage},
		{"two From", strings.NewReader("From: a@b\r\nFROM: c@d\r\n\r\nx\r\n"), ErrMessage},
		{"no empty line", strings.NewReader("From: a@b\r\n"), ErrMessage},
		{"nothing", strings.NewReader(""), ErrMessage},
		{"continuation first", strings.NewReader(" x\r\nFrom: a@b\r\n\r\n"), ErrMessage},
		{"a line that is no field", strings.NewReader("From: a@b\r\nhello\r\n\r\n"), ErrMessage},
		{"a space in a name", strings.NewReader("From: a@b\r\nMy Field: x\r\n\r\n"), ErrMessage},
		{"LF in the header", strings.NewReader("From: a@b\nTo: c@d\r\n\r\n"), ErrMessage},
		{"CR in the header", strings.NewReader("From: a@b\rTo: c@d\r\n\r\n"), ErrMessage},
		{"LF in the body", strings.NewReader("From: a@b\r\n\r\nx\ny\r\n"), ErrMessage},
		{"CR in the body", strings.NewReader("From: a@b\r\n\r\nx\ry\r\n"), ErrMessage},
		{"CR at the end", strings.NewReader("From: a@b\r\n\r\nx\r"), ErrMessage},
		{"CR CR LF", strings.NewReader("From: a@b\r\n\r\nx\r\r\n"), ErrMessage},
		{"endless header line", io.MultiReader(strings.NewReader("From: a@b\r\nX: "), zeros{2 << 20}), ErrMessage},
		{"endless header", strings.NewReader("From: a@b\r\n" + strings.Repeat("X: y\r\n", 200_000) + "\r\n"), ErrMessage},
		{"reader fails in the header", io.MultiReader(strings.NewReader("From: a"), failing{broken}), broken},
		{"reader fails in the body", io.MultiReader(strings.NewReader("From: a@b\r\n\r\nx"), failing{broken}), broken},
	}
	for _, tt := range tests {
		fields, err := k.Sign(context.Background(), testDomain, tt.mail)
		if !errors.Is(err, tt.want) || fields != nil {
			t.Errorf("%s: %q, %v; want %v", tt.name, fields, err, tt.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := k.Sign(ctx, testDomain, strings.NewReader(sampleMail)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// zeros is n octets of "0".
type zeros struct{ n int }

func (z zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

// 35 MB are signed in the memory of a few buffers.
func TestSignLargeMailInLittleMemory(t *testing.T) {
	k := testKeys(t)
	if _, err := k.Sign(context.Background(), testDomain, strings.NewReader(sampleMail)); err != nil {
		t.Fatal(err) // keys are parsed now
	}
	for name, line := range map[string]string{"lines": strings.Repeat("x", 76) + "\r\n", "empty lines": "\r\n", "blanks": " \t"} {
		mail := io.MultiReader(strings.NewReader("From: a@help.example\r\n\r\n"),
			io.LimitReader(&repeated{s: line}, 35<<20/int64(len(line))*int64(len(line))), strings.NewReader("end\r\n"))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := k.Sign(context.Background(), testDomain, mail); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 2<<20 {
			t.Errorf("%s: %d bytes allocated", name, grown)
		}
	}
}

type repeated struct {
	s  string
	at int
}

func (r *repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.s[r.at]
		if r.at++; r.at == len(r.s) {
			r.at = 0
		}
	}
	return len(p), nil
}

func BenchmarkSign(b *testing.B) {
	k := testKeys(b)
	for _, size := range []int{5 << 10, 1 << 20} {
		mail := "From: a@help.example\r\nSubject: x\r\n\r\n" + strings.Repeat(strings.Repeat("word ", 15)+"\r\n", size/77)
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(mail)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Sign(context.Background(), testDomain, strings.NewReader(mail)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
