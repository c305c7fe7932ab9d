package ticketing

import "time"

// NoticeLane is the agenda lane whose jobs' payloads are Notices (JSON).
const NoticeLane = "notice"

// Notice is what a change of a ticket owes: who caused what, and whom it may
// concern. It is written in the ticket's transaction and told by notify.
type Notice struct {
	ID       string      `json:"id"`
	Event    string      `json:"event"` // ticket_created public_message internal_message third_party delivery_failed reminder task_assigned commands_failed held_digest mail_withheld backlog
	Ticket   uint64      `json:"ticket"`
	Queue    string      `json:"queue"`
	Message  string      `json:"message"`
	Mail     uint32      `json:"mail"`  // number of the mail within the ticket, for tokens
	Actor    Actor       `json:"actor"` // the causer: never told
	Audience []Recipient `json:"audience"`
	At       time.Time   `json:"at"`
	Detail   string      `json:"detail,omitempty"`
	Upto     int         `json:"upto,omitempty"`   // of a backlog: the last message it tells
	Except   string      `json:"except,omitempty"` // of a backlog: a message its reader has
	Held     *HeldDigest `json:"held,omitempty"`   // of a held_digest, which is about no ticket

	Automatic    string `json:"automatic,omitempty"`     // class of the causing mail, if a machine wrote it
	Trust        string `json:"trust,omitempty"`         // of the causing mail
	KnownContact bool   `json:"known_contact,omitempty"` // the author was met before this mail: proven once, written to by one of us, or answering a mail of his own
	NoAck        bool   `json:"no_ack,omitempty"`        // another ticket of the same mail is acknowledged
}

// Recipient is somebody a notice may concern, resolved when it happened.
type Recipient struct {
	Role    string `json:"role"` // requester cc follower assignee agent lead admin
	Address string `json:"address"`
	Name    string `json:"name"`
	Agent   string `json:"agent,omitempty"`
}

// Sent records who visibly stood in a mail of ours, by its number: the very
// mail a reply answers.
type Sent struct {
	Ticket  uint64    `json:"ticket"`
	Mail    uint32    `json:"mail"`
	Message string    `json:"message,omitempty"` // what it told; reports about the mail concern it
	Visible []string  `json:"visible"`           // folded addresses of requester and CCs
	At      time.Time `json:"at"`
	Backlog string    `json:"backlog,omitempty"` // folded address of who was told the messages before
	Upto    int       `json:"upto,omitempty"`    // up to this one
	Except  string    `json:"except,omitempty"`  // but for this

	// Of a backlog, what became of its mail.
	State  string `json:"state,omitempty"` // as of a Delivery; owed while there is no mail, "" of old if nobody knows
	Parcel string `json:"parcel,omitempty"`
	Unsure bool   `json:"unsure,omitempty"` // it may have arrived nevertheless
	Retell bool   `json:"retell,omitempty"` // if it is cancelled, a new one is owed
}
