package ticketing

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// ticketRow is a ticket as stored. Participants stand in the row: they are few
// and always needed.
type ticketRow struct {
	Ticket
	Mails  uint32   `json:"mails,omitempty"`  // mails of ours about it so far
	Queues []string `json:"queues,omitempty"` // earlier queues: mail to their addresses still finds it

	Pending  int      `json:"pending,omitempty"`  // messages of third parties nobody has decided about
	Backlogs []uint32 `json:"backlogs,omitempty"` // PersonHash of whom the earlier messages were told, or who was there from the start
}

// served reports whether mail to a queue may find the ticket.
func (t *ticketRow) served(queue string) bool {
	return t.Queue == queue || slices.Contains(t.Queues, queue)
}

// contactRow is what is known of an outside address.
type contactRow struct {
	ID      string    `json:"id"`
	Address string    `json:"address"` // folded
	Name    string    `json:"name,omitempty"`
	Wrote   bool      `json:"wrote,omitempty"` // a mail from this address has been stored
	Known   bool      `json:"known,omitempty"` // see acquaintance
	Since   time.Time `json:"since"`
	Others  []string  `json:"others,omitempty"` // the same person's other addresses, folded
}

// receiptRow is a receipt, or a further page of its outcomes: a mail for a
// thousand recipients does not fit into one row.
type receiptRow struct {
	Receipt
	Page     int             `json:"page,omitempty"`
	Header   string          `json:"header,omitempty"`   // see Trace; on the first page
	Evidence json.RawMessage `json:"evidence,omitempty"` // likewise
}

// referenceRow says which tickets of a queue a foreign Message-ID belongs to.
// Seen is false while the id was only referred to.
type referenceRow struct {
	Queue   string   `json:"queue"`
	ID      string   `json:"id"`
	Seen    bool     `json:"seen,omitempty"`
	Tickets []uint64 `json:"tickets"` // oldest first, at most maxReferenceTickets
}

// arrivalRow says that a mail reached a queue, and what became of it.
type arrivalRow struct {
	ID      string `json:"id"`
	Hash    string `json:"hash"` // of author and body
	Queue   string `json:"queue"`
	Outcome string `json:"outcome"`
	Ticket  uint64 `json:"ticket,omitempty"`
	Message string `json:"message,omitempty"`
	Opened  bool   `json:"opened,omitempty"` // the ticket was opened by it
	Held    string `json:"held,omitempty"`   // the held mail it became
	reason  string // why, for the receipt
	rule    RuleHit
}

// deliveryRow is the state of a message for one recipient.
type deliveryRow struct {
	Message string `json:"message"`
	MailID  string `json:"mail_id,omitempty"` // Message-ID of the mail to this recipient
	Unsure  bool   `json:"unsure,omitempty"`  // it may have arrived, although it is not sent
	Retell  bool   `json:"retell,omitempty"`  // if it is cancelled, a new one is owed
	Delivery
}

// secretRow is one epoch of the keyring.
type secretRow struct {
	Sort string `json:"sort"` // address or id
	message.Secret
	Revoked time.Time `json:"revoked,omitzero"` // since when nothing it signed is believed
}

type tables struct {
	tickets    *store.Table[ticketRow]
	messages   *store.Table[Message]
	contacts   *store.Table[contactRow]
	receipts   *store.Table[receiptRow]
	references *store.Table[referenceRow]
	arrivals   *store.Table[arrivalRow]
	sent       *store.Table[Sent]
	deliveries *store.Table[deliveryRow]
	held       *store.Table[heldRow]
	floods     *store.Table[floodRow]
	optOuts    *store.Table[OptOut]
	secrets    *store.Table[secretRow]

	profiles      *store.Table[profileRow]
	organizations *store.Table[organizationRow]
	tasks         *store.Table[Task]
	times         *store.Table[TimeEntry]
}

// Names of indexes.
const (
	byStatus    = "status"
	byRequester = "requester"
	byAssignee  = "assignee"
	byUpdated   = "updated"
	byID        = "id"
	byContact   = "contact"
)

func newTables() tables {
	return tables{
		tickets: store.NewTable("ticket", store.PrefixTicket, []string{"number"},
			func(t *ticketRow) store.Key { return ticketKey(t.Number) },
			store.Index[ticketRow]{Name: byStatus, Columns: []string{"queue", "status", "updated", "number"},
				Keys: func(t *ticketRow) []store.Key {
					return []store.Key{store.Key{}.Str(t.Queue).Str(t.Status).Time(t.UpdatedAt).Uint(t.Number)}
				}},
			store.Index[ticketRow]{Name: byRequester, Columns: []string{"requester", "updated", "number"},
				Keys: func(t *ticketRow) []store.Key {
					if t.Requester.Address == "" {
						return nil
					}
					return []store.Key{store.Key{}.Str(message.Fold(t.Requester.Address)).Time(t.UpdatedAt).Uint(t.Number)}
				}},
			store.Index[ticketRow]{Name: byAssignee, Columns: []string{"assignee", "updated", "number"},
				Keys: func(t *ticketRow) []store.Key {
					if t.Assignee == "" {
						return nil
					}
					return []store.Key{store.Key{}.Str(t.Assignee).Time(t.UpdatedAt).Uint(t.Number)}
				}},
			store.Index[ticketRow]{Name: byUpdated, Columns: []string{"updated", "number"},
				Keys: func(t *ticketRow) []store.Key {
					return []store.Key{store.Key{}.Time(t.UpdatedAt).Uint(t.Number)}
				}},
			subjectIndex()),
		messages: store.NewTable("message", store.PrefixMessage, []string{"ticket", "seq"},
			func(m *Message) store.Key { return messageKey(m.Ticket, m.Seq) },
			// Ids hold 80 random bits: asking each time whether one is taken
			// costs a look-up and finds nothing.
			store.Index[Message]{Name: byID, Columns: []string{"id"},
				Keys: func(m *Message) []store.Key { return []store.Key{store.Key{}.Str(m.ID)} }}),
		contacts: store.NewTable("contact", store.PrefixContact, []string{"address"},
			func(c *contactRow) store.Key { return store.Key{}.Str(c.Address) },
			store.Index[contactRow]{Name: byContact, Columns: []string{"contact", "address"},
				Keys: func(c *contactRow) []store.Key { return []store.Key{store.Key{}.Str(c.ID).Str(c.Address)} }}),
		receipts: store.NewTable("receipt", store.PrefixReceipt, []string{"id", "page"},
			func(r *receiptRow) store.Key { return store.Key{}.Str(r.ID).Uint(uint64(r.Page)) }),
		references: store.NewTable("reference", store.PrefixReference, []string{"queue", "id"},
			func(r *referenceRow) store.Key { return store.Key{}.Str(r.Queue).Str(r.ID) }),
		arrivals: store.NewTable("arrival", store.PrefixArrival, []string{"id", "hash", "queue"},
			func(a *arrivalRow) store.Key { return arrivalKey(a.ID, a.Hash, a.Queue) }),
		sent: store.NewTable("sent", store.PrefixSent, []string{"ticket", "mail"},
			func(s *Sent) store.Key { return sentKey(s.Ticket, s.Mail) }),
		deliveries: store.NewTable("delivery", store.PrefixDelivery, []string{"message", "recipient"},
			func(d *deliveryRow) store.Key { return deliveryKey(d.Message, d.Recipient) }),
		held:     heldTable(),
		profiles: profileTable(), organizations: organizationTable(),
		floods:  floodTable(),
		optOuts: optOutTable(),
		secrets: store.NewTable("secret", store.PrefixSecret, []string{"sort", "epoch"},
			func(s *secretRow) store.Key { return store.Key{}.Str(s.Sort).Uint(uint64(s.Epoch)) }),
		tasks: taskTable(),
		times: timeTable(),
	}
}

func ticketKey(number uint64) store.Key { return store.Key{}.Uint(number) }

func messageKey(ticket uint64, seq int) store.Key {
	return store.Key{}.Uint(ticket).Uint(uint64(seq))
}

func arrivalKey(id, hash, queue string) store.Key {
	return store.Key{}.Str(id).Str(hash).Str(queue)
}

func sentKey(ticket uint64, mail uint32) store.Key {
	return store.Key{}.Uint(ticket).Uint(uint64(mail))
}

func deliveryKey(id, recipient string) store.Key {
	return store.Key{}.Str(id).Str(message.Fold(recipient))
}

// Counters. A ticket's number is firstTicket-1 plus the count.
const firstTicket = 1001

func ticketCounter() store.Key { return store.Key{}.Str("ticketing.ticket") }

func stockCounter(queue, status string) store.Key {
	return store.Key{}.Str("ticketing.stock").Str(queue).Str(status)
}

// maxID is how long a Message-ID may be and still be stored as it is.
const maxID = 250

// idKey is a Message-ID as part of a key.
func idKey(id string) string {
	if len(id) <= maxID {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256:" + hex.EncodeToString(sum[:])
}

var contactEncoding = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// contactID follows from the folded address, so that naming a person costs no
// look-up and never differs between two tickets.
func contactID(folded string) string {
	if folded == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("ticketgate contact\x00" + folded))
	return "con_" + contactEncoding.EncodeToString(sum[:16])
}
