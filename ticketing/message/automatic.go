package message

// Automatic says what kind of machine wrote a mail, if one did.
type Automatic struct {
	Class   string   `json:"class"`   // none autoreply bounce delayed feedback notification bulk list
	Reasons []string `json:"reasons"` // the headers that say so
}

// Classify applies the table of REQUIREMENTS §7 to a mail's header and its
// envelope sender ("" = null). First that applies in the order bounce, delayed,
// feedback, autoreply, list, bulk, notification.
func Classify(m *Mail, envelopeFrom string) Automatic { panic("contract") }

// BounceRecipient is one recipient of a delivery report.
type BounceRecipient struct {
	Address    string `json:"address"`
	Action     string `json:"action"` // failed delayed delivered relayed expanded
	Status     string `json:"status"`
	SMTPCode   int    `json:"smtp_code"`
	Hard       bool   `json:"hard"`
	Reason     string `json:"reason"`
	Diagnostic string `json:"diagnostic"`
}

// Bounce is a parsed delivery status notification (RFC 3464).
type Bounce struct {
	Recipients []BounceRecipient `json:"recipients"`
	Returned   []string          `json:"-"` // Message-IDs found in the returned part
}

// ParseBounce reads an RFC 3464 report; nil if the mail is none.
func ParseBounce(m *Mail) *Bounce { panic("contract") }
