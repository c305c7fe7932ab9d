package api

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// The JSON of the core resources. Absent values are null, lists are never
// null, times are UTC.

// Ticket is one case.
type Ticket struct {
	Number       uint64     `json:"number"`
	Queue        string     `json:"queue"`
	Subject      string     `json:"subject"`
	Status       string     `json:"status" enum:"new,open,pending,on_hold,solved,closed"`
	Priority     string     `json:"priority" enum:"low,normal,high,urgent"`
	Category     *string    `json:"category"`
	Tags         []string   `json:"tags" nullable:"false"`
	Assignee     *string    `json:"assignee" doc:"an agent's id"`
	Requester    Person     `json:"requester"`
	CCs          []Person   `json:"ccs" nullable:"false"`
	Followers    []Follower `json:"followers" nullable:"false" doc:"agents who hear of everything; no customer ever sees them"`
	Links        []Link     `json:"links" nullable:"false"`
	MergedInto   *uint64    `json:"merged_into" doc:"the ticket this one lives on in"`
	MergedFrom   []uint64   `json:"merged_from" nullable:"false" doc:"tickets whose numbers lead here"`
	Flags        []string   `json:"flags" nullable:"false"`
	SLA          []SLA      `json:"sla" nullable:"false" doc:"empty in this version"`
	MessageCount int        `json:"message_count"`
	CreatedAt    time.Time  `json:"created_at"`
	UpdatedAt    time.Time  `json:"updated_at"`
	SolvedAt     *time.Time `json:"solved_at"`
	SnoozedUntil *time.Time `json:"snoozed_until"`
	DueAt        *time.Time `json:"due_at"`
	TimeMinutes  int        `json:"time_minutes" doc:"sum of its time entries"`
	TaskAddress  *string    `json:"task_address" doc:"an agent's mail to this address is a task of the ticket"`
	URL          string     `json:"url"`
}

// Person is a contact in a ticket.
type Person struct {
	Contact string `json:"contact"`
	Address string `json:"address"`
	Name    string `json:"name"`
}

// Follower is an agent who follows a ticket.
type Follower struct {
	Agent   string `json:"agent"`
	Address string `json:"address"`
}

// Link ties two tickets.
type Link struct {
	Number uint64 `json:"number"`
	Kind   string `json:"kind" enum:"related,followup,sibling,claims"`
}

// SLA is one deadline.
type SLA struct {
	Target string    `json:"target" enum:"reaction,warning,resolution"`
	DueAt  time.Time `json:"due_at"`
	State  string    `json:"state" enum:"ok,warning,breached,met,paused"`
}

func (a *API) ticket(t *ticketing.Ticket) *Ticket {
	out := &Ticket{
		Number: t.Number, Queue: t.Queue, Subject: t.Subject, Status: t.Status, Priority: t.Priority,
		Category: orNull(t.Category), Tags: list(t.Tags), Assignee: orNull(t.Assignee),
		Requester: Person(t.Requester), MergedInto: orNull(t.MergedInto), MergedFrom: list(t.MergedFrom), Flags: list(t.Flags), SLA: []SLA{},
		MessageCount: t.MessageCount, CreatedAt: t.CreatedAt.UTC(), UpdatedAt: t.UpdatedAt.UTC(),
		SolvedAt: moment(t.SolvedAt), SnoozedUntil: moment(t.SnoozedUntil),
		DueAt: moment(t.DueAt), TimeMinutes: t.Minutes, TaskAddress: orNull(a.o.Desk.TaskAddress(t)),
		CCs: []Person{}, Followers: []Follower{}, Links: []Link{},
		URL: fmt.Sprintf("%s%s%d", a.o.PublicURL, TicketPath, t.Number),
	}
	for _, p := range t.CCs {
		out.CCs = append(out.CCs, Person(p))
	}
	for _, f := range t.Followers {
		out.Followers = append(out.Followers, Follower(f))
	}
	for _, l := range t.Links {
		out.Links = append(out.Links, Link(l))
	}
	return out
}

// Message is one entry of a ticket.
type Message struct {
	ID          string             `json:"id"`
	Ticket      uint64             `json:"ticket"`
	Direction   string             `json:"direction" enum:"in,out,none"`
	Kind        string             `json:"kind" enum:"customer,reply,note,third_party,auto,bounce,event"`
	Visibility  string             `json:"visibility" enum:"public,internal"`
	Author      Author             `json:"author"`
	ForwardedBy nullable[Author]   `json:"forwarded_by" doc:"the agent who passed the mail on for its author"`
	Subject     string             `json:"subject"`
	MessageID   string             `json:"message_id"`
	InReplyTo   []string           `json:"in_reply_to" nullable:"false"`
	References  []string           `json:"references" nullable:"false"`
	From        []Address          `json:"from" nullable:"false"`
	To          []Address          `json:"to" nullable:"false"`
	CC          []Address          `json:"cc" nullable:"false"`
	ReplyTo     []Address          `json:"reply_to" nullable:"false"`
	Envelope    nullable[Envelope] `json:"envelope" doc:"how the mail reached us; null for what was written here"`
	Auth        Auth               `json:"auth"`
	Automatic   Automatic          `json:"automatic"`
	Bounce      nullable[Bounce]   `json:"bounce"`
	MatchedBy   string             `json:"matched_by" enum:"token,in_reply_to,references,sibling_reference,body_token,subject,bounce,none"`
	Flags       []string           `json:"flags" nullable:"false"`
	Commands    []Command          `json:"commands" nullable:"false" doc:"what an agent's mail told the desk to do; these lines are left out of the texts"`
	SplitFrom   *string            `json:"split_from" doc:"the message this one is a copy of"`
	SplitInto   *uint64            `json:"split_into" doc:"the ticket that a copy of this message opened"`
	Text        string             `json:"text" doc:"the whole text part, or the text of the HTML"`
	VisibleText string             `json:"visible_text" doc:"what the author newly wrote"`
	QuotedText  string             `json:"quoted_text" doc:"the rest"`
	HTML        *string            `json:"html" doc:"sanitised; pictures of the mail at their attachments, remote ones in data-src, hidden text in span data-hidden"`
	Attachments []Attachment       `json:"attachments" nullable:"false"`
	RawSHA256   *string            `json:"raw_sha256"`
	RawSize     int64              `json:"raw_size"`
	Date        *time.Time         `json:"date" doc:"the author's clock"`
	ReceivedAt  time.Time          `json:"received_at"`
	Deliveries  []Delivery         `json:"deliveries" nullable:"false"`
}

// Command is one command line of an agent's mail.
type Command struct {
	Line  string  `json:"line"`
	Error *string `json:"error" doc:"why it was not carried out; null if it was"`
}

// Author is who wrote a message.
type Author struct {
	Address string `json:"address"`
	Name    string `json:"name"`
	Role    string `json:"role" enum:"requester,cc,follower,agent,light_agent,third_party,system"`
}

// Address is a mailbox.
type Address struct {
	Address string `json:"address"`
	Name    string `json:"name"`
}

// Envelope is how a mail reached us.
type Envelope struct {
	From     string   `json:"from" doc:"empty is the null sender"`
	To       []string `json:"to" nullable:"false"`
	RemoteIP *string  `json:"remote_ip"`
	HELO     *string  `json:"helo"`
	TLS      bool     `json:"tls"`
	Source   string   `json:"source"`
}

// Auth is the evidence about a sender, in the words of RFC 8601.
type Auth struct {
	SPF   SPF    `json:"spf"`
	DKIM  []DKIM `json:"dkim" nullable:"false"`
	DMARC DMARC  `json:"dmarc"`
	ARC   ARC    `json:"arc"`
	IPRev IPRev  `json:"iprev"`
	Trust string `json:"trust" enum:"T0,T1,T2"`

	Forwarder bool     `json:"forwarder" doc:"a trusted forwarder of the queue brought it"`
	Client    *string  `json:"client" doc:"address of the original client, if a trusted forwarder named it"`
	Reasons   []string `json:"reasons" nullable:"false" doc:"why the trust is what it is"`
}

// IPRev says whether the client's address and name confirm each other; a score
// that decides nothing.
type IPRev struct {
	Result string  `json:"result"`
	Name   *string `json:"name"`
}

// SPF is RFC 7208's result.
type SPF struct {
	Result string  `json:"result"`
	Domain *string `json:"domain"`
	Reason *string `json:"reason"`
}

// DKIM is one signature's result.
type DKIM struct {
	Result   string  `json:"result"`
	Domain   *string `json:"domain"`
	Selector *string `json:"selector"`
	Reason   *string `json:"reason"`
}

// DMARC is RFC 9989's result.
type DMARC struct {
	Result      string  `json:"result"`
	Domain      *string `json:"domain"`
	Policy      *string `json:"policy"`
	Disposition *string `json:"disposition"`
	Reason      *string `json:"reason"`
}

// ARC is not evaluated in this version: none.
type ARC struct {
	Result string `json:"result"`
}

// Automatic says what kind of machine wrote a mail.
type Automatic struct {
	Class   string   `json:"class" enum:"none,autoreply,bounce,delayed,feedback,notification,bulk,list"`
	Reasons []string `json:"reasons" nullable:"false"`
}

// Bounce is a delivery report or a complaint.
type Bounce struct {
	FeedbackType string                    `json:"feedback_type,omitempty" doc:"of a complaint: abuse, fraud …; absent in a delivery report"`
	Recipients   []message.BounceRecipient `json:"recipients" nullable:"false"`
}

// Attachment is a part of a message.
type Attachment struct {
	ID          string  `json:"id"`
	Filename    string  `json:"filename"`
	ContentType string  `json:"content_type"`
	Size        int64   `json:"size"`
	SHA256      string  `json:"sha256"`
	ContentID   *string `json:"content_id"`
	Inline      bool    `json:"inline"`
	Note        *string `json:"note" doc:"what name and type do not say: when an invitation is, whose mail a nested one is, that a signature was not checked"`
}

// Delivery is how far a message got to one recipient.
type Delivery struct {
	Recipient string         `json:"recipient"`
	State     string         `json:"state" enum:"queued,sent,deferred,held,failed,bounced,suppressed,cancelled"`
	Attempts  int            `json:"attempts"`
	Last      nullable[Last] `json:"last" doc:"null before the first attempt"`
}

// Last is what a server last said.
type Last struct {
	Code     int       `json:"code" doc:"0 if no server spoke"`
	Enhanced string    `json:"enhanced"`
	Text     string    `json:"text"`
	MX       string    `json:"mx"`
	TLS      string    `json:"tls" doc:"the channel in a few words: version, cipher, whether the server was verified, and who asked for it; empty if nobody was reached"`
	At       time.Time `json:"at"`
}

// messageShape joins a message with what is read from its bytes.
func messageShape(m *ticketing.Message, c *ticketing.Content, deliveries []ticketing.Delivery) *Message {
	out := &Message{
		ID: m.ID, Ticket: m.Ticket, Direction: m.Direction, Kind: m.Kind, Visibility: m.Visibility,
		Author:  Author{Address: m.Author.Address, Name: m.Author.Name, Role: m.Author.Role},
		Subject: m.Subject, MessageID: m.MessageID, InReplyTo: list(m.InReplyTo), References: list(m.References),
		From: addresses(m.From), To: addresses(m.To), CC: addresses(m.Cc), ReplyTo: addresses(m.ReplyTo),
		Auth:      authShape(m.Auth),
		Automatic: Automatic{Class: or(m.Automatic.Class, "none"), Reasons: list(m.Automatic.Reasons)},
		MatchedBy: or(m.MatchedBy, "none"), Flags: list(slices.Concat(m.Flags, c.Labels)),
		Text: c.Text, VisibleText: c.VisibleText, QuotedText: c.QuotedText, HTML: orNull(pageOf(c)),
		Commands: []Command{}, SplitFrom: orNull(m.SplitFrom), SplitInto: orNull(m.SplitInto),
		Attachments: []Attachment{}, RawSHA256: orNull(m.Raw.SHA256), RawSize: m.Raw.Size,
		Date: moment(m.Date), ReceivedAt: m.ReceivedAt.UTC(), Deliveries: []Delivery{},
	}
	if by := m.ForwardedBy; by != nil {
		out.ForwardedBy = some(Author{Address: by.Address, Name: by.Name, Role: by.Role})
	}
	if e := m.Envelope; e.Source != "" {
		out.Envelope = some(Envelope{From: e.From, To: list(e.To), RemoteIP: orNull(e.RemoteIP), HELO: orNull(e.HELO), TLS: e.TLS, Source: e.Source})
	}
	if m.Bounce != nil {
		out.Bounce = some(Bounce{FeedbackType: m.Bounce.FeedbackType, Recipients: list(m.Bounce.Recipients)})
	}
	for _, command := range m.Commands {
		out.Commands = append(out.Commands, Command{Line: command.Line, Error: orNull(command.Error)})
	}
	for _, at := range c.Attachments {
		out.Attachments = append(out.Attachments, Attachment{
			ID: at.ID, Filename: at.Filename, ContentType: at.ContentType, Size: at.Size, SHA256: at.SHA256,
			ContentID: orNull(at.ContentID), Inline: at.Inline, Note: orNull(at.Note),
		})
	}
	for _, d := range deliveries {
		shown := Delivery{Recipient: d.Recipient, State: d.State, Attempts: d.Attempts}
		if d.Code != 0 || d.Text != "" {
			shown.Last = some(Last{Code: d.Code, Enhanced: d.Enhanced, Text: d.Text, MX: d.MX, TLS: d.TLS, At: d.At.UTC()})
		}
		out.Deliveries = append(out.Deliveries, shown)
	}
	return out
}

func authShape(v ticketing.Verdict) Auth {
	out := Auth{
		SPF:  SPF{Result: or(v.SPF.Result, "none"), Domain: orNull(v.SPF.Domain), Reason: orNull(v.SPF.Reason)},
		DKIM: []DKIM{},
		DMARC: DMARC{Result: or(v.DMARC.Result, "none"), Domain: orNull(v.DMARC.Domain),
			Policy: orNull(v.DMARC.Policy), Disposition: orNull(v.DMARC.Disposition), Reason: orNull(v.DMARC.Reason)},
		ARC: ARC{Result: "none"}, IPRev: IPRev{Result: or(v.IPRev.Result, "none"), Name: orNull(v.IPRev.Domain)}, Trust: or(v.Trust, "T0"),
		Forwarder: v.Forwarder, Client: orNull(v.Client), Reasons: list(v.Reasons),
	}
	for _, s := range v.DKIM {
		out.DKIM = append(out.DKIM, DKIM{Result: or(s.Result, "none"), Domain: orNull(s.Domain), Selector: orNull(s.Selector), Reason: orNull(s.Reason)})
	}
	return out
}

func addresses(in []message.Address) []Address {
	out := make([]Address, 0, len(in))
	for _, a := range in {
		out = append(out, Address{Address: a.Addr, Name: a.Name})
	}
	return out
}

// Receipt says what became of one accepted mail.
type Receipt struct {
	ID           string    `json:"id"`
	ReceivedAt   time.Time `json:"received_at"`
	Source       string    `json:"source"`
	EnvelopeFrom string    `json:"envelope_from" doc:"empty is the null sender"`
	RawSHA256    string    `json:"raw_sha256"`
	RawSize      int64     `json:"raw_size"`
	Outcomes     []Outcome `json:"outcomes" nullable:"false" doc:"one per accepted recipient"`
}

// Outcome is what became of a mail for one recipient.
type Outcome struct {
	Recipient string  `json:"recipient"`
	Outcome   string  `json:"outcome" enum:"new_ticket,reply,note,third_party,autoreply,bounce,feedback,duplicate,loop,held,delivered_elsewhere"`
	Ticket    *uint64 `json:"ticket"`
	Message   *string `json:"message"`
	Held      *string `json:"held"`
	Reason    *string `json:"reason"`
	Rule      *string `json:"rule,omitempty" doc:"name of the queue's accept rule that decided about it, if one did"`
}

func receiptShape(r *ticketing.Receipt) *Receipt {
	out := &Receipt{
		ID: r.ID, ReceivedAt: r.ReceivedAt.UTC(), Source: r.Source, EnvelopeFrom: r.EnvelopeFrom,
		RawSHA256: r.Raw.SHA256, RawSize: r.Raw.Size, Outcomes: []Outcome{},
	}
	for _, o := range r.Outcomes {
		out.Outcomes = append(out.Outcomes, Outcome{
			Recipient: o.Recipient, Outcome: o.Outcome, Ticket: orNull(o.Ticket),
			Message: orNull(o.Message), Held: orNull(o.Held), Reason: orNull(o.Reason), Rule: orNull(o.Rule.Name),
		})
	}
	return out
}

// page is a list with the cursor of the next one.
type page[T any] struct {
	Items []T     `json:"items" nullable:"false"`
	Next  *string `json:"next" doc:"cursor of the next page; null at the end"`
}

// nullable is a T or null, for structs, which the library cannot mark so.
type nullable[T any] struct{ v *T }

func some[T any](v T) nullable[T] { return nullable[T]{&v} }

// MarshalJSON writes the value or null.
func (n nullable[T]) MarshalJSON() ([]byte, error) { return json.Marshal(n.v) }

// Schema documents it as either.
func (nullable[T]) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{AnyOf: []*huma.Schema{r.Schema(reflect.TypeFor[T](), true, ""), {Type: "null"}}}
}

func orNull[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func orEmpty(v *string) string {
	if v == nil {
		return ""
	}
	return *v
}

func or(v, otherwise string) string {
	if v == "" {
		return otherwise
	}
	return v
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func list[T any](in []T) []T {
	if in == nil {
		return []T{}
	}
	return in
}
