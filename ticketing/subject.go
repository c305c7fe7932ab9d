package ticketing

import (
	"strconv"
	"strings"
)

// subjectTag is a "[#123]" or "[Queue #123]" in a subject.
type subjectTag struct {
	number     uint64
	name       string // what stands before the number, "" if nothing does
	start, end int
}

// of reports whether the tag is that of a queue.
func (t subjectTag) of(q *queue) bool {
	return t.name == "" || strings.EqualFold(t.name, q.Name) || strings.EqualFold(t.name, q.DisplayName)
}

// subjectTags finds the first few tags of a subject.
func subjectTags(subject string) []subjectTag {
	var out []subjectTag
	for at := 0; at < len(subject) && len(out) < maxSubjectTags; {
		open := strings.IndexByte(subject[at:], '[')
		if open < 0 {
			break
		}
		open += at
		length := strings.IndexByte(subject[open:], ']')
		if length < 0 {
			break
		}
		end := open + length + 1
		inner := subject[open+1 : end-1]
		if i := strings.LastIndexByte(inner, '['); i >= 0 {
			at = open + 1 + i
			continue
		}
		at = end
		name, digits, ok := cutLast(inner, '#')
		if !ok || len(digits) > 18 {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || n == 0 {
			continue
		}
		out = append(out, subjectTag{number: n, name: strings.TrimSpace(name), start: open, end: end})
	}
	return out
}

// ticketSubject is a mail's subject as a ticket's: without our own tags, which
// every mail of ours gets anew.
func ticketSubject(subject string, q *queue) string {
	var b strings.Builder
	at := 0
	for _, t := range subjectTags(subject) {
		if t.of(q) {
			b.WriteString(subject[at:t.start])
			at = t.end
		}
	}
	b.WriteString(subject[at:])
	s := cut(strings.Join(strings.Fields(b.String()), " "), maxTicketSubject)
	if s == "" {
		return noSubject
	}
	return s
}

// noSubject stands for a subject there is none of.
const noSubject = "(no subject)"
