package message

import "time"

// Outbound is one mail for one recipient on its way to the outbound queue. The
// content is a linked blob whose bytes never change.
type Outbound struct {
	ID      string // "out_…": the parcel's id and idempotency key
	Class   string // reply notification autoack bulk dsn relay
	From    string // envelope sender; "" is the null return path
	To      string // envelope recipient
	SHA256  string // blob with the composed, unsigned mail (CRLF line ends)
	Size    int64
	Domain  string // signing domain (d=); its key must exist
	Queue   string
	Ticket  uint64
	Message string    // id of the message whose delivery this is; "" if none
	MailID  string    // the mail's own Message-ID
	Mail    uint32    // its number within the ticket, if its fate is to be booked although it carries no one message; 0 = no
	Due     time.Time // zero = now
	UTF8    bool      // needs SMTPUTF8
	Bit8    bool      // has 8-bit content

	Route      string // the configured route it must take, whatever To says; "" = by queue and recipient
	Head       []byte // class relay: header fields put on top of the content, CRLF, at most 16 KiB
	RequireTLS bool   // RFC 8689: rather not at all than without TLS to the end
}

// Report says what became of a parcel: at each change of state, in the
// transaction that makes it.
type Report struct {
	Parcel    string
	Message   string
	MailID    string // Message-ID of the mail
	Mail      uint32 // as in Outbound
	Ticket    uint64
	Queue     string
	Recipient string
	State     string // queued sent deferred held failed bounced suppressed cancelled
	Attempts  int
	Code      int    // last SMTP reply, 0 if there was none
	Enhanced  string // "2.0.0"
	Text      string
	MX        string
	TLS       string // the channel of the last attempt in a few words, "" if there was none
	At        time.Time
	Next      time.Time // next attempt, when deferred

	// Hold is set when the queue itself holds a mail that a person wrote, until
	// another person decides: "suppressed". Its ticket should hear of it.
	Hold string
	// Unsure: an attempt may have delivered it, although it does not count as
	// sent.
	Unsure bool
	// Delayed is set in the one report in which a mail that still waits has
	// become late enough for a word on its ticket: an hour, then a day.
	Delayed time.Duration
}
