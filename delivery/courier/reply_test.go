package courier

import (
	"bufio"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func parse(s string) (*reply, error) {
	return readReply(bufio.NewReaderSize(strings.NewReader(s), maxReplyLine))
}

func TestReplies(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"250 Ok\r\n", "250  Ok"},
		{"250\r\n", "250"},
		{"250 \r\n", "250"},
		{"250 bare line feed\n", "250  bare line feed"},
		{"250-one\r\n250-two\r\n250 three\r\n", "250  one two three"},
		{"550 5.1.1 no such user\r\n", "550 5.1.1 no such user"},
		{"550-5.1.1 no\r\n550 5.1.1 such user\r\n", "550 5.1.1 no such user"},
		{"550 5.1.1\r\n", "550 5.1.1"},
		{"550 2.0.0 fine\r\n", "550  2.0.0 fine"},
		{"550 5.1 short\r\n", "550  5.1 short"},
		{"550 5.1111.1 long\r\n", "550  5.1111.1 long"},
		{"550 5.x.1 word\r\n", "550  5.x.1 word"},
		{"354 3.0.0 go\r\n", "354  3.0.0 go"},
		{"550 \x1b[31mred\x00\x7f\t tab\r\n", "550  [31mred tab"},
		{"550 a\u202egnp\u2066.exe\u2028x\r\n", "550  a gnp .exe x"},
		{"550 \xff\xfe\r\n", "550  \uFFFD"},
	} {
		r, err := parse(tc.in)
		if err != nil {
			t.Errorf("%q: %v", tc.in, err)
			continue
		}
		if r.String() != strings.TrimSpace(tc.want) {
			t.Errorf("%q is %q, want %q", tc.in, r, tc.want)
		}
	}
}

func TestBadReplies(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]error{
		"25 Ok\r\n":                      errReplyForm,
		"abc Ok\r\n":                     errReplyForm,
		"150 Ok\r\n":                     errReplyForm,
		"650 Ok\r\n":                     errReplyForm,
		"250_Ok\r\n":                     errReplyForm,
		"2500 Ok\r\n":                    errReplyForm,
		"\r\n":                           errReplyForm,
		"250-a\r\n550 b\r\n":             errReplyForm,
		strings.Repeat("250-x\r\n", 101): errReplyLines,
		strings.Repeat("250-"+strings.Repeat("x", 4000)+"\r\n", 20): errReplyLines,
		"250 " + strings.Repeat("x", 5000) + "\r\n":                 errReplyLine,
	} {
		if _, err := parse(in); !errors.Is(err, want) {
			t.Errorf("%.40q: %v, want %v", in, err, want)
		}
	}
}

func FuzzReply(f *testing.F) {
	f.Add("250-a\r\n250 2.0.0 b\r\n")
	f.Add("550 5.1.1 \xff\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		r, err := parse(in)
		if err != nil {
			return
		}
		if r.code < 200 || r.code > 599 || len(r.text) > MaxText || !utf8.ValidString(r.text) || strings.ContainsAny(r.text, "\r\n\x00\x1b") {
			t.Fatalf("%+v", r)
		}
		if r.enhanced != "" && int(r.enhanced[0]-'0') != r.code/100 {
			t.Fatalf("%+v", r)
		}
	})
}
