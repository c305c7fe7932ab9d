package courier

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

// classify decides what a reply means. The class of the code decides, with the
// exceptions that years of other people's mail queues have shown to be sane:
//
//   - 421, and a 5xx before MAIL, speak about the server, not about the mail.
//   - A full mailbox (5.2.2, and 552 where it means that) may be emptied.
//   - 503 says that we and the peer lost step.
//   - A smarthost that wants other credentials is our own fault to repair.
func classify(r *reply, phase Phase, smarthost bool) Class {
	switch {
	case r.class() == 2:
		if phase == PhaseDot {
			return Success
		}
		return Temporary
	case r.class() != 5 || phase.Session():
		return Temporary
	case r.code == 503:
		return Temporary
	case r.enhanced == "5.2.2":
		return Temporary
	case r.code == 552 && r.enhanced == "" && (phase == PhaseRcpt || fullMailbox(r.text)):
		return Temporary // RFC 5321 §4.5.3.1.10: 552 to RCPT is to be read as 452
	case smarthost && (r.code == 530 || r.code == 534 || r.code == 535 || r.code == 538):
		return Temporary
	}
	return Permanent
}

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
