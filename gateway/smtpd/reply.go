package smtpd

import (
	"errors"

	"github.com/emersion/go-smtp"

	"ticketgate/gateway/intake"
	"ticketgate/ticketing"
)

// reply is an SMTP answer together with the word that counts it.
type reply struct {
	smtp.SMTPError
	reason string // of ticketgate_smtp_rejections_total
}

func (r *reply) wire() *smtp.SMTPError { e := r.SMTPError; return &e }

func say(code int, a, b, c int, text, reason string) *reply {
	return &reply{smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{a, b, c}, Message: text}, reason}
}

// replyTo is the one table from errors of the house to SMTP. Kinds that a retry
// with the same octets cannot heal are permanent; everything else, and whatever
// carries no Kind, is temporary. The words of an Internal error stay at home;
// id stands in the reply and in the log.
func replyTo(err error, id string) *reply {
	kind := ticketing.KindOf(err)
	text := ""
	var e *ticketing.Error
	if errors.As(err, &e) && kind != ticketing.Internal {
		text = oneLine(e.Text)
	}
	or := func(fallback string) string {
		if text == "" {
			text = fallback
		}
		return text + " (" + id + ")"
	}
	switch {
	case errors.Is(err, intake.ErrLoop):
		return say(554, 5, 4, 6, or("mail loop"), "loop")
	case errors.Is(err, intake.ErrHeader):
		return say(552, 5, 3, 4, or("message header too large"), "malformed")
	}
	switch kind {
	case ticketing.Unknown:
		return say(550, 5, 1, 1, or("no such recipient here"), "unknown_recipient")
	case ticketing.Refused, ticketing.Denied:
		return say(550, 5, 7, 1, or("refused by local policy"), "policy")
	case ticketing.Invalid:
		return say(550, 5, 6, 0, or("message is malformed"), "malformed")
	case ticketing.TooBig:
		return say(552, 5, 3, 4, or("message too large"), "size")
	case ticketing.Busy:
		return say(451, 4, 3, 2, or("busy, try again later"), "busy")
	case ticketing.Full:
		return say(452, 4, 3, 1, or("too much mail is waiting to leave, try again later"), "outbound_full")
	case ticketing.NoSpace:
		return say(452, 4, 3, 1, or("not enough room just now"), "no_space")
	default: // Internal, Conflict and whatever may be added: a fault of ours
		return say(451, 4, 3, 0, "temporary problem on our side ("+id+")", "internal")
	}
}

// oneLine keeps a text from becoming several reply lines.
func oneLine(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s) && len(b) < 300; i++ {
		if c := s[i]; c >= ' ' && c < 0x7f {
			b = append(b, c)
		}
	}
	return string(b)
}
