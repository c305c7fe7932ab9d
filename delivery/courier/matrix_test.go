package courier

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Every way to misbehave at every step: the result is what a careful postmaster
// would say, nothing hangs past the deadlines, nothing bounces for a broken
// server, and only a lost answer to the dot is ambiguous.
func TestMisbehaviourMatrix(t *testing.T) {
	t.Parallel()
	steps := []Phase{PhaseGreeting, PhaseHello, PhaseTLS, PhaseMail, PhaseRcpt, PhaseData, PhaseDot}
	hows := []string{"421 4.3.2 closing", "450 4.2.0 later", "550 5.1.1 never", "drop", "hang", "garbage", "endless", "long", "drip"}
	for _, piped := range []bool{false, true} {
		for _, step := range steps {
			for _, how := range hows {
				name := fmt.Sprintf("%s/%s/piped=%v", step, strings.Fields(how)[0], piped)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { misbehaveAt(t, step, how, piped) })
				})
			}
		}
	}
}

func misbehaveAt(t *testing.T, step Phase, how string, piped bool) {
	h := &host{t: t}
	script := func(p *peer) { careless(p, step, how, piped) }
	h.scripts = []func(*peer){script, script}
	o := testOptions(oneHost())
	o.Dial = h.dial
	c := newCourier(t, o)
	start := time.Now()
	r := c.Carry(t.Context(), letter("anna@customer.example"))[0]
	took := time.Since(start)
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	h.wg.Wait()

	class, code := r.Class, how[:3]
	want := Temporary
	if code == "550" && !step.Session() {
		want = Permanent
	}
	if step == PhaseTLS && (code == "450" || code == "550" || !isCode(how)) {
		want = Success // in clear: on this connection, or on another one
	}
	if step == PhaseDot && how == "endless" {
		want = Temporary
	}
	if class != want {
		t.Errorf("got %s, want %s: %s %v", class, want, short(r), r.Err)
	}
	if unsure := step == PhaseDot && !isCode(how); r.Ambiguous != unsure {
		t.Errorf("ambiguous is %v, want %v: %s", r.Ambiguous, unsure, short(r))
	}
	if want != Success && r.Phase != step {
		t.Errorf("decided at %s, want %s", r.Phase, step)
	}
	if isCode(how) && want != Success && fmt.Sprint(r.Code) != code {
		t.Errorf("code %d, want %s", r.Code, code)
	}
	if r.Text == "" || len(r.Text) > MaxText {
		t.Errorf("text of %d bytes", len(r.Text))
	}
	if took > 15*time.Minute {
		t.Errorf("took %s", took)
	}
}

func isCode(how string) bool { return how[0] >= '2' && how[0] <= '5' }

// careless serves one mail and misbehaves at one step.
func careless(p *peer, step Phase, how string, piped bool) {
	do := func(at Phase, answer ...string) bool {
		if at == step {
			return !p.misbehave(how) && how[:3] != "421"
		}
		p.say(answer...)
		return true
	}
	if !do(PhaseGreeting, "220 mx1") {
		return
	}
	ext := []string{"250-mx1"}
	if step == PhaseTLS {
		ext = append(ext, "250-STARTTLS")
	}
	if piped {
		ext = append(ext, "250-PIPELINING")
	}
	ext = append(ext, "250 HELP")
	data := false
	for {
		line := p.hear()
		ok := true
		switch verb, _, _ := strings.Cut(line, " "); {
		case line == gone:
			return
		case data && line == ".":
			data = false
			ok = do(PhaseDot, "250 2.0.0 Ok")
		case data:
		case verb == "EHLO", verb == "HELO":
			ok = do(PhaseHello, ext...)
		case verb == "STARTTLS":
			ok = do(PhaseTLS)
		case verb == "MAIL":
			ok = do(PhaseMail, "250 2.1.0 Ok")
		case verb == "RCPT":
			ok = do(PhaseRcpt, "250 2.1.5 Ok")
		case verb == "DATA":
			data = step != PhaseData
			ok = do(PhaseData, "354 go on")
		case verb == "RSET":
			p.say("250 Ok")
		case verb == "QUIT":
			p.say("221 bye")
			return
		default:
			p.t.Errorf("unexpected %q", line)
			return
		}
		if !ok {
			return
		}
	}
}

// A peer that does not answer QUIT, or answers with nonsense, costs a moment
// at the end and nothing else.
func TestMisbehaviourAtQuit(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"421 4.3.2 closing", "450 later", "550 never", "drop", "hang", "garbage", "endless", "long", "drip"} {
		t.Run(strings.Fields(how)[0], func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := &host{t: t}
				h.scripts = []func(*peer){func(p *peer) {
					serveUntil(p, "QUIT")
					p.misbehave(how)
				}}
				o := testOptions(oneHost())
				o.Dial = h.dial
				c := newCourier(t, o)
				if r := c.Carry(t.Context(), letter("anna@customer.example"))[0]; r.Class != Success {
					t.Fatal(short(r), r.Err)
				}
				start := time.Now()
				if err := c.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took > 20*time.Second {
					t.Errorf("close took %s", took)
				}
				h.wg.Wait()
			})
		})
	}
}

// serveUntil is a friendly peer that takes mail until it hears a command.
func serveUntil(p *peer, stop string) (mails int) {
	p.say("220 mx1")
	data := false
	for {
		line := p.hear()
		switch verb, _, _ := strings.Cut(line, " "); {
		case line == gone, verb == stop && !data:
			return mails
		case data && line == ".":
			data = false
			mails++
			p.say("250 2.0.0 Ok")
		case data:
		case verb == "DATA":
			data = true
			p.say("354 go on")
		default:
			p.say("250 Ok")
		}
	}
}
