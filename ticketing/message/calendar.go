package message

import (
	"strconv"
	"strings"
	"time"
)

// Calendar is what an iCalendar object (RFC 5545) says to a person.
type Calendar struct {
	Method string  // upper case: REQUEST, CANCEL, REPLY …; "" if none
	Events []Event // appointments and tasks, at most 20
	More   int     // how many it has beyond those
}

// Event is one appointment or task. Texts are single lines, Description aside.
type Event struct {
	Task        bool
	UID         string
	Summary     string
	Location    string
	Description string
	Organizer   string // "Anna <a@b.example>"
	Attendees   []string
	Answer      string // of the attendee in a reply: accepted, declined, tentative …
	Start, End  Moment // End is the last moment, for whole days the last day
	Status      string // upper case: CONFIRMED, CANCELLED …
	Repeats     string // "weekly", "every 2 weeks, 10 times" …; "" = once
}

// Moment is a time as its author wrote it. Nothing is converted: the zone's
// rules may stand in the calendar, be our own or be unknown.
type Moment struct {
	Time  time.Time // its clock face, in UTC; zero = not given
	Zone  string    // "UTC", "Europe/Berlin", "W. Europe Standard Time"; "" = wherever one is
	Whole bool      // a whole day
}

const (
	maxEvents    = 20
	maxAttendees = 50
	maxICalLine  = 16 << 10 // bytes of an unfolded line that are read
	maxICalValue = 1000     // bytes of a value that are kept
	maxICalText  = 4000     // bytes of a description
	maxICalDepth = 16
)

// ParseCalendar reads an iCalendar object tolerantly; lines it does not know
// are passed over. It returns nil if there is no appointment and no task in it.
// The time taken is linear in the length.
func ParseCalendar(text string) *Calendar {
	r := &calendarReader{c: &Calendar{}}
	for len(text) > 0 {
		var l string
		l, text = unfoldedLine(text)
		r.line(l)
	}
	r.end()
	if len(r.c.Events) == 0 {
		return nil
	}
	return r.c
}

// unfoldedLine takes one line with its continuations.
func unfoldedLine(s string) (line, rest string) {
	line, rest, _ = strings.Cut(s, "\n")
	line = strings.TrimRight(line, "\r")
	if rest == "" || rest[0] != ' ' && rest[0] != '\t' {
		return cutRunes(line, maxICalLine), rest
	}
	var out strings.Builder
	out.WriteString(cutRunes(line, maxICalLine))
	for rest != "" && (rest[0] == ' ' || rest[0] == '\t') {
		line, rest, _ = strings.Cut(rest[1:], "\n")
		if out.Len() < maxICalLine {
			out.WriteString(cutRunes(strings.TrimRight(line, "\r"), maxICalLine-out.Len()))
		}
	}
	return out.String(), rest
}

type calendarReader struct {
	c        *Calendar
	stack    []string
	event    *Event
	duration time.Duration
}

func (r *calendarReader) line(l string) {
	name, params, value, ok := icalProperty(l)
	if !ok {
		return
	}
	switch name {
	case "BEGIN":
		r.begin(strings.ToUpper(strings.TrimSpace(value)))
		return
	case "END":
		if n := len(r.stack); n > 0 {
			if w := r.stack[n-1]; w == "VEVENT" || w == "VTODO" {
				r.end()
			}
			r.stack = r.stack[:n-1]
		}
		return
	case "METHOD":
		if r.event == nil && r.c.Method == "" {
			r.c.Method = strings.ToUpper(icalText(value))
		}
		return
	}
	if r.event != nil && len(r.stack) > 0 && (r.stack[len(r.stack)-1] == "VEVENT" || r.stack[len(r.stack)-1] == "VTODO") {
		r.property(name, params, value)
	}
}

func (r *calendarReader) begin(what string) {
	if len(r.stack) < maxICalDepth {
		r.stack = append(r.stack, what)
	}
	if what == "VEVENT" || what == "VTODO" {
		r.end()
		r.event = &Event{Task: what == "VTODO"}
	}
}

// end keeps the event being read.
func (r *calendarReader) end() {
	e := r.event
	if r.event = nil; e == nil {
		return
	}
	if e.End.Time.IsZero() && r.duration > 0 && !e.Start.Time.IsZero() {
		e.End = e.Start
		e.End.Time = e.Start.Time.Add(r.duration)
		if e.Start.Whole {
			e.End.Time = e.End.Time.AddDate(0, 0, -1)
		}
	}
	r.duration = 0
	if len(r.c.Events) >= maxEvents {
		r.c.More++
		return
	}
	r.c.Events = append(r.c.Events, *e)
}

func (r *calendarReader) property(name string, params map[string]string, value string) {
	e := r.event
	switch name {
	case "SUMMARY":
		e.Summary = icalText(value)
	case "LOCATION":
		e.Location = icalText(value)
	case "UID":
		e.UID = icalText(value)
	case "STATUS":
		e.Status = strings.ToUpper(icalText(value))
	case "DESCRIPTION":
		e.Description = cutRunes(strings.TrimSpace(cleanText(icalUnescape(value))), maxICalText)
	case "ORGANIZER":
		e.Organizer = icalPerson(params, value)
	case "ATTENDEE":
		if len(e.Attendees) < maxAttendees {
			e.Attendees = append(e.Attendees, icalPerson(params, value))
		}
		if e.Answer == "" {
			e.Answer = strings.ToLower(icalText(params["PARTSTAT"]))
		}
	case "DTSTART":
		e.Start = icalMoment(params, value)
	case "DTEND", "DUE":
		e.End = icalMoment(params, value)
		if e.End.Whole && name == "DTEND" && !e.End.Time.IsZero() {
			e.End.Time = e.End.Time.AddDate(0, 0, -1) // RFC 5545 §3.8.2.2: the end is not part of it
		}
	case "DURATION":
		r.duration = icalDuration(value)
	case "RRULE":
		e.Repeats = icalRule(value)
	}
}

// icalProperty takes NAME;PARAM="x";PARAM=y:value apart.
func icalProperty(l string) (name string, params map[string]string, value string, ok bool) {
	quoted, end := false, -1
	for i := 0; i < len(l) && end < 0; i++ {
		switch {
		case l[i] == '"':
			quoted = !quoted
		case l[i] == ':' && !quoted:
			end = i
		}
	}
	if end <= 0 {
		return "", nil, "", false
	}
	head, value := l[:end], l[end+1:]
	name, rest, more := strings.Cut(head, ";")
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:] // a group before the name
	}
	name = strings.ToUpper(strings.TrimSpace(name))
	for n := 0; more && n < 30; n++ {
		var p string
		p, rest, more = cutUnquoted(rest)
		k, v, _ := strings.Cut(p, "=")
		if params == nil {
			params = map[string]string{}
		}
		params[strings.ToUpper(strings.TrimSpace(k))] = strings.Trim(v, "\"")
	}
	return name, params, value, name != ""
}

// cutUnquoted cuts at the first semicolon outside quotes.
func cutUnquoted(s string) (before, after string, found bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ';' && !quoted:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

func icalUnescape(s string) string {
	if !strings.Contains(s, "\\") {
		return s
	}
	return icalEscapes.Replace(s)
}

var icalEscapes = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\N`, "\n", `\,`, ",", `\;`, ";", `\"`, `"`)

// icalText reads a text value as one line.
func icalText(s string) string { return cutRunes(cleanLine(icalUnescape(s)), maxICalValue) }

// icalPerson names an organizer or attendee.
func icalPerson(params map[string]string, value string) string {
	addr := strings.TrimSpace(value)
	if len(addr) >= 7 && strings.EqualFold(addr[:7], "mailto:") {
		addr = addr[7:]
	}
	name := icalText(params["CN"])
	addr = icalText(addr)
	switch {
	case name == "" || strings.EqualFold(name, addr):
		return addr
	case addr == "" || !strings.Contains(addr, "@"):
		return name
	}
	return name + " <" + addr + ">"
}

// icalMoment reads a DATE or DATE-TIME.
func icalMoment(params map[string]string, value string) Moment {
	v := strings.TrimSpace(value)
	if len(v) == 8 {
		t, err := time.Parse("20060102", v)
		if err != nil {
			return Moment{}
		}
		return Moment{Time: t, Whole: true}
	}
	zone := icalZone(params["TZID"])
	if z := strings.TrimSuffix(v, "Z"); z != v {
		v, zone = z, "UTC"
	}
	t, err := time.Parse("20060102T150405", v)
	if err != nil {
		if t, err = time.Parse("20060102T1504", v); err != nil {
			return Moment{}
		}
	}
	return Moment{Time: t, Zone: zone}
}

// icalZone drops what some programs put before the name of a zone.
func icalZone(id string) string {
	id = icalText(id)
	if strings.HasPrefix(id, "/") {
		parts := strings.Split(strings.Trim(id, "/"), "/")
		id = strings.Join(parts[max(len(parts)-2, 0):], "/")
	}
	return cutRunes(id, 100)
}

// icalDuration reads P1DT2H30M and its like; 0 if it is none.
func icalDuration(v string) time.Duration {
	s, ok := strings.CutPrefix(strings.ToUpper(strings.TrimSpace(v)), "P")
	if !ok || len(s) > 40 {
		return 0
	}
	var d time.Duration
	for s != "" {
		s = strings.TrimPrefix(s, "T")
		i := 0
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		n, err := strconv.Atoi(s[:i])
		if err != nil || i >= len(s) || n > 100_000 {
			return 0
		}
		unit := map[byte]time.Duration{'W': 7 * 24 * time.Hour, 'D': 24 * time.Hour, 'H': time.Hour, 'M': time.Minute, 'S': time.Second}[s[i]]
		if unit == 0 {
			return 0
		}
		d += time.Duration(n) * unit
		s = s[i+1:]
	}
	return d
}

// icalRule says in words how often an event comes again.
func icalRule(v string) string {
	parts := map[string]string{}
	for i, p := range strings.Split(strings.ToUpper(cutRunes(v, maxICalValue)), ";") {
		if k, val, ok := strings.Cut(p, "="); ok && i < 20 {
			parts[strings.TrimSpace(k)] = strings.TrimSpace(val)
		}
	}
	unit := map[string][2]string{"DAILY": {"daily", "days"}, "WEEKLY": {"weekly", "weeks"}, "MONTHLY": {"monthly", "months"}, "YEARLY": {"yearly", "years"},
		"HOURLY": {"hourly", "hours"}, "MINUTELY": {"every minute", "minutes"}, "SECONDLY": {"every second", "seconds"}}[parts["FREQ"]]
	if unit[0] == "" {
		return ""
	}
	out := unit[0]
	if n, err := strconv.Atoi(parts["INTERVAL"]); err == nil && n > 1 {
		out = "every " + strconv.Itoa(n) + " " + unit[1]
	}
	if days := icalDays(parts["BYDAY"]); days != "" {
		out += " on " + days
	}
	if n, err := strconv.Atoi(parts["COUNT"]); err == nil && n > 0 {
		out += ", " + strconv.Itoa(n) + " times"
	} else if u := icalMoment(nil, parts["UNTIL"]); !u.Time.IsZero() {
		out += " until " + u.Time.Format("2006-01-02")
	}
	return out
}

// icalDays reads MO,WE or 1MO,-1FR.
func icalDays(v string) string {
	var out []string
	for i, d := range strings.Split(v, ",") {
		if len(d) < 2 || i >= 7 {
			break
		}
		day := map[string]string{"MO": "Monday", "TU": "Tuesday", "WE": "Wednesday", "TH": "Thursday", "FR": "Friday", "SA": "Saturday", "SU": "Sunday"}[d[len(d)-2:]]
		if day == "" {
			return ""
		}
		switch n, err := strconv.Atoi(d[:len(d)-2]); {
		case err != nil && len(d) > 2:
			return ""
		case n == -1:
			day = "the last " + day
		case n > 0 && n < 6:
			day = "the " + [...]string{"first", "second", "third", "fourth", "fifth"}[n-1] + " " + day
		}
		out = append(out, day)
	}
	return strings.Join(out, ", ")
}
