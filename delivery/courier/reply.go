package courier

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of one reply. Real peers stay far below: a reply line is at most 512
// octets (RFC 5321 §4.5.3.1.5), an EHLO answer has some twenty lines.
const (
	maxReplyLine  = 4096 // also the size of the read buffer
	maxReplyLines = 100
	maxReplyBytes = 32 << 10
)

var (
	errReplyLine  = errors.New("reply line too long")
	errReplyLines = errors.New("reply has too many lines")
	errReplyForm  = errors.New("not an SMTP reply")
)

// reply is one complete answer of the peer.
type reply struct {
	code     int
	enhanced string   // "" if none, or one of another class than the code
	text     string   // all lines, sanitised
	lines    []string // raw text of each line, for EHLO; nil above code 399
}

func (r *reply) class() int { return r.code / 100 }

func (r *reply) String() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", r.code, r.enhanced, r.text))
}

// readReply reads one reply of any number of lines within the bounds. r's
// buffer must hold maxReplyLine bytes. Every line must have the same code.
func readReply(r *bufio.Reader) (*reply, error) {
	rep := &reply{}
	var words []string
	for n, total := 0, 0; ; n++ {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, errReplyLine
		}
		if err != nil {
			return nil, err
		}
		if total += len(line); n >= maxReplyLines || total > maxReplyBytes {
			return nil, errReplyLines
		}
		code, more, text, err := parseReplyLine(line)
		if err != nil {
			return nil, err
		}
		if n > 0 && code != rep.code {
			return nil, fmt.Errorf("%w: code changes from %d to %d", errReplyForm, rep.code, code)
		}
		rep.code = code
		if code < 400 {
			rep.lines = append(rep.lines, text)
		}
		enhanced, rest := cutEnhanced(code, text)
		if enhanced != "" {
			rep.enhanced = enhanced
		}
		words = append(words, rest)
		if !more {
			rep.text = sanitise(strings.Join(words, " "))
			return rep, nil
		}
	}
}

// parseReplyLine splits "250-text\r\n". A bare LF ends a line too: what
// follows is data for us, never commands.
func parseReplyLine(line []byte) (code int, more bool, text string, err error) {
	s := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
	if len(s) < 3 || s[0] < '2' || s[0] > '5' || !digit(s[1]) || !digit(s[2]) {
		return 0, false, "", fmt.Errorf("%w: %q", errReplyForm, sanitise(clip(s, 80)))
	}
	code = int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	if len(s) == 3 {
		return code, false, "", nil
	}
	switch s[3] {
	case '-':
		return code, true, s[4:], nil
	case ' ':
		return code, false, s[4:], nil
	}
	return 0, false, "", fmt.Errorf("%w: %q", errReplyForm, sanitise(clip(s, 80)))
}

// cutEnhanced takes an RFC 2034 status code off the text of a reply line. A
// code whose class contradicts the reply is not believed and stays text.
func cutEnhanced(code int, text string) (enhanced, rest string) {
	word, rest, _ := strings.Cut(text, " ")
	parts := strings.Split(word, ".")
	if len(parts) != 3 || len(parts[0]) != 1 || int(parts[0][0]-'0') != code/100 || code/100 == 3 {
		return "", text
	}
	for _, p := range parts[1:] {
		if len(p) == 0 || len(p) > 3 || strings.Trim(p, "0123456789") != "" {
			return "", text
		}
	}
	return word, rest
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// sanitise makes a peer's words safe to store and show: valid UTF-8, no
// control characters, single spaces, at most MaxText bytes.
func sanitise(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || 0x7f <= r && r <= 0x9f:
			return ' '
		case r == '\u2028' || r == '\u2029' || 0x202a <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069:
			return ' ' // separators and direction overrides can dress up a log line
		}
		return r
	}, s)
	return clip(strings.Join(strings.Fields(s), " "), MaxText)
}

// clip cuts s to at most n bytes at a rune's border.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
