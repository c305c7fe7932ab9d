package mailauth

import (
	"errors"
	"strings"
)

// tag is one name=value pair of a tag list (RFC 6376 §3.2).
type tag struct{ name, value string }

var errTags = errors.New("malformed tag list")

// parseTags reads a tag list strictly: a bad or repeated tag spoils it.
func parseTags(s string) (map[string]string, error) {
	tags := map[string]string{}
	for _, t := range splitTags(s) {
		if !tagName(t.name) {
			return nil, errTags
		}
		if _, twice := tags[t.name]; twice {
			return nil, errors.New("tag " + t.name + " stands twice")
		}
		tags[t.name] = t.value
	}
	return tags, nil
}

// splitTags cuts a tag list. A piece that is no pair has an empty name; blank
// pieces are left out.
func splitTags(s string) (tags []tag) {
	for piece := range strings.SplitSeq(s, ";") {
		name, value, ok := strings.Cut(piece, "=")
		name, value = trim(name), trim(value)
		if !ok {
			if name == "" {
				continue
			}
			name = ""
		}
		tags = append(tags, tag{name, value})
	}
	return tags
}

func tagName(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (i == 0 || s[i] != '_' && (s[i] < '0' || s[i] > '9')) {
			return false
		}
	}
	return s != ""
}

const blanks = " \t\r\n"

func trim(s string) string { return strings.Trim(s, blanks) }

// squeeze drops all white space, which base64 and names may hold when folded.
func squeeze(s string) string {
	if !strings.ContainsAny(s, blanks) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(blanks, r) {
			return -1
		}
		return r
	}, s)
}

// list splits at colons.
func list(s string) []string {
	parts := strings.Split(s, ":")
	for i, p := range parts {
		parts[i] = trim(p)
	}
	return parts
}
