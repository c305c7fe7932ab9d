// Package ticketing promises that a mail, once received, is in exactly the
// right ticket, and that a ticket's change and everything it owes (journal
// entries, notices, timers) commit together. Rights come from an authenticated
// author, never from a token, a number or a header.
package ticketing

import (
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
	Agents            []string // names of agents who serve the queue
	CC                CCPolicy
	AutoAck           bool
	TrustedForwarders []netip.Prefix // hosts that vouch for what they hand us
	CopyAlways        bool           // mail people even if they stood in the causing mail
	ReopenWindow      time.Duration  // replies to a closed ticket within it reopen; later ones open a follow-up
}

// CCPolicy says who may become a CC by mail.
type CCPolicy struct {
	Allow string   // off | participants | all
	Max   int      // per ticket
	Never []string // addresses, @domains, globs
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
	Kind    string // agent, contact, token, system
	Agent   string // agent's name, if he is one
	Address string
	Name    string
}

// Participants of a ticket.
type Person struct {
	Contact string // con_…
	Address string
	Name    string
}

// Follower is an agent who hears of everything and is seen by no customer.
type Follower struct {
	Agent   string
	Address string
}

// Link ties two tickets.
type Link struct {
	Number uint64
	Kind   string // related followup sibling claims
}

// Ticket is one case.
type Ticket struct {
	Number       uint64
	Queue        string
	Subject      string
	Status       string // new open pending on_hold solved closed
	Priority     string // low normal high urgent
	Category     string
	Tags         []string
	Assignee     string // agent's name, "" = nobody
	Requester    Person
	CCs          []Person
	Followers    []Follower
	Links        []Link
	MergedInto   uint64
	Flags        []string
	MessageCount int
	CreatedAt    time.Time
	UpdatedAt    time.Time
	SolvedAt     time.Time
	SnoozedUntil time.Time
	Version      uint64 // grows with every change: the ETag
}

// Author of a message.
type Author struct {
	Address string
	Name    string
	Role    string // requester cc follower agent light_agent third_party system
	Agent   string // set when the author is an authenticated agent
}

// Envelope is how a mail reached us.
type Envelope struct {
	From     string
	To       []string
	RemoteIP string
	HELO     string
	TLS      bool
	Source   string // smtp submission lmtp api pipe imap
}

// Verdict is the evidence about a sender.
type Verdict struct {
	SPF       AuthResult
	DKIM      []AuthResult
	DMARC     AuthResult
	Trust     string // T0 T1 T2
	Forwarder bool   // the peer is a trusted forwarder of the queue
	User      string // authenticated submission: the agent's name
}

// AuthResult is one method's result in the words of RFC 8601.
type AuthResult struct {
	Result      string
	Domain      string
	Selector    string
	Policy      string
	Disposition string
}

// Message is one entry of a ticket. Its bytes are the blob Raw.
type Message struct {
	ID         string // msg_…
	Ticket     uint64
	Seq        int    // 1, 2, 3 … within the ticket
	Direction  string // in out none
	Kind       string // customer reply note third_party auto bounce event
	Visibility string // public internal
	Author     Author
	Subject    string
	MessageID  string
	InReplyTo  []string
	References []string
	From       []message.Address
	To, Cc     []message.Address
	ReplyTo    []message.Address
	Envelope   Envelope
	Auth       Verdict
	Automatic  message.Automatic
	Bounce     *message.Bounce
	MatchedBy  string // token in_reply_to references sibling_reference body_token subject bounce none
	Flags      []string
	Raw        blob.Ref
	Date       time.Time // the author's clock; zero if unreadable
	ReceivedAt time.Time
}

// Content is what is computed from a message's raw bytes when it is read.
type Content struct {
	Text        string
	VisibleText string
	QuotedText  string
	HTML        string // sanitised
	Attachments []Attachment
}

// Attachment is a part of a message's raw bytes.
type Attachment struct {
	ID          string // att_<message>_<n>
	Filename    string
	ContentType string
	Size        int64  // decoded
	SHA256      string // decoded
	ContentID   string
	Inline      bool
}

// Delivery is the state of a message for one recipient.
type Delivery struct {
	Recipient string
	Parcel    string
	State     string // queued sent deferred held failed bounced suppressed cancelled
	Attempts  int
	Code      int
	Enhanced  string
	Text      string
	MX        string
	At        time.Time
}

// Arrival is a mail at the door: facts only.
type Arrival struct {
	Source       string
	EnvelopeFrom string   // "" = null
	Recipients   []string // accepted by Route, as given in RCPT
	RemoteIP     netip.Addr
	HELO         string
	TLS          bool
	User         string // authenticated agent, from submission
	Verdict      Verdict
	Raw          *blob.Sealed
	Header       string // trace fields the door adds on top of delivered copies
}

// Outcome says what became of a mail for one recipient.
type Outcome struct {
	Recipient string
	Outcome   string // new_ticket reply note third_party autoreply bounce feedback duplicate loop held delivered_elsewhere
	Ticket    uint64
	Message   string
	Held      string
	Reason    string
}

// Receipt is the durable answer to one accepted mail.
type Receipt struct {
	ID           string // rcpt_…
	ReceivedAt   time.Time
	Source       string
	EnvelopeFrom string
	Raw          blob.Ref
	Outcomes     []Outcome
}

// Route says where a recipient address leads.
type Route struct {
	Queue string
	Token string // verified token in the address, "" if none
	Kind  string // queue, reply, alias, return_path, postmaster
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
}

// Change is a partial change of a ticket; nil leaves a field alone.
type Change struct {
	Status, Priority, Category, Assignee, Subject *string
	Tags                                          *[]string
	IfVersion                                     uint64 // 0 = any
}

// Filter selects tickets; empty fields match all.
type Filter struct {
	Queue, Status, Requester, Assignee string // Status may be a comma list
	UpdatedSince                       time.Time
	Limit                              int    // ≤ 100, default 50
	Cursor                             string // opaque
}
