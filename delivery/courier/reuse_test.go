package courier

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// friendly gives n connections to peers that take everything, and counts mails.
func friendly(t *testing.T, n int, mails *[]int) *host {
	h := &host{t: t}
	*mails = make([]int, n)
	for i := range n {
		h.scripts = append(h.scripts, func(p *peer) {
			(*mails)[i] = serveUntil(p, "QUIT")
			p.say("221 bye")
		})
	}
	return h
}

// A connection serves many mails, up to its number, its age and its idleness;
// then it ends with QUIT.
func TestReuse(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		reuse Reuse
		pause time.Duration
		sends int
		want  []int // mails per connection
		most  int   // that the receiver wants over one
	}{
		{"one after the other", Reuse{}, 0, 5, []int{5}, 0},
		{"number", Reuse{Messages: 2}, 0, 5, []int{2, 2, 1}, 0},
		{"idle", Reuse{Idle: 5 * time.Second}, 6 * time.Second, 3, []int{1, 1, 1}, 0},
		{"not idle for long enough", Reuse{Idle: 5 * time.Second}, 4 * time.Second, 3, []int{3}, 0},
		{"age", Reuse{Idle: time.Hour, Age: 10 * time.Minute}, 6 * time.Minute, 4, []int{3, 1}, 0},
		{"none kept", Reuse{Messages: 1}, 0, 2, []int{1, 1}, 0},
		{"fewer for this receiver", Reuse{}, 0, 5, []int{2, 2, 1}, 2},
		{"no more than usual", Reuse{Messages: 2}, 0, 3, []int{2, 1}, 50},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var mails []int
				h := friendly(t, len(tc.want), &mails)
				o := testOptions(oneHost())
				o.Dial, o.Reuse = h.dial, tc.reuse
				o.Registerer = prometheus.NewRegistry()
				c := newCourier(t, o)
				for range tc.sends {
					mail := letter("anna@customer.example")
					mail.Messages = tc.most
					if r := c.Carry(t.Context(), mail)[0]; r.Class != Success {
						t.Fatal(short(r), r.Err)
					}
					time.Sleep(tc.pause)
				}
				if err := c.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				h.wg.Wait()
				for i, want := range tc.want {
					if mails[i] != want {
						t.Errorf("mails per connection %v, want %v", mails, tc.want)
						break
					}
				}
				if n := testutil.ToFloat64(c.met.open.WithLabelValues(OtherProvider)); n != 0 {
					t.Errorf("%v connections are counted as open", n)
				}
			})
		})
	}
}

// An idle connection that the peer has closed, or said 421 on, is replaced
// without anybody noticing.
func TestDeadIdleConnection(t *testing.T) {
	t.Parallel()
	for _, parting := range []string{"", "421 4.4.2 timeout"} {
		t.Run("parting="+parting, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := &host{t: t}
				h.scripts = []func(*peer){
					func(p *peer) {
						p.say("220 mx1")
						for range 3 {
							p.hear()
							p.say("250 Ok")
						}
						p.hear()
						p.say("354 go")
						for p.hear() != "." {
						}
						p.say("250 Ok")
						if parting != "" {
							p.hear()
							p.say(parting)
						}
					},
					func(p *peer) {
						serveUntil(p, "QUIT")
						p.say("221 bye")
					},
				}
				o := testOptions(oneHost())
				o.Dial = h.dial
				c := newCourier(t, o)
				for range 2 {
					if r := c.Carry(t.Context(), letter("anna@customer.example"))[0]; r.Class != Success {
						t.Fatal(short(r), r.Err)
					}
				}
				if err := c.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				h.wg.Wait()
				if len(h.dialled) != 2 {
					t.Errorf("%d connections", len(h.dialled))
				}
			})
		})
	}
}

// When the queue stops, whatever a Carry is doing ends at once; a sent dot
// makes the result ambiguous.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		until  string // the peer is silent from this command on
		unsure bool
	}{
		{"at the greeting", "", false}, {"at MAIL", "MAIL", false}, {"at the content", "DATA", false}, {"at the dot", ".", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := &host{t: t}
				h.scripts = []func(*peer){func(p *peer) {
					if tc.until != "" {
						p.say("220 mx1")
					}
					for {
						line := p.hear()
						switch verb, _, _ := strings.Cut(line, " "); {
						case line == gone:
							return
						case verb == tc.until:
							p.misbehave("hang")
							return
						case verb == "DATA":
							p.say("354 go")
						case verb == "EHLO", verb == "MAIL", verb == "RCPT":
							p.say("250 Ok")
						}
					}
				}}
				o := testOptions(oneHost())
				o.Dial = h.dial
				c := newCourier(t, o)
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				start := time.Now()
				r := c.Carry(ctx, letter("anna@customer.example"))[0]
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("took %s", took)
				}
				if r.Class != Temporary || r.Ambiguous != tc.unsure || !strings.Contains(r.Text, "our own shutdown") {
					t.Errorf("%s: %q", short(r), r.Text)
				}
				c.Close(t.Context())
				h.wg.Wait()
			})
		})
	}
}

// If the content cannot be read, or the queue does not want the dot sent, the
// dot is not sent.
func TestNoDotWithoutTheQueue(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		with func(*Transaction)
	}{
		{"open", func(l *Transaction) {
			l.Open = func(context.Context) (io.Reader, error) { return nil, errors.New("no such blob") }
		}},
		{"read", func(l *Transaction) {
			l.Open = func(context.Context) (io.Reader, error) {
				return io.MultiReader(strings.NewReader("Subject: half a\r\n"), failing{}), nil
			}
		}},
		{"dot", func(l *Transaction) { l.OnDot = func(context.Context) error { return errors.New("the claim is lost") } }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var mails []int
				h := friendly(t, 1, &mails)
				o := testOptions(oneHost())
				o.Dial = h.dial
				c := newCourier(t, o)
				l := letter("anna@customer.example")
				tc.with(&l)
				r := c.Carry(t.Context(), l)[0]
				if r.Class != Temporary || r.Ambiguous || r.Phase != PhaseBody || r.Err == nil {
					t.Errorf("%s: %v", short(r), r.Err)
				}
				c.Close(t.Context())
				h.wg.Wait()
				if mails[0] != 0 {
					t.Error("the dot was sent")
				}
			})
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("bad disk") }

// A peer that refuses the sender is left politely and not used again.
func TestRefusedSenderEndsTheSession(t *testing.T) {
	t.Parallel()
	for _, ext := range []string{"250 mx1", "250-mx1\r\n250 PIPELINING"} {
		synctest.Test(t, func(t *testing.T) {
			h := &host{t: t}
			script := func(p *peer) {
				p.say("220 mx1")
				for {
					switch verb, _, _ := strings.Cut(p.hear(), " "); verb {
					case gone:
						t.Error("no QUIT")
						return
					case "EHLO":
						p.say(ext)
					case "QUIT":
						p.say("221 bye")
						return
					default:
						p.say("550 5.7.1 not you")
					}
				}
			}
			h.scripts = []func(*peer){script, script}
			o := testOptions(oneHost())
			o.Dial = h.dial
			c := newCourier(t, o)
			for range 2 {
				if r := c.Carry(t.Context(), letter("anna@customer.example"))[0]; r.Class != Permanent || r.Phase != PhaseMail {
					t.Error(short(r), r.Err)
				}
			}
			c.Close(t.Context())
			h.wg.Wait()
			if len(h.dialled) != 2 {
				t.Errorf("%d connections for two refusals", len(h.dialled))
			}
		})
	}
}

// Leave is asked for each new connection and for nothing else. Without it mail
// goes over a connection that is there, and is otherwise untried.
func TestLeaveToConnect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mails []int
		h := friendly(t, 2, &mails)
		o := testOptions(oneHost())
		o.Dial = h.dial
		c := newCourier(t, o)
		asked, wait := 0, time.Duration(0)
		carry := func() Result {
			mail := letter("anna@customer.example")
			mail.Connect = func() time.Duration { asked++; return wait }
			return c.Carry(t.Context(), mail)[0]
		}
		if r := carry(); r.Class != Success || asked != 1 {
			t.Fatal(short(r), asked)
		}
		wait = time.Minute
		if r := carry(); r.Class != Success || asked != 1 {
			t.Fatal("over the connection that is there:", short(r), asked)
		}
		time.Sleep(time.Minute) // it has gone
		if r := carry(); !r.Untried || r.After != time.Minute || r.Class != Temporary || r.Recipient == "" || asked != 2 {
			t.Errorf("%+v after asking %d times", r, asked)
		}
		wait = 0
		if r := carry(); r.Class != Success || r.Untried || asked != 3 {
			t.Error(short(r), asked)
		}
		c.Close(t.Context())
		h.wg.Wait()
		if len(h.dialled) != 2 || mails[0] != 2 || mails[1] != 1 {
			t.Errorf("%v, %v", h.dialled, mails)
		}
	})
}

// When leave ends between two addresses, what the first one said stands.
func TestLeaveEndsHalfWay(t *testing.T) {
	t.Parallel()
	dns := oneHost()
	dns.ip["mx1.customer.example"] = []string{"192.0.2.1", "192.0.2.2"}
	o := testOptions(dns)
	dials := 0
	o.Dial = func(context.Context, string, string) (net.Conn, error) { dials++; return nil, errors.New("refused") }
	mail := letter("anna@customer.example")
	mail.Connect = func() time.Duration { return time.Duration(dials) * time.Second }
	if r := newCourier(t, o).Carry(t.Context(), mail)[0]; r.Untried || r.Phase != PhaseDial || r.After != 0 || dials != 1 {
		t.Errorf("%+v after %d dials", r, dials)
	}
}
