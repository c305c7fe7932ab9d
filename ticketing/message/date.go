package message

import (
	"strings"
	"time"
)

// ParseDate reads a date as mail carries it: RFC 5322 with its obsolete forms
// and comments, dates without weekday, seconds or zone, two-digit years,
// asctime, ISO 8601, numeric months, named zones, text before a semicolon (as
// in Received). A missing zone means UTC.
func ParseDate(s string) (time.Time, bool) {
	if len(s) > 1000 {
		s = s[len(s)-1000:]
	}
	if i := strings.LastIndexByte(s, ';'); i >= 0 && strings.ContainsAny(s[i:], "0123456789") {
		s = s[i+1:]
	}
	d := dateReader{day: -1, month: -1, year: -1, hour: -1}
	for _, tok := range strings.FieldsFunc(dropComments(s), func(r rune) bool {
		return r == ' ' || r == ',' || r == '\t' || r == '\r' || r == '\n' || r == '"'
	}) {
		d.token(tok)
	}
	return d.time()
}

// dropComments replaces (nested) comments outside quotes by blanks; an unclosed
// one goes to the end.
func dropComments(s string) string {
	if !strings.Contains(s, "(") {
		return s
	}
	out := []byte(s)
	depth, quoted := 0, false
	for i := 0; i < len(out); i++ {
		c := out[i]
		if depth == 0 && c == '"' {
			quoted = !quoted
		}
		if quoted {
			if c == '\\' {
				i++
			}
			continue
		}
		if c == '(' {
			depth++
		}
		if depth > 0 {
			if c == '\\' && i+1 < len(out) {
				out[i+1] = ' '
			}
			out[i] = ' '
		}
		if c == ')' && depth > 0 {
			depth--
		}
	}
	return string(out)
}

type dateReader struct {
	day, month, year    int
	hour, minute, sec   int
	offset              int
	zoned, pm, am, fail bool
	numbers             []int
}

func (d *dateReader) token(tok string) {
	low := strings.ToLower(tok)
	switch {
	case (tok[0] == '+' || tok[0] == '-') && d.hour >= 0 && !d.zoned:
		d.zone(tok)
	case strings.Contains(tok, ":") || d.hour < 0 && strings.Count(tok, ".") == 2 && d.year >= 0:
		d.clock(tok)
	case tok[0] >= '0' && tok[0] <= '9':
		d.number(tok)
	case d.month < 0 && monthNumber(low) > 0:
		d.month = monthNumber(low)
	case isWeekday(low):
	case low == "pm":
		d.pm = true
	case low == "am":
		d.am = true
	case d.hour >= 0 && !d.zoned:
		if off, ok := zoneNames[low]; ok {
			d.offset, d.zoned = off*60, true
		} else if rest, ok := cutAny(low, "gmt", "utc", "ut"); ok && rest != "" {
			d.zone(rest)
		} else if len(low) > 3 {
			if off, ok := zoneNames[low[:3]]; ok && len(low) == 7 { // EST5EDT
				d.offset, d.zoned = off*60, true
			}
		}
	}
}

func cutAny(s string, prefixes ...string) (string, bool) {
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(s, p); ok {
			return rest, true
		}
	}
	return s, false
}

// number takes a day, a year, a compact or dashed date, or one of the numbers
// of a date without month name.
func (d *dateReader) number(tok string) {
	for _, sep := range [...]string{"-", "/", "."} {
		if strings.Count(tok, sep) == 2 {
			d.dashed(strings.Split(tok, sep))
			return
		}
	}
	n, ok := digits(strings.TrimRight(strings.ToLower(tok), "stndrh."))
	if !ok {
		return
	}
	if len(tok) >= 4 {
		if d.year < 0 {
			d.year = n
		}
		return
	}
	d.numbers = append(d.numbers, n)
}

func (d *dateReader) dashed(f []string) {
	last, time, _ := strings.Cut(strings.ToUpper(f[2]), "T")
	a, okA := digits(f[0])
	c, okC := digits(last)
	b, okB := digits(f[1])
	if m := monthNumber(strings.ToLower(f[1])); m > 0 {
		b, okB = m, true
	}
	if !okA || !okB || !okC {
		return
	}
	if len(f[0]) == 4 {
		d.year, d.month, d.day = a, b, c
	} else {
		d.day, d.month, d.year = a, b, fullYear(c, len(last))
	}
	if time != "" {
		d.clock(time)
	}
}

// clock reads 10:52, 10:52:37, 10:52:37.123, 10:52:37+02:00, 2026-01-02T10:52Z.
func (d *dateReader) clock(tok string) {
	tok = strings.ToUpper(tok)
	if date, time, ok := strings.Cut(tok, "T"); ok && strings.Count(date, "-") == 2 {
		d.dashed(strings.Split(date, "-"))
		tok = time
	}
	if d.hour >= 0 {
		return
	}
	if rest, ok := strings.CutSuffix(tok, "Z"); ok {
		tok, d.zoned = rest, true
	}
	if rest, ok := strings.CutSuffix(tok, "PM"); ok {
		tok, d.pm = rest, true
	} else if rest, ok := strings.CutSuffix(tok, "AM"); ok {
		tok, d.am = rest, true
	}
	zone := ""
	if i := strings.IndexAny(tok, "+-"); i > 0 {
		tok, zone = tok[:i], tok[i:]
	}
	f := strings.FieldsFunc(tok, func(r rune) bool { return r == ':' || r == '.' })
	if len(f) < 2 {
		return
	}
	var v [3]int
	for i := range min(len(f), 3) {
		n, ok := digits(f[i])
		if !ok {
			d.fail = true
			return
		}
		v[i] = n
	}
	d.hour, d.minute, d.sec = v[0], v[1], v[2]
	if zone != "" {
		d.zone(zone)
	}
}

func (d *dateReader) zone(tok string) {
	if tok[0] != '+' && tok[0] != '-' {
		return
	}
	n := strings.ReplaceAll(tok[1:], ":", "")
	v, ok := digits(n)
	if !ok || len(n) > 4 {
		return
	}
	if len(n) <= 2 {
		v *= 100
	}
	d.zoned = true
	if v/100 > 15 || v%100 > 59 {
		return // no such place; the clock is kept as UTC
	}
	d.offset = v/100*3600 + v%100*60
	if tok[0] == '-' {
		d.offset = -d.offset
	}
}

func (d *dateReader) time() (time.Time, bool) {
	n := d.numbers
	take := func(dst *int) {
		if *dst < 0 && len(n) > 0 {
			*dst, n = n[0], n[1:]
		}
	}
	take(&d.day)
	take(&d.month)
	if d.year < 0 && len(n) > 0 {
		d.year = fullYear(n[0], 2)
	}
	if d.hour < 0 {
		d.hour = 0
	}
	if d.pm && d.hour < 12 {
		d.hour += 12
	}
	if d.am && d.hour == 12 {
		d.hour = 0
	}
	if d.fail || d.year < 1900 || d.year > 9998 || d.month < 1 || d.month > 12 || d.day < 1 || d.day > 31 || d.hour > 24 || d.minute > 59 || d.sec > 60 {
		return time.Time{}, false
	}
	zone := time.UTC
	if d.offset != 0 {
		zone = time.FixedZone("", d.offset)
	}
	return time.Date(d.year, time.Month(d.month), d.day, d.hour, d.minute, min(d.sec, 59), 0, zone), true
}

// fullYear applies RFC 5322 §4.3 to short years.
func fullYear(n, width int) int {
	switch {
	case width >= 4:
		return n
	case n < 50:
		return n + 2000
	case n < 1000:
		return n + 1900
	}
	return n
}

func digits(s string) (int, bool) {
	if s == "" || len(s) > 8 {
		return 0, false
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

const monthNames = "jan feb mar apr may jun jul aug sep oct nov dec "

// monthNumber knows the names' first three letters and the full names.
func monthNumber(low string) int {
	low = strings.TrimSuffix(low, ".")
	if len(low) < 3 {
		return 0
	}
	i := strings.Index(monthNames, low[:3]+" ")
	if i < 0 {
		return 0
	}
	m := i/4 + 1
	if len(low) > 3 && !strings.HasPrefix(strings.ToLower(time.Month(m).String()), low) && low != "sept" {
		return 0
	}
	return m
}

func isWeekday(low string) bool {
	return len(low) >= 3 && strings.Contains("mon tue wed thu fri sat sun ", low[:3]+" ")
}

// zoneNames are minutes from UTC. The military letters say nothing reliable
// (RFC 5322 §4.3) and are read as UTC, as is any unknown name.
var zoneNames = map[string]int{
	"gmt": 0, "ut": 0, "utc": 0, "z": 0, "wet": 0, "west": 60, "bst": 60, "cet": 60, "met": 60, "mez": 60, "cest": 120, "mest": 120, "mesz": 120,
	"eet": 120, "eest": 180, "msk": 180, "ist": 330, "jst": 540, "kst": 540, "aest": 600, "aedt": 660, "nzst": 720, "nzdt": 780,
	"est": -300, "edt": -240, "cst": -360, "cdt": -300, "mst": -420, "mdt": -360, "pst": -480, "pdt": -420, "akst": -540, "akdt": -480, "hst": -600,
}
