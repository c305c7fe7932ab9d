package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ticketgate/test/corpora"
)

// scored is a message as the score reads it.
type scored struct {
	Kind       string
	Visibility string
	Automatic  struct{ Class string }
	Bounce     *struct {
		FeedbackType string `json:"feedback_type"`
		Recipients   []struct {
			Address, Action, Status, Reason string
			SMTPCode                        int `json:"smtp_code"`
			Hard                            bool
		}
	}
}

// verdict reports whether the mail counts as a report or a complaint.
func (s *scored) verdict() bool {
	switch s.Automatic.Class {
	case "bounce", "delayed", "feedback":
		return true
	}
	return s.Bounce != nil
}

// score counts how often each thing came out as it should.
type score struct {
	t    *testing.T
	hits map[string][2]int // good, all
}

func newScore(t *testing.T) *score { return &score{t, map[string][2]int{}} }

func (s *score) check(what, file string, good bool, format string, args ...any) {
	h := s.hits[what]
	h[1]++
	if good {
		h[0]++
	} else {
		s.t.Logf("%s: %s: %s", what, file, fmt.Sprintf(format, args...))
	}
	s.hits[what] = h
}

// require prints the scores and asserts the floors, in percent.
func (s *score) require(floors map[string]float64) {
	s.t.Helper()
	for _, what := range slices.Sorted(maps.Keys(floors)) {
		h, floor := s.hits[what], floors[what]
		percent := 100 * float64(h[0]) / float64(max(h[1], 1))
		s.t.Logf("%-20s %4d of %4d  %5.1f %%  (floor %g)", what, h[0], h[1], percent, floor)
		if percent < floor || h[1] == 0 {
			s.t.Errorf("%s: %.1f %% is below %g %%", what, percent, floor)
		}
	}
}

// reportDesk is a daemon that answers nobody.
func reportDesk(t *testing.T) *daemon {
	d := newDaemon(t, "", "\n[queue.support]\naddress = \"support@help.example\"\nauto_ack = { enabled = false }\n")
	d.start()
	return d
}

// front sends corpus files over one connection and reads each back by the API.
type front struct {
	d       *daemon
	c       *exactClient
	held    int
	refused int // ambiguous From, at the door
}

// What the door refuses for a From that names several senders gives nil.
func (f *front) through(t *testing.T, from, file string) *scored {
	t.Helper()
	raw := wireForm(t, file)
	answer, err := "", error(nil)
	for range 2 { // after a mail whose end is in doubt the daemon ends the session
		if f.c == nil {
			f.c = dialExact(t, f.d.smtp)
		}
		if answer, err = f.c.deliver(from, desk, raw); err == nil {
			break
		}
		f.c = nil
	}
	if err != nil && strings.Contains(err.Error(), "550") && strings.Contains(err.Error(), "5.6.0 message has a From field") {
		f.refused++
		t.Logf("%s: %v", filepath.Base(file), err)
		return nil
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var r struct {
		Outcomes []struct{ Outcome, Message, Held string }
	}
	f.d.get("/receipts/"+receiptID.FindString(answer), nil, &r)
	if o := r.Outcomes[0]; o.Held != "" {
		// Held for what its header claims (its sender's own domain may ask for
		// it): a score is about what it says.
		f.held++
		var h struct{ Message string }
		if out, code := f.d.cli("", "held", "release", o.Held, "-o", "json"); code != 0 || json.Unmarshal([]byte(out), &h) != nil {
			t.Fatalf("%s: release: exit %d\n%s", file, code, out)
		}
		r.Outcomes[0].Message = h.Message
	}
	var m scored
	f.d.get("/messages/"+url.PathEscape(r.Outcomes[0].Message), nil, &m)
	return &m
}

// TestBouncesThroughTheFrontDoor sends what some seventy mail systems write when
// they return mail over SMTP and scores what the API says of it.
func TestBouncesThroughTheFrontDoor(t *testing.T) {
	f := &front{d: reportDesk(t)}
	s := newScore(t)
	byFile := map[string][]map[string]string{}
	var order []string
	for _, row := range corpusTable(t, "bounces/expected.tsv") {
		if byFile[row["file"]] == nil {
			order = append(order, row["file"])
		}
		byFile[row["file"]] = append(byFile[row["file"]], row)
	}
	for _, file := range order {
		rows := byFile[file]
		parts := []string{"bounces", file}
		if !strings.Contains(file, "/") {
			parts = []string{"bounces", "bsd", file}
		}
		path := corpora.Path(t, parts...)
		m := f.through(t, "", path)
		if m.Visibility != "internal" {
			t.Errorf("%s: a %s of kind %s is %s", file, m.Automatic.Class, m.Kind, m.Visibility)
		}
		switch reason := rows[0]["reason"]; {
		case reason == "vacation":
			s.check("vacation", file, !m.verdict() && m.Automatic.Class == "autoreply", "class %s", m.Automatic.Class)
		case reason == "feedback":
			good := m.Automatic.Class == "feedback" && m.Bounce != nil && m.Bounce.FeedbackType == rows[0]["feedback_type"]
			s.check("feedback", file, good, "class %s, %+v", m.Automatic.Class, m.Bounce)
			s.check("recipients", file, m.Bounce != nil && len(m.Bounce.Recipients) == len(rows), "%+v, want %d", m.Bounce, len(rows))
		default:
			s.check("detected", file, m.Bounce != nil && m.Kind == "bounce" && (m.Automatic.Class == "bounce" || m.Automatic.Class == "delayed"), "kind %s, class %s", m.Kind, m.Automatic.Class)
			right := m.Bounce != nil && len(m.Bounce.Recipients) == len(rows)
			s.check("recipients", file, right, "%+v, want %d", m.Bounce, len(rows))
			for i := 0; right && i < len(rows); i++ {
				s.recipient(file, rows[i], m, i)
			}
		}
	}
	t.Logf("%d mails, %d of them held first", len(order), f.held)
	s.require(map[string]float64{
		"detected": 98, "recipients": 92, "vacation": 100, "feedback": 100, "hard or soft": 92, "never too hard": 95, "status class": 95, "status": 90, "code": 90,
	})
	f.d.reconcile()
}

func (s *score) recipient(file string, row map[string]string, m *scored, i int) {
	r, want := m.Bounce.Recipients[i], row["dsn_status"]
	minor := want[strings.LastIndexByte(want, '.')+1:]
	pseudo := len(minor) == 3 && minor[0] == '9' // the source's own invention
	hard := row["hard"] == "1"
	s.check("hard or soft", file, r.Hard == hard, "hard %v (%s), want %v (%s)", r.Hard, r.Reason, hard, row["reason"])
	s.check("never too hard", file, !r.Hard || hard, "%s, want %s", r.Reason, row["reason"])
	s.check("status class", file, strings.HasPrefix(r.Status, want[:1]), "%s, want %s", r.Status, want)
	if !pseudo {
		s.check("status", file, r.Status == want, "%s, want %s", r.Status, want)
	}
	if code, err := strconv.Atoi(row["smtp_code"]); err == nil && code > 0 {
		s.check("code", file, r.SMTPCode == code, "%d, want %d", r.SMTPCode, code)
	}
}

// TestComplaintsThroughTheFrontDoor does the same with the feedback reports.
func TestComplaintsThroughTheFrontDoor(t *testing.T) {
	f := &front{d: reportDesk(t)}
	s := newScore(t)
	files := corpusFiles(t, "arf")
	for _, file := range files {
		var want struct {
			Type string `json:"feedback_type"`
			To   string `json:"original_rcpt_to"`
		}
		doc, err := os.ReadFile(strings.TrimSuffix(file, ".eml") + ".json")
		if err == nil {
			err = json.Unmarshal(doc, &want)
		}
		if err != nil {
			t.Fatal(err)
		}
		m := f.through(t, "feedback@provider.example", file)
		// The table writes "AuthFailure" for auth-failure.
		plain := strings.NewReplacer("-", "", "_", "")
		good := m.Automatic.Class == "feedback" && m.Kind == "auto" && m.Visibility == "internal" && m.Bounce != nil &&
			strings.EqualFold(plain.Replace(m.Bounce.FeedbackType), plain.Replace(want.Type))
		s.check("feedback", filepath.Base(file), good, "%+v, want %s", m, want.Type)
		if to := strings.Trim(want.To, "<>"); to != "" && m.Bounce != nil {
			s.check("recipient", filepath.Base(file), len(m.Bounce.Recipients) == 1 && m.Bounce.Recipients[0].Address == to, "%+v, want %s", m.Bounce.Recipients, to)
		}
	}
	s.require(map[string]float64{"feedback": 100, "recipient": 100})
}

// reportsAmongMails are the reports that other projects keep among their
// ordinary mails.
var reportsAmongMails = map[string]string{"php-imap/example_bounce.eml": "bounce"}

// TestOrdinaryMailsAreNoBounces sends every ordinary mail of the corpora. None
// may be taken for a report beyond those that are one.
func TestOrdinaryMailsAreNoBounces(t *testing.T) {
	found, refused, n := 0, 0, 0
	for _, folder := range []string{"mails", "mime/eml"} {
		f := &front{d: reportDesk(t)} // repeated Message-IDs must not join the folders
		for _, file := range corpusFiles(t, folder) {
			name := filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file)
			m := f.through(t, senderOf(t, file), file)
			if m == nil {
				continue
			}
			n++
			if m.verdict() {
				found++
			}
			if want := reportsAmongMails[name]; m.verdict() != (want != "") || want != "" && m.Automatic.Class != want {
				t.Errorf("%s: class %s, report %+v, want %q", name, m.Automatic.Class, m.Bounce, want)
			}
		}
		refused += f.refused
		f.d.kill()
	}
	t.Logf("%d ordinary mails taken, %d refused at the door, %d of them reports, want %d", n, refused, found, len(reportsAmongMails))
	if refused > 5 {
		t.Errorf("%d mails were refused: too few are scored", refused)
	}
	if found != len(reportsAmongMails) {
		t.Errorf("%d reports were found", found)
	}
}

// senderOf is the envelope sender that the corpora's page prescribes.
func senderOf(t *testing.T, file string) string {
	t.Helper()
	raw := wireForm(t, file)
	head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	m, err := mail.ReadMessage(bytes.NewReader(append(bytes.Clone(head), "\r\n\r\n"...)))
	if err != nil {
		return "somebody@example.com"
	}
	for _, name := range []string{"Return-Path", "From"} {
		value := m.Header.Get(name)
		if strings.Trim(value, " ") == "<>" {
			return ""
		}
		if a, err := mail.ParseAddress(value); err == nil && !strings.ContainsFunc(a.Address, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return a.Address
		}
	}
	return "somebody@example.com"
}

// corpusTable reads a table of the corpora: a header line, columns by tab.
func corpusTable(t *testing.T, name string) []map[string]string {
	t.Helper()
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(corpora.Read(t, name), "\r\n", "\n"), "\n"), "\n")
	names := strings.Split(lines[0], "\t")
	var rows []map[string]string
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, cell := range strings.Split(line, "\t") {
			row[names[i]] = cell
		}
		rows = append(rows, row)
	}
	return rows
}
