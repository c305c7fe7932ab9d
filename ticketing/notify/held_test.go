package notify

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/store"
)

func (w *world) digest(id string, agents ...string) {
	w.t.Helper()
	n := ticketing.Notice{ID: id, Event: ticketing.EventHeldDigest, Queue: "support", At: w.clock.now(), Actor: ticketing.Actor{Kind: "system"}, NoAck: true,
		Held: &ticketing.HeldDigest{
			Counts: []ticketing.HeldCount{{Reason: "loop", Count: 2}, {Reason: "failed_authentication", Count: 31}},
			Items: []ticketing.HeldBrief{
				{ID: "held_1", Reason: "failed_authentication", From: "mallory@evil.example", Subject: "WIN\r\nBcc: x@y.example <b>now</b>", ReceivedAt: noon, ExpiresAt: noon.Add(30 * 24 * time.Hour)},
				{ID: "held_2", Reason: "loop", ReceivedAt: noon, ExpiresAt: noon.Add(24 * time.Hour)},
			}, More: 8,
		}}
	for _, name := range agents {
		r := ticketing.Recipient{Role: "lead", Agent: name, Address: "old@staff.example", Name: name}
		if name == "" {
			r = ticketing.Recipient{Role: "admin", Address: "ada@help.example"}
		}
		n.Audience = append(n.Audience, r)
	}
	payload, err := json.Marshal(n)
	if err != nil {
		w.t.Fatal(err)
	}
	w.update(func(tx store.Tx) error {
		return w.agenda.Put(tx, agenda.Job{Lane: ticketing.NoticeLane, Key: n.ID, Payload: payload})
	})
}

// A digest is one mail to the lead at his present address, from nobody who
// could be answered, with what strangers wrote as plain text.
func TestHeldDigest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.digest("dig_support_2026-11-02", "otto", "gone")
	w.tell()
	sent := w.sent()
	if len(sent) != 1 || w.pending() != 0 {
		t.Fatalf("%d mails, %d notices left", len(sent), w.pending())
	}
	o := sent[0].Outbound
	if o.To != "otto@staff.example" || o.From != "" || o.Class != "notification" || o.Ticket != 0 || o.Message != "" || o.Queue != "support" || o.Domain != "help.example" {
		t.Errorf("%+v", o)
	}
	h := sent[0].mail.Header
	if h.Text("Subject") != "33 mails are held for Example Support" || h.Get("Auto-Submitted") != "auto-generated" || h.Get("Bcc") != "" ||
		!w.desk.keys.CheckLoopMark(h.Get(ticketing.LoopHeader)) || len(h.Addresses("To")) != 1 {
		t.Errorf("header %+v", h)
	}
	text := sent[0].mail.Text()
	for _, want := range []string{"31  failed authentication", "2  loop", "held_1  failed authentication", "mallory@evil.example, received 2026-11-02 12:00, expires 2026-12-02",
		"  WIN Bcc: x@y.example <b>now</b>\n", "nobody named", "(no subject)", "and 8 more."} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if html := sent[0].mail.HTML(); strings.Contains(html, "<b>") || !strings.Contains(html, "held_1") {
		t.Errorf("html %s", html)
	}
}

// A queue without agents has the administrator for its lead.
func TestHeldDigestForAdmin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.digest("dig_support_2026-11-02", "")
	w.tell()
	if sent := w.sent(); len(sent) != 1 || sent[0].To != "ada@help.example" {
		t.Errorf("sent %+v", sent)
	}
}

// A digest for nobody ends without a mail.
func TestHeldDigestForNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.digest("dig_support_2026-11-02", "gone")
	w.tell()
	if len(w.sent()) != 0 || w.pending() != 0 {
		t.Errorf("%d mails, %d notices left", len(w.sent()), w.pending())
	}
}
