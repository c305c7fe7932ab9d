package message

import (
	"strings"
	"testing"
	"time"
)

func ical(method string, lines ...string) string {
	return "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:" + method + "\r\nBEGIN:VTIMEZONE\r\nTZID:Europe/Berlin\r\nBEGIN:STANDARD\r\nDTSTART:19701025T030000\r\nSUMMARY:not this\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\n" +
		strings.Join(lines, "\r\n") + "\r\nBEGIN:VALARM\r\nDESCRIPTION:nor this\r\nSUMMARY:nor that\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
}

// TestCalendar: what a person reads of an invitation.
func TestCalendar(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"invitation", ical("REQUEST", "SUMMARY:Printer\\, second floor", "DTSTART;TZID=Europe/Berlin:20261105T100000", "DTEND;TZID=Europe/Berlin:20261105T113000", "LOCATION:Room 5\\; left", `ORGANIZER;CN="Anna Müller":mailto:anna@customer.example`, "ATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:support@help.example"),
			"Invitation: Printer, second floor\nWhen: Thu 2026-11-05 10:00–11:30 (Europe/Berlin)\nWhere: Room 5; left\nOrganizer: Anna Müller <anna@customer.example>\n"},
		{"UTC over midnight, folded", ical("REQUEST", "SUMMARY:Night", " shift", "DTSTART:20261105T220000Z", "DTEND:20261106T060000Z"), "Invitation: Nightshift\nWhen: Thu 2026-11-05 22:00 – Fri 2026-11-06 06:00 (UTC)\n"},
		{"whole days", ical("PUBLISH", "SUMMARY:Fair", "DTSTART;VALUE=DATE:20261105", "DTEND;VALUE=DATE:20261108"), "Appointment: Fair\nWhen: Thu 2026-11-05 – Sat 2026-11-07\n"},
		{"one whole day", ical("PUBLISH", "SUMMARY:Fair", "DTSTART;VALUE=DATE:20261105", "DTEND;VALUE=DATE:20261106"), "Appointment: Fair\nWhen: Thu 2026-11-05\n"},
		{"duration, floating", ical("REQUEST", "SUMMARY:x", "DTSTART:20261105T100000", "DURATION:PT1H30M"), "Invitation: x\nWhen: Thu 2026-11-05 10:00–11:30\n"},
		{"cancelled", ical("CANCEL", "SUMMARY:x", "STATUS:CANCELLED"), "Cancelled: x\n"},
		{"answer", ical("REPLY", "SUMMARY:x", "ATTENDEE;CN=Bo;PARTSTAT=DECLINED:mailto:bo@customer.example"), "Answer to an invitation, declined: x\nFrom: Bo <bo@customer.example>\n"},
		{"repeats", ical("REQUEST", "SUMMARY:x", "DTSTART;TZID=W. Europe Standard Time:20261105T100000", "RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH;COUNT=10"), "Invitation: x\nWhen: Thu 2026-11-05 10:00 (W. Europe Standard Time)\nRepeats: every 2 weeks on Monday, Thursday, 10 times\n"},
		{"repeats on the last Friday", ical("REQUEST", "SUMMARY:x", "RRULE:FREQ=MONTHLY;BYDAY=-1FR;UNTIL=20271231T000000Z"), "Invitation: x\nRepeats: monthly on the last Friday until 2027-12-31\n"},
		{"zone with a prefix", ical("REQUEST", "SUMMARY:x", `DTSTART;TZID="/mozilla.org/20070129_1/Europe/Berlin":20261105T100000`), "Invitation: x\nWhen: Thu 2026-11-05 10:00 (Europe/Berlin)\n"},
		{"two zones", ical("REQUEST", "SUMMARY:x", "DTSTART;TZID=Europe/Berlin:20261105T100000", "DTEND;TZID=Europe/London:20261105T100000"), "Invitation: x\nWhen: Thu 2026-11-05 10:00 (Europe/Berlin) – Thu 2026-11-05 10:00 (Europe/London)\n"},
		{"a task", "BEGIN:VTODO\nSUMMARY:do it\nDUE:20261105T100000Z\nEND:VTODO\n", "Task: do it\nWhen: until Thu 2026-11-05 10:00 (UTC)\n"},
		{"nonsense in values", ical("REQUEST", "SUMMARY:a\\nb\x07\u202ec", "DTSTART:yesterday", "DURATION:soon", "RRULE:FREQ=NEVER"), "Invitation: a bc\n"},
		{"never closed", "BEGIN:VEVENT\nSUMMARY:x", "Appointment: x\n"},
		{"nothing", "BEGIN:VCALENDAR\nEND:VCALENDAR\n", ""},
		{"not a calendar", "hello: world\n", ""},
	} {
		got := ""
		if cal := ParseCalendar(c.in); cal != nil {
			got = cal.String()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	many := ParseCalendar(strings.Repeat("BEGIN:VEVENT\nSUMMARY:x\nEND:VEVENT\n", 100))
	if len(many.Events) != maxEvents || many.More != 100-maxEvents {
		t.Errorf("%d events and %d more", len(many.Events), many.More)
	}
	if e := ParseCalendar(ical("REQUEST", "DTSTART;TZID=Europe/Berlin:20261105T100000")).Events[0]; !e.Start.Time.Equal(time.Date(2026, 11, 5, 10, 0, 0, 0, time.UTC)) || e.Start.Zone != "Europe/Berlin" {
		t.Errorf("start %+v", e.Start)
	}
}

// TestInvitationMail: a mail that is only an invitation reads as one.
func TestInvitationMail(t *testing.T) {
	t.Parallel()
	head := "From: a@b.example\nMIME-Version: 1.0\n"
	cal := strings.ReplaceAll(ical("REQUEST", "SUMMARY:Printer", "DTSTART:20261105T100000Z"), "\r\n", "\n")
	for name, raw := range map[string]string{
		"alone":                head + "Content-Type: text/calendar; charset=utf-8; method=REQUEST\n\n" + cal,
		"beside an empty text": head + "Content-Type: multipart/alternative; boundary=b\n\n--b\n\n\n--b\nContent-Type: text/calendar; method=REQUEST\n\n" + cal + "--b--\n",
		"as a file":            head + "Content-Type: application/ics; name=invite.ics\nContent-Disposition: attachment\n\n" + cal,
	} {
		m := parseBytes(t, raw)
		if got, want := m.Note(m.Attachments()[0]), "Invitation: Printer\nWhen: Thu 2026-11-05 10:00 (UTC)\n"; got != want {
			t.Errorf("%s: note %q, want %q", name, got, want)
		}
		if !strings.Contains(m.Text(), "Invitation: Printer") && name != "as a file" {
			t.Errorf("%s: text %q", name, m.Text())
		}
	}
}
