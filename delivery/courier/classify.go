package courier

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// classify decides what a reply means, by its enhanced code, its basic code, the
// phase and at last its words. The class of the code decides, with exceptions
// that years of other people's mail queues have shown to be sane:
//
//   - 421 and 4.3.2 speak about the server, and so does a refusal that names a
//     list, a reputation or a rate: no other mail would fare better there now.
//   - A login that is refused, and a refusal of our domain's authentication,
//     are ours to repair: they say nothing about the recipient.
//   - A 5xx before MAIL may be a server in trouble: the mail has not been heard.
//   - A full mailbox (5.2.2, and 552 where it means that) may be emptied.
//   - 503 says that we and the peer lost step.
func classify(r *reply, phase Phase, smarthost bool) Class {
	switch {
	case r.class() == 2:
		if phase == PhaseDot {
			return Success
		}
		return Temporary
	case smarthost && (r.code == 530 || r.code == 534 || r.code == 535 || r.code == 538), phase == PhaseAuth && r.class() == 5:
		return SenderScoped
	case r.code == 421, r.enhanced == "4.3.2":
		return SiteScoped
	case r.class() == 5 && slices.Contains(ourFault, r.enhanced):
		return SenderScoped
	case ofTheSite(r, phase):
		return SiteScoped
	case r.class() != 5 || phase.Session():
		return Temporary
	case r.code == 503:
		return Temporary
	case r.enhanced == "5.2.2":
		return Temporary
	case r.code == 552 && r.enhanced == "" && (phase == PhaseRcpt || fullMailbox(r.text)):
		return Temporary // RFC 5321 §4.5.3.1.10: 552 to RCPT is to be read as 452
	}
	return Permanent
}

// ourFault are refusals of our sender address (RFC 3463 §3.2) and of what we
// prove about our domain (RFC 7372).
var ourFault = []string{"5.1.7", "5.1.8", "5.7.20", "5.7.21", "5.7.22", "5.7.23", "5.7.24", "5.7.25", "5.7.26", "5.7.27"}

// ofTheSite reports whether a refusal is about where we come from. Greylisting
// is about one mail. 7.x.x alone does not tell: a mail may be refused for what
// stands in it.
func ofTheSite(r *reply, phase Phase) bool {
	if !strings.HasPrefix(r.enhanced, "4.7.") && !strings.HasPrefix(r.enhanced, "5.7.") && !(phase.Session() && r.class() >= 4) {
		return false
	}
	if _, grey := hints(r); grey {
		return false
	}
	return standing.MatchString(strings.ToLower(r.text))
}

// standing are the words for lists, reputations and rates.
var standing = regexp.MustCompile(`\b(?:block(?:ed|ing)?[- ]?list(?:ed)?|black[- ]?list(?:ed)?|(?:blocked|listed|rejected) (?:using|by|at|in|on)|dns(?:b|w)l|rbl|spamhaus|spamcop|sorbs|barracuda\w*|uceprotect|reputation|banned|rate[- ]limit\w*|throttl\w*|too many (?:connections|messages|mails|emails|recipients from your|requests)|unusual rate|suspicious(?:ly)? (?:due to )?.*?\bip\b|poor sender|tss0\d|s3140|s3150|cs01)\b`)

func fullMailbox(text string) bool {
	text = strings.ToLower(text)
	for _, w := range []string{"quota", "mailbox full", "mailbox is full", "inbox full", "storage"} {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

// describe puts a failure without a reply into calm words. The words are ours:
// an error string may hold anything.
func describe(phase Phase, err error) string {
	what := "failed"
	var timeout net.Error
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, errStopped) && !errors.Is(err, context.DeadlineExceeded):
		what = "was cut short by our own shutdown"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		what = "timed out"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe),
		errors.Is(err, net.ErrClosed), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		what = "lost the connection"
	case errors.Is(err, syscall.ECONNREFUSED):
		what = "was refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		what = "found no way to the host"
	case errors.Is(err, errReplyLine), errors.Is(err, errReplyLines), errors.Is(err, errReplyForm):
		what = "met an answer that is not SMTP"
	case errors.As(err, &record):
		what = "met an answer that is not TLS"
	}
	return phaseWords[phase] + " " + what
}

var phaseWords = map[Phase]string{
	PhaseLocal:    "preparing the mail",
	PhaseRoute:    "looking up the destination",
	PhaseDial:     "connecting",
	PhaseGreeting: "waiting for the greeting",
	PhaseHello:    "saying EHLO",
	PhaseTLS:      "the TLS handshake",
	PhaseAuth:     "logging in",
	PhaseMail:     "naming the sender",
	PhaseRcpt:     "naming the recipient",
	PhaseData:     "asking to send the content",
	PhaseBody:     "sending the content",
	PhaseDot:      "waiting for the answer to the content",
}
