package smtpd

import (
	"bytes"
	"strconv"
	"strings"
)

// tap follows one conversation in plaintext, also inside TLS, and says when it
// must not go on. It repeats just enough of the protocol to know which octets
// are commands: lines, BDAT chunks and DATA bodies. It is told what was read
// before go-smtp acts on it, and every reply after it was written.
type tap struct {
	limits   *Limits
	state    tapState
	line     []byte // the command line so far, at most Limits.CommandLine
	stash    []byte // octets behind a command whose reply decides what they are
	commands int    // seen; each gets exactly one final reply
	replies  int    // final replies written, greeting included
	errors   int    // 4xx and 5xx since the last accepted mail
	idle     int    // commands since the last accepted mail
	chunk    int64  // octets of a BDAT chunk still to come
	body     bodyState
	reply    []byte // the reply line so far
	lmtp     bool   // every recipient gets a reply to the message
	again    bool   // the last final reply named a recipient
	strict   bool   // there is no patience with errors
	tls      bool   // a 220 to STARTTLS was written: what follows is TLS
}

type tapState uint8

const (
	inLine   tapState = iota // commands
	inChunk                  // a BDAT chunk
	inBody                   // a DATA body
	dataWait                 // DATA was read, its reply decides
	tlsWait                  // STARTTLS was read, its reply decides
	authWait                 // AUTH or an answer to it was read, the reply decides
	inAuth                   // the next line answers a challenge
	inDoubt                  // a final dot that the library missed was the last that came
)

func newTap(l *Limits) *tap { return &tap{limits: l, replies: -1} }

// verdict ends a conversation: text is the last reply, reason counts it. The
// zero verdict lets it go on.
type verdict struct{ text, reason string }

// input takes octets read from the peer.
func (t *tap) input(p []byte) verdict {
	for len(p) > 0 {
		switch t.state {
		case dataWait, tlsWait, authWait:
			t.stash = append(t.stash, p...)
			return verdict{}
		case inChunk:
			n := min(t.chunk, int64(len(p)))
			t.chunk -= n
			p = p[n:]
			if t.chunk == 0 {
				t.state = inLine
			}
		case inBody:
			n, end := t.body.scan(p)
			p = p[n:]
			switch end {
			case bodyEnd:
				t.state = inLine
			case bodyMissed:
				t.state = inDoubt
			case bodyStuck:
				return crcrlf
			}
		case inDoubt:
			return crcrlf
		case inLine, inAuth:
			rest, v := t.command(p)
			if v.text != "" {
				return v
			}
			p = rest
		}
	}
	return verdict{}
}

var notSMTP = verdict{"554 5.5.1 This is a mail server", "protocol"}

var crcrlf = verdict{"554 5.6.0 A lone dot stands among lines that end in CR CR LF: end lines with CR LF", "malformed"}

// command takes octets of a command line and returns those behind its end.
func (t *tap) command(p []byte) (rest []byte, v verdict) {
	n := bytes.IndexByte(p, '\n')
	part := p
	if n >= 0 {
		part = p[:n]
	}
	if len(t.line)+len(part) > t.limits.CommandLine {
		return nil, verdict{"500 5.5.2 Command line too long", "protocol"}
	}
	t.line = append(t.line, part...)
	if t.commands == 0 {
		if foreign(t.line) {
			return nil, notSMTP
		}
	}
	if n < 0 {
		return nil, verdict{}
	}
	rest = p[n+1:]
	line := bytes.TrimRight(t.line, "\r\n")
	if t.commands == 0 && len(line) == 0 {
		return nil, notSMTP
	}
	t.line = t.line[:0]
	t.commands++
	t.idle++
	if t.idle > t.limits.Commands {
		return nil, verdict{"421 4.7.0 Too many commands without a mail", "rate"}
	}
	if t.state == inAuth {
		t.state = authWait
		return rest, verdict{}
	}
	return rest, t.dispatch(line, len(rest) > 0)
}

// dispatch repeats go-smtp's reading of a command as far as it decides what the
// following octets are.
func (t *tap) dispatch(line []byte, more bool) verdict {
	word := strings.ToUpper(string(line[:min(len(line), 8)]))
	switch {
	case word == "STARTTLS":
		t.state = tlsWait
	case word == "DATA":
		t.state = dataWait
	case len(word) > 4 && word[4] == ' ':
		switch word[:4] {
		case "EHLO", "HELO", "LHLO":
			// Nobody knows before our answer that we do pipelining: who does
			// not wait for it does not speak SMTP with us.
			if more {
				return verdict{"554 5.5.0 SMTP protocol synchronization error", "protocol"}
			}
		case "BDAT":
			t.chunk = chunkSize(string(line[5:]))
			if t.chunk > 0 {
				t.state = inChunk
			}
		case "DATA":
			t.state = dataWait
		case "AUTH":
			t.state = authWait
		}
	}
	return verdict{}
}

// chunkSize returns the octets that follow a BDAT command, 0 when go-smtp
// refuses its arguments.
func chunkSize(args string) int64 {
	f := strings.Fields(args)
	if len(f) == 0 || len(f) > 2 || len(f) == 2 && !strings.EqualFold(f[1], "LAST") {
		return 0
	}
	n, err := strconv.ParseUint(f[0], 10, 32)
	if err != nil {
		return 0
	}
	return int64(n)
}

// foreign recognises the first line of protocols that a browser or a TLS client
// can be made to speak to us.
//
// A PROXY header of version 1 looks like a command, one of version 2 begins with
// an empty line; from a proxy of ours neither gets here.
func foreign(line []byte) bool {
	if len(line) > 0 && (line[0] == 0x16 || line[0] == 0x80) {
		return true
	}
	for _, verb := range [...]string{"GET ", "POST ", "PUT ", "HEAD ", "OPTIONS ", "CONNECT ", "DELETE ", "PATCH ", "TRACE ", "PRI * ", "PROXY "} {
		if len(line) >= len(verb) && strings.EqualFold(string(line[:len(verb)]), verb) {
			return true
		}
	}
	return false
}

// replyHead is how much of a reply is looked at: enough to see whether it names
// a recipient.
const replyHead = 16

// output takes octets written to the peer.
func (t *tap) output(p []byte) verdict {
	for len(p) > 0 {
		n := bytes.IndexByte(p, '\n')
		part := p
		if n >= 0 {
			part = p[:n]
		}
		if room := replyHead - len(t.reply); room > 0 {
			t.reply = append(t.reply, part[:min(len(part), room)]...)
		}
		if n < 0 {
			return verdict{}
		}
		p = p[n+1:]
		var head [replyHead]byte
		size := copy(head[:], t.reply)
		t.reply = t.reply[:0]
		if v := t.replied(head[:size]); v.text != "" {
			return v
		}
	}
	return verdict{}
}

func (t *tap) replied(line []byte) verdict {
	if len(line) < 4 || line[3] != ' ' {
		return verdict{} // one of several lines
	}
	class := line[0]
	if class == '3' {
		if t.state == dataWait {
			t.state, t.body = inBody, bodyState{}
			return t.replay()
		}
		t.replies++ // a challenge: the peer's next line answers it
		if t.state == authWait {
			t.state = inAuth
			return t.replay()
		}
		return verdict{}
	}
	if t.further(line) {
		return verdict{}
	}
	t.replies++
	if class == '4' || class == '5' {
		most := t.limits.Errors
		if t.strict {
			most = min(most, stressErrors)
		}
		if t.errors++; t.errors > most {
			return verdict{"421 4.7.0 Too many errors", "rate"}
		}
	}
	if t.replies < t.commands {
		return verdict{}
	}
	switch t.state {
	case dataWait, authWait: // refused; or the login has ended
		t.state = inLine
		return t.replay()
	case tlsWait:
		t.state = inLine
		if class == '2' {
			// go-smtp drops what was pipelined behind STARTTLS, so do we.
			t.stash, t.tls = nil, true
			return verdict{}
		}
		return t.replay()
	}
	return verdict{}
}

// further reports whether a reply is one more to a message of which another
// recipient's was seen (RFC 2033 §4.2). Between two messages there are always
// replies that name nobody.
func (t *tap) further(line []byte) bool {
	if !t.lmtp {
		return false
	}
	f := bytes.SplitN(line, []byte(" "), 3)
	named := len(f) == 3 && len(f[2]) > 0 && f[2][0] == '<'
	another := named && t.again
	t.again = named
	return another
}

// replay reads the stash once its meaning is known.
func (t *tap) replay() verdict {
	p := t.stash
	t.stash = nil
	return t.input(p)
}

// accepted is called when a mail was accepted: a peer that delivers mail may go
// on for as long as it likes.
func (t *tap) accepted() { t.errors, t.idle = 0, 0 }

// cut reports whether the BDAT chunk that is being executed now has not come to
// its end. go-smtp takes the end of a connection within a chunk for the end of
// the chunk and would accept half a message; upstream, handleBdat should use
// io.CopyN and treat io.EOF as an error.
func (t *tap) cut() bool { return t.chunk > 0 && t.commands == t.replies+1 }

// content reports whether octets that are not commands are still to come.
func (t *tap) content() bool { return t.state == inChunk || t.state == inBody || t.state == inDoubt }

// bodyState is go-smtp's end-of-data machine (RFC 5321 §4.1.1.4), with its one
// fault: after CR CR LF it does not see the next line begin, so that a final dot
// there is not seen either and the session would hang until its timeout. The
// machine knows that moment. If silence follows, the dot was the end and the
// message is taken without it; if anything follows, the message is refused. In
// both cases the session ends, so that nothing behind such a dot is ever a
// command. Upstream it takes three lines in dataReader.Read: in stateCR, stay in
// stateCR on another '\r'.
type bodyState struct{ at uint8 }

const (
	atBegin uint8 = iota
	atDot
	atDotCR
	atCR
	atData
	// After a line end that go-smtp missed: LF, then the dot, then its CR.
	missedCR
	missedLF
	missedDot
	missedDotCR
	// The dot's own line ends in CR CR LF: no end of data by the letter, and
	// never content of a peer that doubles leading dots.
	dotCRCR
)

type bodyResult uint8

const (
	bodyMore bodyResult = iota
	bodyEnd
	bodyMissed // what the peer must mean as the end, but the library did not see
	bodyStuck  // a lone dot that is no end and cannot be content
)

// scan takes octets of a body and returns how many belong to it.
func (s *bodyState) scan(p []byte) (int, bodyResult) {
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch s.at {
		case atData, missedLF:
			if s.at == missedLF && c == '.' {
				s.at = missedDot
				continue
			}
			if c == '\r' {
				s.at = atCR
				continue
			}
			s.at = atData
			// Most octets are here: go to the next CR in one step.
			n := bytes.IndexByte(p[i:], '\r')
			if n < 0 {
				return len(p), bodyMore
			}
			i += n
			s.at = atCR
		case atBegin:
			switch c {
			case '.':
				s.at = atDot
			case '\r':
				s.at = atCR
			default:
				s.at = atData
			}
		case atDot:
			if c == '\r' {
				s.at = atDotCR
			} else {
				s.at = atData
			}
		case atDotCR:
			switch c {
			case '\n':
				s.at = atBegin
				return i + 1, bodyEnd
			case '\r':
				s.at = dotCRCR
			default:
				s.at = atData
			}
		case atCR:
			switch c {
			case '\n':
				s.at = atBegin
			case '\r':
				s.at = missedCR // go-smtp: stateData
			default:
				s.at = atData
			}
		case missedCR:
			switch c {
			case '\n':
				s.at = missedLF
			case '\r':
				s.at = atCR
			default:
				s.at = atData
			}
		case missedDot:
			switch c {
			case '\r':
				s.at = missedDotCR
			default:
				s.at = atData
			}
		case missedDotCR:
			switch c {
			case '\n':
				s.at = atBegin
				return i + 1, bodyMissed
			case '\r':
				s.at = dotCRCR
			default:
				s.at = atData
			}
		case dotCRCR:
			switch c {
			case '\n':
				return i + 1, bodyStuck
			case '\r':
				s.at = atCR
			default:
				s.at = atData
			}
		}
	}
	return len(p), bodyMore
}
