// Package ticketing promises that a mail, once received, is in exactly the
// right ticket, and that a ticket's change and everything it owes (journal
// entries, notices, timers) commit together. Rights come from an authenticated
// author, never from a token, a number or a header.
package ticketing

import (
	"encoding/json"
	"io"
	"net/netip"
	"time"

	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/message"
)

// Queue is a ticket queue as configured.
type Queue struct {
	Name              string
	Address           string   // support@help.example; the local part is at most 24 octets
	Aliases           []string // further addresses
	DisplayName       string
	Appearance        Appearance
	Agents            []string // names of agents who serve the queue
	CC                CCPolicy
	AutoAck           bool
	TrustedForwarders []Forwarder   // who vouches for the senders of what they hand us
	CopyAlways        bool          // mail people even if they stood in the causing mail
	ClosedText        string        // if not empty, later answers to a closed ticket are refused with it
	KeepSolved        bool          // a short thank-you leaves a ticket solved
	Rewriters         []string      // addresses of groups that pass mail on in their own name
	ReplyAll          string        // whose Reply-all to a public mail is public: assignee, queue (the default: and agents of the queue), followers (and every full agent who follows)
	Screen            Screen        // mail that is held
	Accept            []AcceptRule  // asked in order, before Screen
	ReopenWindow      time.Duration // replies to a closed ticket within it reopen; later ones open a follow-up
	DeliverTo         DeliverTo     // where the mails go besides; needs Options.Outbox
}

// CCPolicy says who may become a CC by mail.
type CCPolicy struct {
	Allow string   // off | participants | all
	Max   int      // per ticket
	Never []string // addresses, @domains, globs

	StaffAsCC   bool // an agent in Cc becomes CC, under his own address, instead of a follower
	AlonePublic bool // what a CC writes to us alone is public
}

// Agent is a member of staff as configured.
type Agent struct {
	Name        string // "otto": the id
	DisplayName string
	Addresses   []string // verified addresses he writes from; mail goes to the first
	Light       bool
}

// Actor is on whose behalf a command runs.
type Actor struct {
	Kind    string `json:"kind"`            // agent, contact, token, system, timer, rule
	Agent   string `json:"agent,omitempty"` // agent's name, if he is one
	Address string `json:"address,omitempty"`
	Name    string `json:"name,omitempty"`
}

// Participants of a ticket.
type Person struct {
	Contact string `json:"contact"` // con_…
	Address string `json:"address"`
	Name    string `json:"name,omitempty"`
}

// Follower is an agent who hears of everything and is seen by no customer.
type Follower struct {
	Agent   string `json:"agent"`
	Address string `json:"address"`
}

// Link ties two tickets.
type Link struct {
	Number uint64 `json:"number"`
	Kind   string `json:"kind"` // related followup sibling claims
}

// Ticket is one case.
type Ticket struct {
	Number       uint64     `json:"number"`
	Queue        string     `json:"queue"`
	Subject      string     `json:"subject"`
	Status       string     `json:"status"`   // new open pending on_hold solved closed
	Priority     string     `json:"priority"` // low normal high urgent
	Category     string     `json:"category,omitempty"`
	Tags         []string   `json:"tags,omitempty"`
	Assignee     string     `json:"assignee,omitempty"` // agent's name, "" = nobody
	Requester    Person     `json:"requester"`
	CCs          []Person   `json:"ccs,omitempty"`
	Followers    []Follower `json:"followers,omitempty"`
	Links        []Link     `json:"links,omitempty"`
	MergedInto   uint64     `json:"merged_into,omitempty"`
	MergedFrom   []uint64   `json:"merged_from,omitempty"` // tickets whose numbers lead here
	Flags        []string   `json:"flags,omitempty"`
	MessageCount int        `json:"message_count"`
	CreatedAt    time.Time  `json:"created_at"`
	UpdatedAt    time.Time  `json:"updated_at"`
	SolvedAt     time.Time  `json:"solved_at,omitzero"`
	SnoozedUntil time.Time  `json:"snoozed_until,omitzero"`
	DueAt        time.Time  `json:"due_at,omitzero"`
	Minutes      int        `json:"minutes,omitempty"` // sum of its time entries
	Version      uint64     `json:"version"`           // grows with every change: the ETag
}

// Author of a message.
type Author struct {
	Address string `json:"address"`
	Name    string `json:"name,omitempty"`
	Role    string `json:"role"`            // requester cc follower agent light_agent third_party system
	Agent   string `json:"agent,omitempty"` // set when the author is an authenticated agent
}

// Envelope is how a mail reached us.
type Envelope struct {
	From     string   `json:"from"`
	To       []string `json:"to,omitempty"`
	RemoteIP string   `json:"remote_ip,omitempty"`
	HELO     string   `json:"helo,omitempty"`
	TLS      bool     `json:"tls,omitempty"`
	UTF8     bool     `json:"utf8,omitempty"`   // it came with SMTPUTF8
	Source   string   `json:"source,omitempty"` // smtp submission lmtp api pipe imap
}

// Verdict is the evidence about a sender.
type Verdict struct {
	SPF       AuthResult   `json:"spf,omitzero"`
	DKIM      []AuthResult `json:"dkim,omitempty"`
	DMARC     AuthResult   `json:"dmarc,omitzero"`
	Trust     string       `json:"trust"`               // T0 T1 T2
	Forwarder bool         `json:"forwarder,omitempty"` // the peer is a trusted forwarder of the queue
	User      string       `json:"user,omitempty"`      // authenticated submission: the agent's name
	IPRev     AuthResult   `json:"iprev,omitzero"`      // a score; Domain is the confirmed name
	Client    string       `json:"client,omitempty"`    // address of the original client that a trusted forwarder names, if it does
	Reasons   []string     `json:"reasons,omitempty"`   // why Trust is what it is, for people
}

// AuthResult is one method's result in the words of RFC 8601.
type AuthResult struct {
	Result      string `json:"result,omitempty"`
	Domain      string `json:"domain,omitempty"`
	Selector    string `json:"selector,omitempty"`
	Policy      string `json:"policy,omitempty"`
	Disposition string `json:"disposition,omitempty"`
	Reason      string `json:"reason,omitempty"` // for people
}

// Message is one entry of a ticket. Its bytes are the blob Raw.
type Message struct {
	ID           string            `json:"id"` // msg_…
	Ticket       uint64            `json:"ticket"`
	Seq          int               `json:"seq"`        // 1, 2, 3 … within the ticket
	Direction    string            `json:"direction"`  // in out none
	Kind         string            `json:"kind"`       // customer reply note third_party auto bounce event
	Visibility   string            `json:"visibility"` // public internal
	Author       Author            `json:"author"`
	Subject      string            `json:"subject,omitempty"`
	MessageID    string            `json:"message_id,omitempty"`  // as received, or derived from the bytes if the mail had none
	InReplyTo    []string          `json:"in_reply_to,omitempty"` // at most 10
	References   []string          `json:"references,omitempty"`  // the newest, at most 50
	From         []message.Address `json:"from,omitempty"`
	To           []message.Address `json:"to,omitempty"` // To and Cc: what fits; see FlagRecipientsCut
	Cc           []message.Address `json:"cc,omitempty"`
	ReplyTo      []message.Address `json:"reply_to,omitempty"`
	Envelope     Envelope          `json:"envelope,omitzero"`
	Auth         Verdict           `json:"auth,omitzero"`
	Automatic    message.Automatic `json:"automatic,omitzero"`
	Bounce       *message.Bounce   `json:"bounce,omitempty"`
	MatchedBy    string            `json:"matched_by,omitempty"` // token in_reply_to references sibling_reference body_token subject bounce none
	Flags        []string          `json:"flags,omitempty"`
	Commands     []CommandResult   `json:"commands,omitempty"`      // what the author told the desk to do, at most 20
	CommandLines int               `json:"command_lines,omitempty"` // leading lines of his text that were commands; nobody is shown them
	SplitFrom    string            `json:"split_from,omitempty"`    // the message this one is a copy of
	SplitInto    uint64            `json:"split_into,omitempty"`    // the ticket that a copy of this message opened
	ForwardedBy  *Author           `json:"forwarded_by,omitempty"`  // the agent who passed the mail on for its author
	Raw          blob.Ref          `json:"raw"`
	Receipt      string            `json:"receipt,omitempty"` // of the mail it came in; "" if it was posted
	Mail         uint32            `json:"mail,omitempty"`    // number of the mail of ours that tells it, 0 = none does
	Date         time.Time         `json:"date,omitzero"`     // the author's clock; zero if unreadable
	ReceivedAt   time.Time         `json:"received_at"`
	ConcealedAt  time.Time         `json:"concealed_at,omitzero"` // when it was made internal; zero if it is public again
}

// CommandResult is one command line of an agent's mail.
type CommandResult struct {
	Line  string `json:"line"`
	Error string `json:"error,omitempty"` // why it was not carried out
}

// Content is what is computed from a message's raw bytes when it is read.
type Content struct {
	Text        string
	VisibleText string
	QuotedText  string
	HTML        string   // sanitised
	Labels      []string // what protects the mail, see message.Labels
	Attachments []Attachment
}

// Attachment is a part of a message's raw bytes.
type Attachment struct {
	ID          string // att_<message>_<part>, where part is message.Part.ID
	Filename    string
	ContentType string
	Size        int64  // decoded
	SHA256      string // decoded
	ContentID   string
	Inline      bool
	Note        string // what its name and type do not say, see message.Note; "" for most
}

// Delivery is the state of a message for one recipient.
type Delivery struct {
	Recipient string    `json:"recipient"`
	Parcel    string    `json:"parcel,omitempty"`
	State     string    `json:"state"` // queued sent deferred held failed bounced suppressed cancelled
	Attempts  int       `json:"attempts,omitempty"`
	Code      int       `json:"code,omitempty"`
	Enhanced  string    `json:"enhanced,omitempty"`
	Text      string    `json:"text,omitempty"`
	MX        string    `json:"mx,omitempty"`
	TLS       string    `json:"tls,omitempty"` // the channel of the last attempt, in a few words
	At        time.Time `json:"at"`
}

// Arrival is a mail at the door: facts only.
type Arrival struct {
	Source       string
	EnvelopeFrom string   // "" = null
	Recipients   []string // accepted by Route, as given in RCPT
	RemoteIP     netip.Addr
	HELO         string
	TLS          bool
	UTF8         bool   // the client said SMTPUTF8
	User         string // authenticated agent, from submission
	Certificate  string // of the peer's TLS client certificate, as in Forwarder; "" if it showed none
	Verdict      Verdict
	Raw          *blob.Sealed
	Header       string          // trace fields the door adds on top of delivered copies
	Evidence     json.RawMessage // what its checks found, for Trace; together with Header at most 24 KiB are kept
}

// Outcome says what became of a mail for one recipient.
type Outcome struct {
	Recipient string `json:"recipient"`
	Outcome   string `json:"outcome"` // new_ticket reply note third_party autoreply bounce feedback duplicate loop held delivered_elsewhere
	Ticket    uint64 `json:"ticket,omitempty"`
	Message   string `json:"message,omitempty"`
	Held      string `json:"held,omitempty"`
	Reason    string `json:"reason,omitempty"`

	Rule RuleHit `json:"rule,omitzero"` // the accept rule that held for it
}

// Receipt is the durable answer to one accepted mail.
type Receipt struct {
	ID           string    `json:"id"` // rcpt_…
	ReceivedAt   time.Time `json:"received_at"`
	Source       string    `json:"source"`
	EnvelopeFrom string    `json:"envelope_from"`
	Raw          blob.Ref  `json:"raw"`
	Outcomes     []Outcome `json:"outcomes"`
}

// Route says where a recipient address leads.
type Route struct {
	Queue string
	Token string // verified token in the address, "" if none
	Kind  string // queue, reply, alias, return_path, task, postmaster
}

// NewMessage is a message an agent or integration posts.
type NewMessage struct {
	Visibility   string // public internal
	Text, HTML   string
	Attachments  []NewAttachment
	AfterMessage string // refuse with Conflict if newer messages exist
	Status       string // new status, "" = as the rules say
}

// NewAttachment is a file posted with a message.
type NewAttachment struct {
	Filename    string
	ContentType string
	Content     io.Reader
}

// NewTicket is a ticket an agent or integration opens.
type NewTicket struct {
	Queue     string
	Subject   string
	Requester message.Address
	CCs       []message.Address
	Priority  string
	Tags      []string
	Assignee  string
	Message   NewMessage

	LinkedTo      uint64 // a ticket to link it to, 0 = none
	CopyRequester bool   // its requester is that ticket's; Requester is not looked at

	linkedRequester Person
}

// Change is a partial change of a ticket; nil leaves a field alone.
type Change struct {
	Status, Priority, Category, Assignee, Subject *string
	Queue                                         *string // moves the ticket; mail to its old addresses still finds it
	Tags                                          *[]string
	SnoozedUntil                                  *time.Time // the zero time ends a snooze
	DueAt                                         *time.Time // the zero time removes it
	IfVersion                                     uint64     // 0 = any
}

// Filter selects tickets; empty fields match all.
type Filter struct {
	Queue, Status, Requester, Assignee string // Status may be a comma list
	UpdatedSince                       time.Time
	Limit                              int    // ≤ 100, default 50
	Cursor                             string // opaque
}
