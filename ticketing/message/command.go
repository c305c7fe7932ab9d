package message

import (
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Command is one wish of an agent, written as a leading line of his mail. Only
// its form has been looked at: whether there is such an agent, queue or ticket
// is for the desk to say.
type Command struct {
	Line   string // as written, at most maxCommandLine bytes
	Word   string // status assign priority category queue tag due snooze time task cc merge link visibility
	Value  string // of status (one of ours), assign, priority, category, queue, task, visibility
	Add    []string
	Remove []string
	Ticket uint64
	// Minutes and Role belong to time.
	Minutes int
	Role    string
	// At or In say when something is due or comes back; neither ends it.
	At  time.Time // a day, or a minute of it, UTC
	In  time.Duration
	Err string // why the line cannot be understood; nothing else counts then
}

const (
	maxCommandLine = 500 // bytes; a longer line is a command that failed
	maxCommands    = 20  // lines; what follows them failed
	maxListed      = 50  // names after one word
)

// Commands reads the leading lines of a text that are commands and returns
// them, how many lines they are, and the text without them. Blank lines
// between them count with them. The first line that is no command ends them:
// text, a "#word" that is none of ours, a ticket number.
//
//	#status solved  #solved  #close      #assign otto|me|nobody   #priority high
//	#queue billing  #category hardware   #tag +vip -old           #due 2026-12-01
//	#snooze 3d      #public  #note       #time 25m                #cc +x@y -z@w
//	#merge 123      #link 123            #task call the supplier
//	#T=0.25 #R=Engineer #S=Complete      (hours, role, status)
//
// "#note" may be followed by text on its line, which stays text. A line of
// several wishes gives several commands with the same Line.
func Commands(text string) (list []Command, lines int, rest string) {
	rest = text
	for {
		line, after, more := strings.Cut(rest, "\n")
		trimmed := strings.TrimSpace(line)
		if trimmed == "" {
			if !more {
				break
			}
			rest = after
			continue
		}
		found, ends := parseLine(trimmed)
		if found == nil {
			break
		}
		if lines >= maxCommands && found[0].Err == "" {
			found = []Command{{Line: found[0].Line, Word: found[0].Word, Err: "there are too many commands in one mail"}}
		}
		list = append(list, found...)
		if ends {
			break // the line stays text
		}
		lines++
		rest = after
		if !more {
			break
		}
	}
	if len(list) == 0 {
		return nil, 0, text
	}
	return list, lines, strings.TrimLeft(rest, "\n")
}

// parseLine reads one line; nil if it is no command. ends tells that the line
// is text as well.
func parseLine(line string) (list []Command, ends bool) {
	if list := parseHours(line); list != nil {
		return list, false
	}
	word, arg := commandWord(line)
	parse, ok := commandWords[word]
	if !ok {
		return nil, false
	}
	c := Command{Line: cutRunes(line, maxCommandLine), Word: word}
	if word == "note" {
		c.Word, c.Value, c.Line = "visibility", "internal", "#note"
		return []Command{c}, arg != ""
	}
	if len(line) > maxCommandLine {
		c.Err = "the line is too long"
		return []Command{c}, false
	}
	parse(&c, arg)
	return []Command{c}, false
}

// commandWord splits "#word argument"; the word is in lower case.
func commandWord(line string) (word, arg string) {
	rest, ok := strings.CutPrefix(line, "#")
	if !ok {
		return "", ""
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') })
	if end < 0 {
		return lowerASCII(rest), ""
	}
	if r, _ := firstRune(rest[end:]); !unicode.IsSpace(r) {
		return "", ""
	}
	return lowerASCII(rest[:end]), strings.TrimSpace(rest[end:])
}

func firstRune(s string) (rune, bool) {
	for _, r := range s {
		return r, true
	}
	return 0, false
}

// commandWords are the words there are, and how what follows them is read.
var commandWords = map[string]func(*Command, string){
	"status":   readStatus,
	"solved":   fixedStatus("solved"),
	"close":    fixedStatus("closed"),
	"assign":   readName("who"),
	"priority": readPriority,
	"category": readName("which category"),
	"queue":    readName("which queue"),
	"tag":      readList(false),
	"cc":       readList(true),
	"due":      readWhen,
	"snooze":   readWhen,
	"public":   func(c *Command, arg string) { c.Word, c.Value = "visibility", "public"; c.only(arg) },
	"note":     nil, // read in parseLine
	"time":     readTime,
	"merge":    readTicket,
	"link":     readTicket,
	"task":     readName("what is to be done"),
}

// only refuses an argument.
func (c *Command) only(arg string) {
	if arg != "" {
		c.Err = "nothing may follow this word"
	}
}

func fixedStatus(status string) func(*Command, string) {
	return func(c *Command, arg string) {
		c.Word, c.Value = "status", status
		c.only(arg)
	}
}

// statusWords are how people, and Autotask, name our statuses.
var statusWords = map[string]string{
	"new": "new", "open": "open", "pending": "pending", "on_hold": "on_hold", "solved": "solved", "closed": "closed",
	"on hold": "on_hold", "hold": "on_hold", "resolved": "solved", "done": "solved",
	"complete": "solved", "completed": "solved", "in progress": "open", "waiting customer": "pending", "waiting vendor": "on_hold",
}

func readStatus(c *Command, arg string) {
	key := strings.Join(strings.Fields(strings.ReplaceAll(strings.ToLower(arg), "-", " ")), " ")
	if c.Value = statusWords[key]; c.Value == "" {
		c.Err = "a status is one of new, open, pending, on_hold, solved, closed"
	}
}

func readPriority(c *Command, arg string) {
	switch arg = strings.ToLower(arg); arg {
	case "low", "normal", "high", "urgent":
		c.Value = arg
	default:
		c.Err = "a priority is one of low, normal, high, urgent"
	}
}

func readName(what string) func(*Command, string) {
	return func(c *Command, arg string) {
		if c.Value = arg; arg == "" {
			c.Err = "say " + what
		}
	}
}

// readList reads "+a -b"; what has no sign is added.
func readList(addresses bool) func(*Command, string) {
	return func(c *Command, arg string) {
		names := strings.FieldsFunc(arg, func(r rune) bool { return unicode.IsSpace(r) || r == ',' || r == ';' })
		for _, name := range names {
			list := &c.Add
			switch name[0] {
			case '+':
				name = name[1:]
			case '-':
				name, list = name[1:], &c.Remove
			}
			if addresses {
				name = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(name, "<"), "mailto:"), ">")
			}
			if name == "" {
				c.Err = "a sign stands alone"
				return
			}
			*list = append(*list, name)
		}
		switch n := len(c.Add) + len(c.Remove); {
		case n == 0:
			c.Err = "say which: +this -that"
		case n > maxListed:
			c.Err = "there are too many names"
		}
	}
}

func readTicket(c *Command, arg string) {
	n, err := strconv.ParseUint(strings.TrimPrefix(arg, "#"), 10, 63)
	if err != nil || n == 0 {
		c.Err = "say the number of a ticket"
		return
	}
	c.Ticket = n
}

// readWhen reads a day, a minute of a day, a number of days and so on, or none.
func readWhen(c *Command, arg string) {
	switch strings.ToLower(arg) {
	case "none", "never", "off", "-":
		return
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04", "2006-01-02T15:04"} {
		if at, err := time.Parse(layout, arg); err == nil && at.Year() >= 2000 && at.Year() < 3000 {
			c.At = at
			return
		}
	}
	if len(arg) > 1 && len(arg) < 6 {
		n, err := strconv.Atoi(arg[:len(arg)-1])
		unit := map[byte]time.Duration{'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}[arg[len(arg)-1]|0x20]
		if err == nil && n > 0 && n <= 1000 && unit > 0 {
			c.In = time.Duration(n) * unit
			return
		}
	}
	c.Err = "say a day as 2026-12-01, a time from now as 4h, 3d or 2w, or none"
}

const maxCommandMinutes = 24 * 60

func readTime(c *Command, arg string) {
	if c.Minutes = minutes(strings.ToLower(strings.Join(strings.Fields(arg), ""))); c.Minutes == 0 {
		c.Err = "say working time as 25m, 1h30m or 1.5h, a day at most"
	}
}

// minutes reads 25m, 90min, 1h, 1h30m, 1h30, 1.5h and 1:30; 0 if it is none of
// them, or no time at all, or more than a day.
func minutes(s string) int {
	if h, m, ok := strings.Cut(s, ":"); ok {
		return sumMinutes(h, m, len(m) == 2)
	}
	if h, m, ok := strings.Cut(s, "h"); ok {
		if m == "" {
			return hours(h)
		}
		return sumMinutes(h, strings.TrimSuffix(strings.TrimSuffix(m, "in"), "m"), true)
	}
	if m, ok := strings.CutSuffix(strings.TrimSuffix(s, "in"), "m"); ok {
		return sumMinutes("0", m, true)
	}
	return 0
}

func sumMinutes(h, m string, ok bool) int {
	hh, err1 := strconv.ParseUint(h, 10, 16)
	mm, err2 := strconv.ParseUint(m, 10, 16)
	if sum := hh*60 + mm; ok && err1 == nil && err2 == nil && sum <= maxCommandMinutes {
		return int(sum)
	}
	return 0
}

// hours reads a decimal number of hours, with a point or a comma.
func hours(s string) int {
	s = strings.Replace(s, ",", ".", 1)
	if s == "" || len(s) > 8 || strings.Trim(s, "0123456789.") != "" {
		return 0
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0
	}
	if m := int(f*60 + 0.5); m <= maxCommandMinutes {
		return m
	}
	return 0
}

// parseHours reads Autotask's line: #T=hours #R=role #S=status, in any order.
// nil if the line is none.
func parseHours(line string) []Command {
	fields := hourFields(line)
	if fields == nil {
		return nil
	}
	c := Command{Line: cutRunes(line, maxCommandLine), Word: "time"}
	fail := func(why string) []Command {
		c.Err = why
		return []Command{c}
	}
	if len(line) > maxCommandLine {
		return fail("the line is too long")
	}
	status := Command{Line: c.Line, Word: "status"}
	seen := map[byte]bool{}
	for _, f := range fields {
		if seen[f.key] {
			return fail("#" + string(f.key) + "= stands twice")
		}
		seen[f.key] = true
		switch f.key {
		case 'T':
			if c.Minutes = hours(f.value); c.Minutes == 0 {
				return fail("#T= wants hours, as 0.25, a day at most")
			}
		case 'R':
			c.Role = f.value
		case 'S':
			if readStatus(&status, f.value); status.Err != "" {
				return fail(status.Err)
			}
		}
	}
	var out []Command
	switch {
	case seen['T']:
		out = append(out, c)
	case seen['R']:
		return fail("#R= says in what role; #T= is missing")
	}
	if seen['S'] {
		out = append(out, status)
	}
	return out
}

type hourField struct {
	key   byte
	value string
}

// hourFields splits a line that begins with #T=, #R= or #S=.
func hourFields(line string) (out []hourField) {
	starts := func(s string) bool {
		return len(s) >= 3 && s[0] == '#' && strings.IndexByte("TRS", s[1]&^0x20) >= 0 && s[2] == '='
	}
	if !starts(line) {
		return nil
	}
	for line != "" {
		key, rest := line[1]&^0x20, line[3:]
		end := len(rest)
		for i := range len(rest) {
			if starts(rest[i:]) {
				end = i
				break
			}
		}
		out = append(out, hourField{key, strings.TrimSpace(rest[:end])})
		line = rest[end:]
	}
	return out
}

// SkipCommands returns a text without its leading command lines, given how many
// there were when it came. Lines that do not begin like a command are never
// skipped.
func SkipCommands(text string, lines int) string {
	_, rest := cutCommands(text, lines)
	return rest
}

// cutCommands also returns the lines it skipped.
func cutCommands(text string, lines int) (skipped []string, rest string) {
	rest = text
	for len(skipped) < lines {
		line, after, more := strings.Cut(rest, "\n")
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "#"):
			skipped = append(skipped, trimmed)
		case trimmed != "":
			return skipped, rest
		}
		if rest = after; !more {
			rest = ""
			break
		}
	}
	if len(skipped) == 0 {
		return nil, text
	}
	return skipped, strings.TrimLeft(rest, "\r\n")
}
