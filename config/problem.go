package config

import (
	"fmt"
	"io"
	"regexp"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem is one mistake in a configuration, or one warning about it.
type Problem struct {
	File       string
	Line, Col  int    // from 1, in characters; 0 when the problem is the file itself
	Key        string // dotted, as in queue.support.address; "" for syntax errors
	Text       string // what is wrong
	Suggestion string // what was probably meant, or what to do; may be empty
	Excerpt    string // the line, with secrets blanked; may be empty
	Warning    bool   // the configuration works nevertheless
}

// String is the problem in one line.
func (p Problem) String() string { return p.place() + " " + p.sentence() }

func (p Problem) place() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

func (p Problem) sentence() string {
	s := p.Text
	if p.Warning {
		s = "warning: " + s
	}
	if p.Suggestion != "" {
		s += " — " + p.Suggestion
	}
	return s
}

// Problems are all mistakes and warnings of a configuration, in file order.
type Problems []Problem

// Errors returns the mistakes.
func (ps Problems) Errors() Problems { return ps.only(false) }

// Warnings returns what does not prevent a start.
func (ps Problems) Warnings() Problems { return ps.only(true) }

func (ps Problems) only(warning bool) Problems {
	var out Problems
	for _, p := range ps {
		if p.Warning == warning {
			out = append(out, p)
		}
	}
	return out
}

// Print writes every problem with its line of the file, places aligned, and a
// last line with the count.
func (ps Problems) Print(w io.Writer) error {
	width := 0
	for _, p := range ps {
		width = max(width, utf8.RuneCountInString(p.place()))
	}
	var b strings.Builder
	for _, p := range ps {
		fmt.Fprintf(&b, "%-*s %s\n", width, p.place(), p.sentence())
		if p.Excerpt != "" {
			fmt.Fprintf(&b, "%4d │ %s\n", p.Line, p.Excerpt)
		}
	}
	b.WriteString(ps.Summary() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// Summary counts, as in "2 errors, 0 warnings."
func (ps Problems) Summary() string {
	return fmt.Sprintf("%s, %s.", count(len(ps.Errors()), "error"), count(len(ps.Warnings()), "warning"))
}

func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// Error makes Problems an error value: the first mistakes in one string.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func (ps Problems) sort() {
	sort.SliceStable(ps, func(i, j int) bool {
		if ps[i].Line != ps[j].Line {
			return ps[i].Line < ps[j].Line
		}
		return ps[i].Col < ps[j].Col
	})
}

// secretValue finds values an excerpt must not show. Store URLs carry
// passwords too.
var secretValue = regexp.MustCompile(`(?i)((?:[\w-]*(?:token|secret|password)|\burl)["']?\s*=\s*)("(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s"',}]+)`)

// fileValue finds keys that name a file with a secret, whose value may be shown.
var fileValue = regexp.MustCompile(`(?i)_file["']?\s*=`)

const maxExcerpt = 160

// excerpt makes one line of the file fit to be shown: no secrets, no control
// characters, not endless.
func excerpt(line string) string {
	line = secretValue.ReplaceAllStringFunc(line, func(m string) string {
		if fileValue.MatchString(m) {
			return m
		}
		return secretValue.ReplaceAllString(m, `$1"…"`)
	})
	line = strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if unicode.IsControl(r) || !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, strings.TrimRight(line, "\r\n"))
	if r := []rune(line); len(r) > maxExcerpt {
		line = string(r[:maxExcerpt]) + "…"
	}
	return line
}

// nearest returns the candidate closest to word, "" if none is close enough to
// be what was meant.
func nearest(word string, candidates []string) string {
	best, least := "", 1+max(1, len(word)/3)
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < least {
			best, least = c, d
		}
	}
	return best
}

func didYouMean(word string, candidates []string) string {
	if n := nearest(word, candidates); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return ""
}

// distance counts the insertions, deletions, substitutions and swaps of
// neighbours that turn a into b (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 64 || len(y) > 64 {
		return 64
	}
	before, prev, cur := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(x); i++ {
		cur[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(y)]
}
