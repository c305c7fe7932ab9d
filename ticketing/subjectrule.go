package ticketing

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// bySubject is the index of tickets that are not closed by queue, plain subject
// and participant: requester and CCs by address, followers and assignee by
// name. It answers one question: in which ticket does this person answer, whose
// mail program says "Re:" and nothing else.
const bySubjectOf = "subject"

// subjectWindow is how long ago such a ticket may have changed last.
const subjectWindow = 30 * 24 * time.Hour

// maxSameSubject is how many tickets of one subject and person are looked at.
const maxSameSubject = 50

const flagUnproven = "unproven_author" // found by its subject alone, and nothing vouches for its author

func subjectIndex() store.Index[ticketRow] {
	return store.Index[ticketRow]{Name: bySubjectOf, Columns: []string{"queue", "subject", "person", "number"}, Keys: subjectKeys}
}

func subjectKeys(t *ticketRow) (keys []store.Key) {
	if t.Status == "closed" || t.MergedInto != 0 {
		return nil
	}
	hash := subjectHash(t.Subject)
	if hash == "" {
		return nil
	}
	add := func(person string) {
		if person != "" {
			keys = append(keys, subjectKey(t.Queue, hash, person).Uint(t.Number))
		}
	}
	add(message.Fold(t.Requester.Address))
	for _, c := range t.CCs {
		if folded := message.Fold(c.Address); folded != message.Fold(t.Requester.Address) {
			add(folded)
		}
	}
	for _, f := range t.Followers {
		if f.Agent != t.Assignee {
			add(agentPerson(f.Agent))
		}
	}
	add(agentPerson(t.Assignee))
	return keys
}

func subjectKey(queue, hash, person string) store.Key {
	return store.Key{}.Str(queue).Str(hash).Str(person)
}

// agentPerson stands for an agent where addresses stand; no address looks so.
func agentPerson(name string) string {
	if name == "" {
		return ""
	}
	return "agent:" + name
}

// subjectHash is a fingerprint of a plain subject, "" if it says nothing.
func subjectHash(subject string) string {
	plain := message.PlainSubject(subject)
	if plain == "" || plain == noSubject {
		return ""
	}
	sum := sha256.Sum256([]byte(plain))
	return hex.EncodeToString(sum[:8])
}

// byReplySubject finds the ticket of an answer whose program refers to nothing:
// its subject says it is an answer, and its author takes part in exactly one
// ticket of the queue that has the subject, is not closed and was active of
// late. If there are several, it is anybody's guess, and a new ticket.
func (w *work) byReplySubject(in *incoming, u *unit) (*place, error) {
	if !in.bareReply || in.report() || in.doubtful || in.ownFrom || in.folded == "" {
		return nil, nil
	}
	hash := subjectHash(ticketSubject(in.subject, u.queue))
	if hash == "" {
		return nil, nil
	}
	people := append([]string{in.folded}, w.otherAddresses(in)...)
	if u.agent != nil {
		people = append(people, agentPerson(u.agent.Name))
	}
	var found *ticketRow
	for _, person := range people {
		q := store.Query{Index: bySubjectOf, Prefix: subjectKey(u.queue.Name, hash, person), Reverse: true, Limit: maxSameSubject}
		var numbers []uint64
		for row, err := range w.d.tickets.Scan(w.tx, q) {
			if err != nil {
				return nil, err
			}
			if w.now.Sub(row.UpdatedAt) <= subjectWindow {
				numbers = append(numbers, row.Number)
			}
		}
		for _, n := range numbers {
			t, err := w.ticket(n)
			if err != nil {
				return nil, err
			}
			if t == nil || t == found || !w.participates(t, in, u) {
				continue
			}
			if found != nil {
				return nil, nil
			}
			found = t
		}
	}
	if found == nil {
		return nil, nil
	}
	p := &place{ticket: found, matchedBy: "subject"}
	if u.trust == "T0" {
		p.flags = []string{flagUnproven}
	}
	return p, nil
}

// readSubjectRule finds out whether the rule may apply at all.
func (in *incoming) readSubjectRule() {
	h := in.mail.Header
	in.bareReply = !h.Has("In-Reply-To") && !h.Has("References") && message.ReplySubject(in.subject)
}
