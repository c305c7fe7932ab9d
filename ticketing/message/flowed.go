package message

import "strings"

// unflow joins the lines of format=flowed text (RFC 3676 §4): a line that ends
// with a blank goes on in the next one of the same quote depth.
func unflow(s string, delSP bool) string {
	var out strings.Builder
	out.Grow(len(s))
	open, depth := false, 0
	for len(s) > 0 {
		l, rest, nl := strings.Cut(s, "\n")
		s = rest
		d := 0
		for d < len(l) && l[d] == '>' {
			d++
		}
		l = strings.TrimPrefix(l[d:], " ") // space-stuffing
		sig := l == "-- "
		if open && (d != depth || sig) {
			out.WriteByte('\n')
			open = false
		}
		if !open && d > 0 {
			out.WriteString(strings.Repeat(">", d))
			out.WriteByte(' ')
		}
		soft := !sig && strings.HasSuffix(l, " ")
		if soft && delSP {
			l = l[:len(l)-1]
		}
		out.WriteString(l)
		open, depth = soft, d
		if !open && nl {
			out.WriteByte('\n')
		}
	}
	return out.String()
}

// enrichedText makes text of text/enriched (RFC 1896) and of its forerunner
// text/richtext (RFC 1341): what stands between the commands. The time taken is
// linear in the length.
func enrichedText(s string, enriched bool) string {
	var out strings.Builder
	out.Grow(len(s))
	nofill, params := 0, 0
	newlines := func(n int) {
		switch {
		case nofill > 0 || !enriched && n > 1:
			out.WriteString(strings.Repeat("\n", n))
		case n == 1:
			out.WriteByte(' ')
		default:
			out.WriteString(strings.Repeat("\n", n-1))
		}
	}
	for len(s) > 0 {
		switch {
		case s[0] == '\n':
			n := 1
			for n < len(s) && s[n] == '\n' {
				n++
			}
			if s = s[n:]; params == 0 {
				newlines(n)
			}
		case enriched && strings.HasPrefix(s, "<<"):
			if s = s[2:]; params == 0 {
				out.WriteByte('<')
			}
		case s[0] == '<':
			end := strings.IndexByte(s[:min(len(s), 64)], '>')
			if end < 0 {
				out.WriteByte('<')
				s = s[1:]
				continue
			}
			switch word := strings.ToLower(s[1:end]); word {
			case "nofill", "/nofill":
				nofill = nest(nofill, word)
			case "param", "/param", "comment", "/comment":
				params = nest(params, word)
			case "nl", "np":
				out.WriteByte('\n')
			case "lt":
				out.WriteByte('<')
			}
			s = s[end+1:]
		default:
			n := strings.IndexAny(s, "<\n")
			if n < 0 {
				n = len(s)
			}
			if params == 0 {
				out.WriteString(s[:n])
			}
			s = s[n:]
		}
	}
	return out.String()
}

func nest(depth int, word string) int {
	if word[0] == '/' {
		return max(depth-1, 0)
	}
	return depth + 1
}
