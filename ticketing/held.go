package ticketing

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/journal"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// Held is a mail that was taken for a queue and put on no ticket: it waits
// until somebody releases, attaches or discards it, at most holdTime. Its
// bytes are kept like those of every accepted mail.
type Held struct {
	ID         string    `json:"id"` // held_…
	Queue      string    `json:"queue"`
	Recipient  string    `json:"recipient"` // the first of those that lead to the queue
	Reason     string    `json:"reason"`    // one of heldReasons
	Detail     string    `json:"detail,omitempty"`
	State      string    `json:"state"` // held released attached discarded
	Receipt    string    `json:"receipt"`
	From       string    `json:"from"` // author, "" if nobody can be named
	FromName   string    `json:"from_name,omitempty"`
	Subject    string    `json:"subject"`
	Envelope   Envelope  `json:"envelope"`
	Auth       Verdict   `json:"auth"` // as judged for the queue
	Raw        blob.Ref  `json:"raw"`
	ReceivedAt time.Time `json:"received_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	SettledAt  time.Time `json:"settled_at,omitzero"`
	SettledBy  string    `json:"settled_by,omitempty"`
	Ticket     uint64    `json:"ticket,omitempty"` // where it went
	Message    string    `json:"message,omitempty"`
}

// States of held mail. What has expired is gone.
const (
	heldWaiting   = "held"
	heldReleased  = "released"
	heldAttached  = "attached"
	heldDiscarded = "discarded"
)

var heldStates = []string{heldWaiting, heldReleased, heldAttached, heldDiscarded}

// Reasons for which mail is held.
const (
	heldLoop        = "loop"
	heldBackscatter = "backscatter"
	heldFailedAuth  = "failed_authentication"
	heldFromUs      = "from_our_address"
	heldBlank       = "blank"
	heldFlood       = "flood"
	heldPolicy      = "policy" // an accept rule of the queue
)

// heldReasons are all reasons there are words for.
var heldReasons = []string{
	heldLoop, heldBackscatter, heldFailedAuth, heldFromUs, heldBlank, heldFlood,
	heldSpam, heldAgent, heldBlocked, heldRecipients, heldStranger, heldMalformed, heldUnparsed, heldOversize, heldPolicy,
}

// Ways in which our own mail comes back, and what else looks like a loop.
const (
	loopMark  = "loop_mark"
	loopOwnID = "own_message_id"
)

var loopReasons = []string{loopMark, loopOwnID, heldFlood}

// holdTime is how long held mail waits for somebody.
const holdTime = 30 * 24 * time.Hour

// heldRow is a held mail as stored, with what releasing it needs.
type heldRow struct {
	Held
	Arrival string `json:"arrival"` // key of its arrival row, with Hash and Queue
	Hash    string `json:"hash"`
	Agent   string `json:"agent,omitempty"` // the author, if he was proven to be this agent
}

// byFilter serves every combination of queue and reason as one range, newest
// last: each item stands under both, either and neither of them.
const byFilter = "filter"

func heldTable() *store.Table[heldRow] {
	return store.NewTable("held", store.PrefixHeld, []string{"id"},
		func(h *heldRow) store.Key { return heldKey(h.ID) },
		store.Index[heldRow]{Name: byFilter, Columns: []string{"queue", "reason", "state", "received", "id"},
			Keys: func(h *heldRow) (keys []store.Key) {
				for _, queue := range []string{"", h.Queue} {
					for _, reason := range []string{"", h.Reason} {
						keys = append(keys, heldPrefix(queue, reason, h.State).Time(h.ReceivedAt).Str(h.ID))
					}
				}
				return keys
			}})
}

func heldKey(id string) store.Key { return store.Key{}.Str(id) }

func heldPrefix(queue, reason, state string) store.Key {
	return store.Key{}.Str(queue).Str(reason).Str(state)
}

func heldCounter() store.Key { return store.Key{}.Str("ticketing.held") }

// suspect says why a mail must not reach a ticket of a queue by itself, "" if
// it may. First that applies:
//
//	it is our own mail that came back
//	a report to a return path of ours is taken: the token proves it; so is a
//	complaint by a proven reporter that returns a mail of ours
//	an accept rule of the queue holds, discards or rejects it; one that accepts
//	it spares it the queue's screen and nothing else
//	a report names a mail of ours and lacks that proof
//	the domain in From disowns it, and no trusted forwarder vouches for it
//	its author is one of our own addresses, without proof
//	the queue's screen holds it (Screen)
//	it is empty: no subject, no text, no file
//	its author has written too much to this queue just now
func (w *work) suspect(in *incoming, u *unit) (reason, detail string, err error) {
	vouched := u.forwarder || in.arrival.User != ""
	switch {
	case in.loop != "":
		return heldLoop, in.loop, nil
	case (in.report() || in.complaint()) && len(u.returns) > 0 || w.d.provenComplaint(in, u):
		return "", "", nil
	case u.rule != nil && u.rule.Action != ruleAccept:
		return heldPolicy, u.rule.Name, nil
	case in.machineReport() && w.d.namesOurs(in, u):
		return heldBackscatter, "unproven_report", nil
	case !vouched && disowned(in.arrival.Verdict.DMARC.Disposition):
		return heldFailedAuth, "dmarc_" + in.arrival.Verdict.DMARC.Disposition, nil
	case !vouched && in.ownFrom && !proven(in.arrival.Verdict.Trust):
		return heldFromUs, "", nil
	}
	if reason, detail := in.screened(u); reason != "" && u.rule == nil {
		return reason, detail, nil
	}
	if in.blank() {
		return heldBlank, "", nil
	}
	over, err := w.flooded(in, u)
	if over {
		return heldFlood, w.d.flood.String(), err
	}
	return "", "", err
}

func disowned(disposition string) bool { return disposition == "quarantine" || disposition == "reject" }

func proven(trust string) bool { return trust == "T1" || trust == "T2" }

// machineReport reports whether the mail is a report by its form or by its null
// sender. A person who quotes a report in an answer is none.
func (in *incoming) machineReport() bool {
	if !in.report() {
		return in.complaint()
	}
	return in.arrival.EnvelopeFrom == "" || in.mail.Root != nil && in.mail.Root.Type == "multipart/report"
}

// namesOurs reports whether a mail claims to be about a mail of ours: by a
// token it came to, or by our Message-IDs among those it answers or returns.
func (d *Desk) namesOurs(in *incoming, u *unit) bool {
	if len(u.tokens) > 0 || slices.ContainsFunc(in.answers, func(r reference) bool { return r.token != nil }) {
		return true
	}
	return d.returnsOurs(in)
}

// returnsOurs reports whether a mail returns one of ours.
func (d *Desk) returnsOurs(in *incoming) bool {
	if in.bounce == nil {
		return false
	}
	for _, id := range in.bounce.Returned[:min(len(in.bounce.Returned), maxInReplyTo)] {
		if _, err := d.Keyring().ParseMessageID(id); err == nil {
			return true
		}
	}
	return false
}

// provenComplaint reports whether a complaint may be believed without having
// come to a return path. Those of providers go to a fixed address; our
// Message-IDs are secrets of those who got the mail, and the provider says who
// he is.
func (d *Desk) provenComplaint(in *incoming, u *unit) bool {
	return in.complaint() && u.trust != "T0" && d.returnsOurs(in)
}

// blank reports whether a person's mail says nothing at all. What could not be
// read is not blank, and what names no author is a fragment: a ticket shows it
// better than a list of held mail.
func (in *incoming) blank() bool {
	return in.subject == "" && !in.doubtful && !in.mail.Unparsed && !in.speaks() && len(in.mail.Attachments()) == 0 &&
		strings.TrimSpace(in.mail.Text()) == "" && !strings.Contains(strings.ToLower(in.mail.HTML()), "<img")
}

// speaks looks at the beginning of a plain mail, which nearly always shows that
// it says something without decoding the whole of it.
func (in *incoming) speaks() bool {
	p := in.mail.Root
	if p == nil || p.Type != "text/plain" {
		return false
	}
	switch strings.ToLower(p.Params["charset"]) {
	case "", "us-ascii", "utf-8", "iso-8859-1", "windows-1252":
	default:
		return false
	}
	var head [256]byte
	n, _ := io.ReadFull(in.mail.Open(p), head[:])
	return bytes.ContainsFunc(head[:n], func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	})
}

// hold keeps a mail from a queue's tickets. Its id is that of the unit, which
// is the same for all runs of the transaction.
func (w *work) hold(in *incoming, u *unit, receipt, reason, detail string, a *arrivalRow) error {
	id, err := store.NewID("held_", w.now, bytes.NewReader(u.entropy[:]))
	if err != nil {
		return err
	}
	h := &heldRow{
		Held: Held{
			ID: id, Queue: u.queue.Name, Recipient: clip(u.recipients[0], maxAddress), Reason: reason, Detail: detail, State: heldWaiting,
			Receipt: receipt, From: in.author.Addr, FromName: in.author.Name, Subject: in.subject,
			Envelope: in.template.Envelope, Auth: in.template.Auth, Raw: in.raw.Ref(), ReceivedAt: w.now, ExpiresAt: w.now.Add(holdTime),
		},
		Arrival: a.ID, Hash: a.Hash,
	}
	h.Auth.Trust, h.Auth.Forwarder = u.trust, u.forwarder
	if u.agent != nil {
		h.Agent = u.agent.Name
	}
	a.Outcome, a.Held, a.reason = "held", id, reason
	if reason == heldLoop {
		a.Outcome, a.reason = "loop", detail
		w.tally.loops = append(w.tally.loops, detail)
	}
	if reason == heldFlood {
		w.tally.loops = append(w.tally.loops, reason)
	}
	w.tally.held = append(w.tally.held, reason)
	w.jobs = append(w.jobs, agenda.Job{Lane: HeldLane, Key: id, Due: h.ExpiresAt})
	kind, by := "mail.held", in.actor(&in.template)
	if reason == heldPolicy {
		kind, by = w.obey(h, u.rule)
	}
	if h.State == heldWaiting {
		w.heldDelta++
		w.jobs = append(w.jobs, agenda.Job{Lane: HeldLane, Key: digestKey(h.Queue), Due: nextDigest(w.now)})
	}
	if err := w.d.held.Put(w.tx, h); err != nil {
		return err
	}
	return w.recordHeld(&h.Held, kind, by)
}

// obey does to a mail that is being held what a rule asks for, and says how the
// journal tells it. What a rule discards nobody is asked about, but until it
// expires it can be found and released.
func (w *work) obey(h *heldRow, r *acceptRule) (kind string, by Actor) {
	by = ruleActor(r.Name)
	if r.Action != ruleDiscard {
		w.tally.rules = append(w.tally.rules, labels2{h.Queue, ruleHold})
		return "mail.held", by
	}
	w.tally.rules = append(w.tally.rules, labels2{h.Queue, ruleDiscard})
	h.State, h.SettledAt, h.SettledBy = heldDiscarded, w.now, by.label()
	return "mail.discarded", by
}

// heldChange is the journal's data about held mail.
type heldChange struct {
	Held    string `json:"held"`
	Reason  string `json:"reason"`
	Receipt string `json:"receipt"`
	Message string `json:"message,omitempty"`
}

// recordHeld notes for the journal what happened to a held mail.
func (w *work) recordHeld(h *Held, kind string, by Actor) error {
	doc, err := json.Marshal(heldChange{Held: h.ID, Reason: h.Reason, Receipt: h.Receipt, Message: h.Message})
	if err != nil {
		return fmt.Errorf("journal entry %s: %w", kind, err)
	}
	w.entries = append(w.entries, journal.Entry{Queue: h.Queue, At: w.now, Kind: kind, Ticket: h.Ticket, Actor: by.label(), Data: doc})
	return nil
}

// amend writes into a receipt where a held mail went.
func (w *work) amend(h *heldRow, a *arrivalRow) error {
	var pages []*receiptRow
	for row, err := range w.d.receipts.Scan(w.tx, store.Query{Prefix: store.Key{}.Str(h.Receipt)}) {
		if err != nil {
			return err
		}
		pages = append(pages, row)
	}
	for _, row := range pages {
		changed := false
		for i := range row.Outcomes {
			if o := &row.Outcomes[i]; o.Held == h.ID && o.Outcome != "duplicate" {
				o.Outcome, o.Ticket, o.Message, changed = a.Outcome, a.Ticket, a.Message, true
			}
		}
		if !changed {
			continue
		}
		if err := w.d.receipts.Put(w.tx, row); err != nil {
			return err
		}
	}
	return nil
}

// Author is the author of a held mail as people read it.
func (h *Held) Author() message.Address { return message.Address{Name: h.FromName, Addr: h.From} }
