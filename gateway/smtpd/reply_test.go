package smtpd

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ticketgate/gateway/intake"
	"ticketgate/ticketing"
)

// TestReplyTable: every Kind, plain and wrapped, and what is none.
func TestReplyTable(t *testing.T) {
	kind := func(k ticketing.Kind, err error) error {
		return &ticketing.Error{Kind: k, Text: "calm words", Err: err}
	}
	story := errors.New("secret story")
	for _, c := range []struct {
		err  error
		want string
	}{
		{kind(ticketing.Unknown, story), "550 5.1.1 calm words (id)"},
		{kind(ticketing.Refused, story), "550 5.7.1 calm words (id)"},
		{kind(ticketing.Denied, story), "550 5.7.1 calm words (id)"},
		{kind(ticketing.Invalid, story), "550 5.6.0 calm words (id)"},
		{kind(ticketing.TooBig, story), "552 5.3.4 calm words (id)"},
		{kind(ticketing.Busy, story), "451 4.3.2 calm words (id)"},
		{kind(ticketing.NoSpace, story), "452 4.3.1 calm words (id)"},
		{kind(ticketing.Full, story), "452 4.3.1 calm words (id)"},
		{&ticketing.Error{Kind: ticketing.Full}, "452 4.3.1 too much mail is waiting to leave, try again later (id)"},
		{kind(ticketing.Conflict, story), "451 4.3.0 temporary problem on our side (id)"},
		{kind(ticketing.Internal, story), "451 4.3.0 temporary problem on our side (id)"},
		{kind(200, story), "451 4.3.0 temporary problem on our side (id)"},
		{kind(ticketing.Refused, intake.ErrLoop), "554 5.4.6 calm words (id)"},
		{kind(ticketing.TooBig, intake.ErrHeader), "552 5.3.4 calm words (id)"},
		{&ticketing.Error{Kind: ticketing.Busy}, "451 4.3.2 busy, try again later (id)"},
		{story, "451 4.3.0 temporary problem on our side (id)"},
	} {
		for _, err := range []error{c.err, fmt.Errorf("context: %w", fmt.Errorf("more: %w", c.err))} {
			r := replyTo(err, "id")
			got := fmt.Sprintf("%d %d.%d.%d %s", r.Code, r.EnhancedCode[0], r.EnhancedCode[1], r.EnhancedCode[2], r.Message)
			if got != c.want || strings.Contains(got, "secret") {
				t.Errorf("%v: %q, not %q", err, got, c.want)
			}
			known := false
			for _, reason := range reasons {
				known = known || reason == r.reason
			}
			if !known {
				t.Errorf("%v: reason %q is not counted", err, r.reason)
			}
		}
	}
}
