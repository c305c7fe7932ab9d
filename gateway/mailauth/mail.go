package mailauth

import (
	"bufio"
	"bytes"
	"io"
	"strings"

	"ticketgate/ticketing/message"
)

// mail is a mail's header section as signatures see it; body is the rest.
type mail struct {
	fields  []field
	head    []byte // the section as it came
	problem string // why readers could disagree on the header
	body    io.Reader
}

// field is a header field: its name in lower case, and its octets with every
// line ended by CRLF.
type field struct {
	name, raw string
}

// readMail reads the header section. LF alone counts as a line end, as it does
// for every reader of mail; a bare CR or NUL in the header, a line that is no
// field, or a continuation of nothing is a problem, because readers differ on
// what the fields then are.
func readMail(r io.Reader, limit int) *mail {
	br := bufio.NewReaderSize(r, 32<<10)
	m := &mail{body: br}
	var lines []string
	flush := func() {
		if lines == nil {
			return
		}
		raw := strings.Join(lines, "")
		name, _, ok := strings.Cut(raw, ":")
		name = strings.ToLower(strings.TrimRight(name, " \t"))
		if !ok || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
			m.fault("a line of the header is no field")
		}
		m.fields = append(m.fields, field{name, raw})
		lines = nil
	}
	for {
		line, err := readLine(br, limit-len(m.head))
		m.head = append(m.head, line...)
		if err == bufio.ErrTooLong {
			m.fault("the header is too large to judge")
			return m
		}
		if err != nil && err != io.EOF {
			m.fault("the mail could not be read")
			return m
		}
		text := bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if len(text) == 0 {
			flush()
			return m
		}
		if bytes.IndexByte(text, '\r') >= 0 || bytes.IndexByte(text, 0) >= 0 {
			m.fault("the header holds a bare CR or NUL")
		}
		if text[0] == ' ' || text[0] == '\t' {
			if lines == nil {
				m.fault("the header begins with a continuation line")
			}
		} else {
			flush()
		}
		lines = append(lines, string(text)+"\r\n")
	}
}

func (m *mail) fault(s string) {
	if m.problem == "" {
		m.problem = s
	}
}

// readLine returns a line with its end; the last one may have none.
func readLine(br *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		piece, err := br.ReadSlice('\n')
		line = append(line, piece...)
		if len(line) > limit {
			return nil, bufio.ErrTooLong
		}
		if err != bufio.ErrBufferFull {
			return line, err
		}
	}
}

// author names the one mailbox of the one From field. The field is read by the
// same code that reads it for tickets; signatures are judged over the fields
// found here. Where the two could differ, there is no author.
func (m *mail) author() Author {
	if m.problem != "" {
		return Author{Problem: m.problem}
	}
	fields := 0
	for _, f := range m.fields {
		if f.name == "from" {
			fields++
		}
	}
	parsed, err := message.Parse(bytes.NewReader(m.head), int64(len(m.head)), message.Limits{})
	if err != nil {
		return Author{Problem: "the header could not be read"}
	}
	switch {
	case fields == 0:
		return Author{Problem: "there is no From field"}
	case fields > 1 || len(parsed.Header.All("From")) != 1:
		return Author{Problem: "there is more than one From field"}
	}
	list := parsed.Header.Addresses("From")
	if len(list) != 1 {
		return Author{Problem: "the From field does not name exactly one mailbox"}
	}
	a := Author{Address: list[0].Addr, Domain: asciiDomain(list[0].Domain())}
	if !fullName(a.Domain) {
		a.Domain, a.Problem = "", "the author's address has no full domain name"
	}
	return a
}
