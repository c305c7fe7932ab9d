package courier

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/textproto"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// mailBytes draws text in which dots and line ends are frequent.
func mailBytes() *rapid.Generator[string] {
	return rapid.StringOfN(rapid.SampledFrom([]rune{'.', '.', '\r', '\n', 'a', ' ', '\x00', 'é'}), -1, 200, -1)
}

// Whatever the content: after CRLF it can be sent, the wire holds no bare CR
// or LF and no early end, and a receiver reads exactly the content, with a line
// end added if it had none.
func TestContentSurvivesTheWire(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := mailBytes().Draw(t, "content")
		clean, err := io.ReadAll(CRLF(iotest.HalfReader(strings.NewReader(raw))))
		if err != nil {
			t.Fatal(err)
		}
		if want := normal(raw); string(clean) != want {
			t.Fatalf("CRLF gave %q, want %q", clean, want)
		}
		again, _ := io.ReadAll(CRLF(iotest.OneByteReader(bytes.NewReader(clean))))
		if !bytes.Equal(again, clean) {
			t.Fatalf("CRLF is not idempotent: %q", again)
		}
		var wire bytes.Buffer
		w := bufio.NewWriter(&wire)
		if err := writeContent(w, iotest.OneByteReader(bytes.NewReader(clean))); err != nil {
			t.Fatal(err)
		}
		w.WriteString(".\r\nMAIL")
		w.Flush()
		if bytes.Contains(bytes.ReplaceAll(wire.Bytes(), []byte("\r\n"), nil), []byte{'\n'}) ||
			bytes.Contains(bytes.ReplaceAll(wire.Bytes(), []byte("\r\n"), nil), []byte{'\r'}) {
			t.Fatalf("bare CR or LF on the wire: %q", wire.Bytes())
		}
		r := bufio.NewReader(&wire)
		got, err := io.ReadAll(textproto.NewReader(r).DotReader())
		if err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(string(clean), "\r\n", "\n") // as DotReader shows it
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if string(got) != want {
			t.Fatalf("received %q, want %q", got, want)
		}
		if rest, _ := io.ReadAll(r); string(rest) != "MAIL" {
			t.Fatalf("after the mail comes %q", rest)
		}
	})
}

// normal is the plain way to say what CRLF does.
func normal(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.ReplaceAll(s, "\r", "\n")
	return strings.ReplaceAll(s, "\n", "\r\n")
}

// Content with a bare CR or LF is refused wherever the byte stands.
func TestBareLineEndsAreRefused(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := mailBytes().Draw(t, "content")
		err := writeContent(bufio.NewWriter(io.Discard), iotest.HalfReader(strings.NewReader(raw)))
		if bare := normal(raw) != raw; bare != errors.Is(err, errBare) {
			t.Fatalf("%q: %v", raw, err)
		}
	})
}

func BenchmarkWriteContent(b *testing.B) {
	content := []byte(strings.Repeat("A line of text, as long as lines of text are.\r\n", 20000))
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if err := writeContent(bufio.NewWriterSize(io.Discard, writeSize), bytes.NewReader(content)); err != nil {
			b.Fatal(err)
		}
	}
}
