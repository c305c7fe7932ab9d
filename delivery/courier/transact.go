package courier

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
)

// outcome of one transaction on one session: either results for every
// recipient of the envelope, or a failure that came early enough for another
// connection to be tried.
type outcome struct {
	results  []Result
	fail     *failure
	reusable bool
	polite   bool // QUIT can still be said
}

// transact runs MAIL, RCPT, DATA and the content. Where PIPELINING is offered
// the first three go out together (RFC 2920).
func (s *session) transact(ctx context.Context, env *envelope) outcome {
	x := &transaction{session: s, env: env, results: make([]Result, len(env.to)), done: make([]bool, len(env.to))}
	mail, fail := x.mailCommand()
	if fail != nil {
		x.settle(fail)
		return outcome{results: x.results, reusable: true, polite: true}
	}
	if s.stale() {
		return outcome{fail: s.fail(PhaseMail, errUnasked)}
	}
	x.piped = s.has("PIPELINING")
	if fail := x.begin(mail); fail != nil {
		return outcome{fail: fail, polite: fail.reply != nil}
	}
	switch {
	case x.open && len(x.accepted()) == 0:
		x.empty()
	case x.open:
		x.content(ctx)
	case x.dirty && x.lost == nil:
		x.clean()
	}
	return outcome{results: x.results, reusable: x.lost == nil && !x.spent && !s.stale(), polite: x.lost == nil}
}

type transaction struct {
	*session
	env     *envelope
	results []Result
	done    []bool // a result is final
	piped   bool
	open    bool  // 354: the peer waits for content
	dirty   bool  // MAIL was accepted and the transaction not ended
	spent   bool  // the session had better not serve again
	lost    error // the session cannot go on
}

// mailCommand builds MAIL FROM with the parameters the mail needs, or says
// that this peer cannot take it.
func (x *transaction) mailCommand() (string, *failure) {
	t := x.env.t
	var b strings.Builder
	b.WriteString("MAIL FROM:<" + x.env.from + ">")
	if param, ok := x.ext["SIZE"]; ok {
		if limit, err := strconv.ParseInt(param, 10, 64); err == nil && limit > 0 && t.Size > limit {
			return "", x.verdict(PhaseMail, "5.3.4", "the mail has %d bytes, the server takes at most %d", t.Size, limit)
		}
		if t.Size > 0 {
			b.WriteString(" SIZE=" + strconv.FormatInt(t.Size, 10))
		}
	}
	if x.env.utf8 {
		if !x.has("SMTPUTF8") {
			return "", x.verdict(PhaseMail, "5.6.7", "the mail needs SMTPUTF8, which the server does not offer")
		}
		b.WriteString(" SMTPUTF8")
	}
	if t.Bit8 || x.env.utf8 {
		switch {
		case x.has("8BITMIME"):
			b.WriteString(" BODY=8BITMIME")
		case t.Bit8:
			// Converting would break the signature (RFC 6152 §3 wants one or the other).
			return "", x.verdict(PhaseMail, "5.6.3", "the mail has 8-bit content, which the server does not offer to take")
		}
	}
	if t.RequireTLS {
		b.WriteString(" REQUIRETLS") // offered, or there would be no session
	}
	return b.String(), nil
}

// begin gets to the answer to DATA. A failure means that the session broke or
// the peer said 421 before any content was sent.
func (x *transaction) begin(mail string) *failure {
	t := &x.o.Timeouts
	if x.piped {
		err := x.wire.put("%s", mail)
		for _, to := range x.env.to {
			err = errors.Join(err, x.wire.put("RCPT TO:<%s>", to))
		}
		err = errors.Join(err, x.wire.put("DATA"), x.wire.w.Flush())
		if err != nil {
			return x.fail(PhaseMail, err)
		}
	}
	rep, fail := x.step(PhaseMail, t.Mail, mail)
	if fail != nil {
		return fail
	}
	if x.dirty = rep.class() == 2; !x.dirty {
		x.settle(x.refused(PhaseMail, rep))
		x.spent = true // a peer that refuses a sender may be refusing us
		if !x.piped {
			return nil
		}
	}
	for i, to := range x.env.to {
		rep, fail := x.step(PhaseRcpt, t.Rcpt, "RCPT TO:<"+to+">")
		if fail != nil {
			return fail
		}
		if rep.class() != 2 && !x.done[i] {
			x.finish(i, x.refused(PhaseRcpt, rep))
		}
	}
	if !x.piped && len(x.accepted()) == 0 {
		return nil
	}
	if rep, fail = x.step(PhaseData, t.Data, "DATA"); fail != nil {
		return fail
	}
	if x.open = rep.code == 354; !x.open {
		x.settle(x.refused(PhaseData, rep))
	}
	return nil
}

// step reads the answer to one command, which it sends first unless it has
// gone out already.
func (x *transaction) step(p Phase, d time.Duration, command string) (rep *reply, fail *failure) {
	var err error
	if x.piped {
		rep, err = x.wire.read(d)
	} else {
		rep, err = x.wire.ask(d, "%s", command)
	}
	if err != nil {
		return nil, x.fail(p, err)
	}
	if rep.code == 421 {
		return nil, x.refused(p, rep)
	}
	return rep, nil
}

// accepted returns the recipients that wait for the content.
func (x *transaction) accepted() (list []int) {
	for i, done := range x.done {
		if !done {
			list = append(list, i)
		}
	}
	return list
}

// finish gives one recipient its result, settle all that have none.
func (x *transaction) finish(i int, f *failure) { x.results[i], x.done[i] = f.result(), true }

func (x *transaction) settle(f *failure) {
	for _, i := range x.accepted() {
		x.finish(i, f)
	}
}

// empty ends a DATA that the peer opened although it refused everybody: a
// lone dot, as RFC 2920 §3.1 asks, and no interest in the answer.
func (x *transaction) empty() {
	if x.hop.lmtp {
		x.lost = errors.New("an LMTP server owes no answer to content for nobody")
		return
	}
	if _, x.lost = x.wire.ask(x.o.Timeouts.Dot, "."); x.lost == nil {
		x.dirty = false
	}
}

// clean takes back a transaction that ended before DATA.
func (x *transaction) clean() {
	rep, err := x.wire.ask(x.o.Timeouts.Mail, "RSET")
	if err == nil && rep.class() != 2 {
		err = errors.New("RSET refused")
	}
	x.lost = err
}

// content sends the mail and reads what the peer says to it.
func (x *transaction) content(ctx context.Context) {
	x.lost = errors.New("content not finished")
	r, err := x.env.t.Open(ctx)
	if err == nil {
		err = writeContent(x.wire.w, r)
		if c, ok := r.(io.Closer); ok {
			c.Close()
		}
	} else {
		err = errors.Join(errContent, err)
	}
	if err == nil && x.env.t.OnDot != nil {
		if err = x.env.t.OnDot(ctx); err != nil {
			err = errors.Join(errContent, err)
		}
	}
	if err != nil {
		x.settle(x.bodyFailed(err))
		return
	}
	// From here on the peer may have the whole mail, whatever we see of it.
	if err = errors.Join(x.wire.put("."), x.wire.w.Flush()); err != nil {
		x.unsure(err)
		return
	}
	if x.hop.lmtp {
		x.each()
		return
	}
	rep, err := x.wire.read(x.o.Timeouts.Dot)
	if err != nil {
		x.unsure(err)
		return
	}
	x.settle(x.refused(PhaseDot, rep))
	if rep.code != 421 {
		x.lost, x.dirty = nil, false
	}
}

// each reads LMTP's answers to the content, one for each recipient that was
// accepted (RFC 2033 §4.2).
func (x *transaction) each() {
	closing := false
	for _, i := range x.accepted() {
		rep, err := x.wire.read(x.o.Timeouts.Dot)
		if err != nil {
			x.unsure(err)
			return
		}
		x.finish(i, x.refused(PhaseDot, rep))
		closing = closing || rep.code == 421
	}
	if !closing {
		x.lost, x.dirty = nil, false
	}
}

// unsure settles what has no answer after the dot.
func (x *transaction) unsure(err error) {
	f := x.fail(PhaseDot, err)
	f.unsure = true
	x.settle(f)
}

// bodyFailed finds out why the content did not get through. A peer that has
// enough often says so and hangs up while we still write.
func (x *transaction) bodyFailed(err error) *failure {
	switch {
	case errors.Is(err, errBare):
		f := x.verdict(PhaseBody, "5.6.0", "the mail has a line end that is not CRLF")
		f.err = err
		return f
	case errors.Is(err, errContent):
		f := x.fail(PhaseBody, err)
		f.enhanced, f.text = "4.3.0", "the content could not be prepared for sending"
		return f
	}
	if rep, rerr := x.wire.read(x.o.Timeouts.Quit); rerr == nil && rep.class() >= 4 {
		return x.refused(PhaseBody, rep)
	}
	return x.fail(PhaseBody, err)
}
