package message

import (
	"fmt"
	"strings"
)

func isCalendar(p *Part) bool {
	return p.Type == "text/calendar" || p.Type == "application/ics" || strings.HasPrefix(p.Type, "application/") && strings.HasSuffix(strings.ToLower(p.Filename), ".ics")
}

// invitation is what a calendar part says, "" if it says nothing.
func (m *Mail) invitation(p *Part) string {
	c := ParseCalendar(m.partText(p, m.limits().Text))
	if c == nil {
		return ""
	}
	if c.Method == "" {
		c.Method = strings.ToUpper(cleanLine(p.Params["method"]))
	}
	return c.String()
}

// String tells the calendar in a few lines: what it is, when, where, who asks.
func (c *Calendar) String() string {
	var out strings.Builder
	for i := range c.Events {
		if i > 0 {
			out.WriteByte('\n')
		}
		c.Events[i].write(&out, c.Method)
	}
	if c.More > 0 {
		fmt.Fprintf(&out, "\nand %d more\n", c.More)
	}
	return out.String()
}

func (e *Event) write(out *strings.Builder, method string) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(out, "%s: %s\n", name, value)
		}
	}
	summary := e.Summary
	if summary == "" {
		summary = "(without a title)"
	}
	line(e.kind(method), summary)
	when := e.when()
	line("When", when)
	line("Repeats", e.Repeats)
	line("Where", e.Location)
	line("Organizer", e.Organizer)
	if method == "REPLY" {
		line("From", strings.Join(e.Attendees, ", "))
	}
}

// kind names what is asked or told.
func (e *Event) kind(method string) string {
	switch {
	case method == "CANCEL" || e.Status == "CANCELLED":
		return "Cancelled"
	case method == "REPLY":
		switch e.Answer {
		case "accepted", "declined", "tentative", "delegated":
			return "Answer to an invitation, " + e.Answer
		}
		return "Answer to an invitation"
	case method == "COUNTER":
		return "Another time is proposed"
	case method == "DECLINECOUNTER":
		return "The proposed time is declined"
	case method == "REFRESH":
		return "The newest version is asked for"
	case method == "REQUEST" && e.Task:
		return "Task"
	case method == "REQUEST":
		return "Invitation"
	case e.Task:
		return "Task"
	}
	return "Appointment"
}

// when tells start and end, the day once if it is the same.
func (e *Event) when() string {
	from, to := e.Start, e.End
	switch {
	case from.Time.IsZero() && to.Time.IsZero():
		return ""
	case from.Time.IsZero():
		return "until " + to.String()
	case to.Time.IsZero() || to.Time.Equal(from.Time) && to.Zone == from.Zone:
		return from.String()
	case from.Whole || to.Whole || from.Zone != to.Zone:
		return from.String() + " – " + to.String()
	case from.Time.Format("20060102") == to.Time.Format("20060102"):
		return from.Time.Format("Mon 2006-01-02 15:04") + "–" + to.Time.Format("15:04") + zoneText(to.Zone)
	}
	return from.Time.Format("Mon 2006-01-02 15:04") + " – " + to.Time.Format("Mon 2006-01-02 15:04") + zoneText(to.Zone)
}

// String tells a moment by its own clock, with the zone's name.
func (m Moment) String() string {
	switch {
	case m.Time.IsZero():
		return ""
	case m.Whole:
		return m.Time.Format("Mon 2006-01-02")
	}
	return m.Time.Format("Mon 2006-01-02 15:04") + zoneText(m.Zone)
}

func zoneText(zone string) string {
	if zone == "" {
		return ""
	}
	return " (" + zone + ")"
}
