package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"ticketgate/test/leaks"
	"ticketgate/ticketing"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/pebble"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// desk stores what it is given, as the real one does: it links the blob.
type desk struct {
	db   store.DB
	err  error
	last ticketing.Arrival
	n    int

	refused int // what Refused was told
}

func (d *desk) Route(context.Context, string) (ticketing.Route, error) {
	return ticketing.Route{}, d.err
}

// Admit refuses what a domain asks to refuse, but for those it trusts.
func (d *desk) Admit(a ticketing.Arrival) error {
	if a.Verdict.DMARC.Disposition == "reject" && d.Hops(a) == nil {
		return &ticketing.Error{Kind: ticketing.Refused, Text: "the domain disowns it"}
	}
	return nil
}

// Refused counts what it is told of.
func (d *desk) Refused(context.Context, error) error {
	d.refused++
	return d.err
}

// Explain would give the receipt that Receive gives.
func (d *desk) Explain(context.Context, ticketing.Arrival) (*ticketing.Trace, error) {
	if d.err != nil {
		return nil, d.err
	}
	return &ticketing.Trace{Receipt: &ticketing.Receipt{ID: "rcpt_x", Outcomes: []ticketing.Outcome{{Outcome: "new_ticket", Recipient: "support@help.example", Ticket: 7}}}}, nil
}

// Hops trusts 198.51.100.0/24.
func (d *desk) Hops(a ticketing.Arrival) func(netip.Addr) bool {
	own := netip.MustParsePrefix("198.51.100.0/24").Contains
	if !own(a.RemoteIP) {
		return nil
	}
	return own
}

func (d *desk) Receive(ctx context.Context, a ticketing.Arrival) (*ticketing.Receipt, error) {
	if d.err != nil {
		return nil, d.err
	}
	d.last = a
	d.n++
	err := d.db.Update(ctx, func(tx store.Tx) error { return a.Raw.Link(tx) })
	return &ticketing.Receipt{ID: "rcpt_x", Raw: a.Raw.Ref(), Outcomes: []ticketing.Outcome{{Outcome: "new_ticket"}, {Outcome: "reply"}}}, err
}

type house struct {
	*Intake
	desk  *desk
	blobs *blob.Store
	db    store.DB
	reg   *prometheus.Registry
}

func open(t testing.TB, change func(*Options)) *house {
	db, err := pebble.OpenMem(pebble.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h := &house{desk: &desk{db: db}, blobs: blob.New(db, mrand.NewChaCha8([32]byte{})), db: db, reg: prometheus.NewRegistry()}
	o := Options{Desk: h.desk, Blobs: h.blobs, Hostname: "mail.help.example", Registerer: h.reg,
		Now: func() time.Time { return time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC) }}
	if change != nil {
		change(&o)
	}
	if h.Intake, err = New(o); err != nil {
		t.Fatal(err)
	}
	return h
}

// chunks counts what lies in the store, linked or not.
func (h *house) chunks(t testing.TB) (n int) {
	err := h.db.View(t.Context(), func(r store.Reader) error {
		for _, err := range r.ChunkIDs(nil) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var envelope = Envelope{Source: "smtp", From: "anna@customer.example", Recipients: []string{"support@help.example"},
	RemoteIP: netip.MustParseAddr("192.0.2.7"), HELO: "mx.customer.example", ESMTP: true, Trace: "t1"}

// TestBytesStayAsTheyAre: whatever comes in is what can be opened by the
// receipt's hash.
func TestBytesStayAsTheyAre(t *testing.T) {
	h := open(t, func(o *Options) { o.MaxHeader, o.MaxLines, o.MaxReceived = 10<<20, 1000, 1000 })
	rapid.Check(t, func(rt *rapid.T) {
		word := rapid.SampledFrom([]string{"\r", "\n", "\r\n", "\x00", ".", "From: a@b", "Received: x", "x", "\xff", strings.Repeat("long", 20_000)})
		raw := strings.Join(rapid.SliceOfN(word, 0, 15).Draw(rt, "raw"), "")
		env := envelope
		env.From = "" // content is not judged for bounces
		receipt, err := h.Receive(t.Context(), env, iotest.HalfReader(strings.NewReader(raw)))
		if err != nil {
			rt.Fatalf("%.200q: %v", raw, err)
		}
		got, err := h.blobs.ReadAll(t.Context(), receipt.Raw.SHA256, 10<<20)
		if err != nil || string(got) != raw {
			rt.Fatalf("%d octets came back, not %d: %v", len(got), len(raw), err)
		}
	})
}

// TestRefusals: each reason, its Kind and its sentinel, and that nothing stays.
func TestRefusals(t *testing.T) {
	body := "\r\n" + strings.Repeat("0123456789abcde\r\n", 10_000)
	for _, c := range []struct {
		name, raw string
		null      bool
		kind      ticketing.Kind
		is        error
		ok        bool
	}{
		{"fine", "From: a@b.example\r\n" + body, false, 0, nil, true},
		{"no From", "Subject: x\r\n" + body, false, 0, nil, true},
		{"From without an address", "From: Whomever\r\n" + body, false, 0, nil, true},
		{"empty From", "From: \r\n" + body, false, ticketing.Invalid, ErrSender, false},
		{"empty group", "From: undisclosed:;\r\n" + body, false, ticketing.Invalid, ErrSender, false},
		{"a report of nobody", "From: undisclosed:;\r\n" + body, true, 0, nil, true},
		{"two From", "From: a@b.example\r\nFrom: c@d.example\r\n" + body, false, ticketing.Invalid, ErrSender, false},
		{"two From of a bounce", "From: a@b.example\r\nFrom: c@d.example\r\n" + body, true, 0, nil, true},
		{"two From in other case", "from: a@b.example\r\nX: y\r\nFROM : c@d.example\r\n" + body, false, ticketing.Invalid, ErrSender, false},
		{"two From, bare LF", "From: a@b.example\nFrom: c@d.example\n" + body, false, ticketing.Invalid, ErrSender, false},
		{"two From, bare CR", "From: a@b.example\rFrom: c@d.example\r\n" + body, false, ticketing.Invalid, ErrSender, false},
		{"two From after empty lines", "\r\n\r\nFrom: a@b.example\r\nFrom: c@d.example\r\n" + body, false, ticketing.Invalid, ErrSender, false},
		{"second From after CR CR", "From: a@b.example\r\n\r\rFrom: c@d.example\r\n" + body, false, ticketing.Invalid, ErrSender, false},
		{"second From in the body", "From: a@b.example\r\n\r\nFrom: c@d.example\r\n" + body, false, 0, nil, true},
		{"two domains in one From", "From: a@b.example,\r\n c@d.example\r\n" + body, false, ticketing.Invalid, ErrSender, false},
		{"two mailboxes of one domain", "From: a@b.example, c@B.example\r\n" + body, false, 0, nil, true},
		{"50 hops", strings.Repeat("Received: x\r\n", 50) + body, false, 0, nil, true},
		{"51 hops", strings.Repeat("Received: x\r\n", 51) + body, false, ticketing.Refused, ErrLoop, false},
		{"51 hops of a bounce", strings.Repeat("received: x\r\n", 51) + body, true, ticketing.Refused, ErrLoop, false},
		{"51 hops in the body", "Subject: x\r\n\r\n" + strings.Repeat("Received: x\r\n", 51) + body, false, 0, nil, true},
		{"2000 lines", strings.Repeat("X: y\r\n", 2000) + body, false, 0, nil, true},
		{"2001 lines", strings.Repeat("X: y\r\n", 2001) + body, false, ticketing.TooBig, ErrHeader, false},
		{"100k recipients in the header", "To: a@b.example" + strings.Repeat(",\r\n a@b.example", 100_000) + body, false, ticketing.TooBig, ErrHeader, false},
		{"one line of 1 MB", "Subject: " + strings.Repeat("x", 1<<20) + "\r\n" + body, false, ticketing.TooBig, ErrHeader, false},
		{"header of exactly 256 KiB", "X: " + strings.Repeat("x", 256<<10-7) + "\r\n" + body, false, 0, nil, true},
		{"header of one more", "X: " + strings.Repeat("x", 256<<10-6) + "\r\n" + body, false, ticketing.TooBig, ErrHeader, false},
		{"too large", body + strings.Repeat("x", 1<<20), true, ticketing.TooBig, nil, false},
		{"exactly large enough", body + strings.Repeat("x", 1<<20-len(body)), true, 0, nil, true},
		{"one more", body + strings.Repeat("x", 1<<20-len(body)+1), true, ticketing.TooBig, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, read := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, func(r io.Reader) io.Reader { return pieces{r} }, iotest.DataErrReader} {
				h := open(t, func(o *Options) { o.MaxSize = 1 << 20 })
				env := envelope
				if c.null {
					env.From = ""
				}
				receipt, err := h.Receive(t.Context(), env, read(strings.NewReader(c.raw)))
				if c.ok {
					if err != nil || receipt.Raw.Size != int64(len(c.raw)) {
						t.Fatalf("refused: %v", err)
					}
					continue
				}
				if err == nil || ticketing.KindOf(err) != c.kind || c.is != nil && !errors.Is(err, c.is) {
					t.Errorf("%v (kind %d)", err, ticketing.KindOf(err))
				}
				if n := h.chunks(t); n != 0 || h.desk.n != 0 {
					t.Errorf("%d pieces stayed in the store, the desk was called %d times", n, h.desk.n)
				}
			}
		})
	}
}

// pieces reads a few octets at a time.
type pieces struct{ r io.Reader }

func (p pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(7, len(b))]) }

// TestTroubleLeavesNothing: the desk fails, the reader fails, there is no room.
func TestTroubleLeavesNothing(t *testing.T) {
	raw := "Subject: x\r\n\r\n" + strings.Repeat("x", 300_000)
	busy := fmt.Errorf("desk: %w", &ticketing.Error{Kind: ticketing.Busy, Text: "busy"})

	h := open(t, nil)
	h.desk.err = busy
	if _, err := h.Receive(t.Context(), envelope, strings.NewReader(raw)); ticketing.KindOf(err) != ticketing.Busy {
		t.Errorf("the desk's error became %v", err)
	}
	if n := h.chunks(t); n != 0 {
		t.Errorf("%d pieces stayed after the desk failed", n)
	}
	h.desk.err = nil

	gone := errors.New("peer gone")
	_, err := h.Receive(t.Context(), envelope, io.MultiReader(strings.NewReader(raw), iotest.ErrReader(gone)))
	if !errors.Is(err, gone) || ticketing.KindOf(err) != ticketing.Internal {
		t.Errorf("the reader's error became %v", err)
	}
	if n := h.chunks(t); n != 0 || h.desk.n != 0 {
		t.Errorf("%d pieces stayed after the peer went", n)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Receive(ctx, envelope, strings.NewReader(raw)); err == nil {
		t.Error("stored after its context ended")
	}

	if _, err := h.Receive(t.Context(), Envelope{Source: "api"}, strings.NewReader(raw)); ticketing.KindOf(err) != ticketing.Invalid {
		t.Errorf("without recipients: %v", err)
	}

	full := open(t, func(o *Options) { o.Space = func() error { return store.ErrNoSpace } })
	if err := full.Space(); ticketing.KindOf(err) != ticketing.NoSpace || !errors.Is(err, store.ErrNoSpace) {
		t.Error(err)
	}
	r := &counter{}
	if _, err := full.Receive(t.Context(), envelope, r); ticketing.KindOf(err) != ticketing.NoSpace || r.n != 0 {
		t.Errorf("%v after %d octets", err, r.n)
	}
}

// counter is an endless mail.
type counter struct{ n int64 }

func (c *counter) Read(p []byte) (int, error) {
	c.n += int64(len(p))
	for i := range p {
		p[i] = "0123456789abcde\n"[i%16]
	}
	return len(p), nil
}

// TestMemoryStaysConstant: a mail of 32 MB costs no more memory than a small
// one.
func TestMemoryStaysConstant(t *testing.T) {
	h := open(t, func(o *Options) { o.MaxSize = 1 << 30 })
	var before, peak runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r := &watch{left: 32 << 20, at: func() {
		runtime.GC()
		runtime.ReadMemStats(&peak)
	}}
	env := envelope
	env.From = ""
	if _, err := h.Receive(t.Context(), env, io.MultiReader(strings.NewReader("Subject: x\n\n"), r)); err != nil {
		t.Fatal(err)
	}
	// The store of the test keeps the chunks in memory; what is measured is the
	// difference to the mail's size.
	if extra := int64(peak.HeapAlloc) - int64(before.HeapAlloc) - 32<<20; extra > 32<<20 {
		t.Errorf("%d MB on top of the mail", extra>>20)
	}
}

type watch struct {
	left int
	at   func()
}

func (w *watch) Read(p []byte) (int, error) {
	if w.left == 0 {
		w.at()
		return 0, io.EOF
	}
	n := min(w.left, len(p))
	w.left -= n
	return n, nil
}

// TestArrival: what the desk is told.
func TestArrival(t *testing.T) {
	h := open(t, nil)
	env := envelope
	env.TLS = &TLS{"TLS1.3", "TLS_AES_128_GCM_SHA256"}
	if _, err := h.Receive(t.Context(), env, strings.NewReader("From: a@b.example\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	a := h.desk.last
	if a.Source != "smtp" || a.EnvelopeFrom != env.From || len(a.Recipients) != 1 || a.RemoteIP != env.RemoteIP || a.HELO != env.HELO || !a.TLS ||
		a.Verdict.Trust != "T0" || a.Verdict.Forwarder {
		t.Errorf("%+v", a)
	}
}

func TestTrace(t *testing.T) {
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.FixedZone("", 3600))
	const when = ";\r\n\tSat, 21 Nov 2026 09:00:00 +0000\r\n"
	secure := &TLS{"TLS1.3", "TLS_AES_128_GCM_SHA256"}
	for _, c := range []struct {
		name string
		env  Envelope
		want string
	}{
		{"plain", envelope, "Return-Path: <anna@customer.example>\r\nReceived: from mx.customer.example ([192.0.2.7])\r\n\tby mail.help.example with ESMTP\r\n\tid t1\r\n\tfor <support@help.example>" + when},
		{"null sender, TLS, IPv6, two recipients", Envelope{Source: "smtp", Recipients: []string{"a@b", "c@d"}, RemoteIP: netip.MustParseAddr("2001:db8::1"), HELO: "x", ESMTP: true, TLS: secure},
			"Return-Path: <>\r\nReceived: from x ([IPv6:2001:db8::1])\r\n\tby mail.help.example with ESMTPS\r\n\t(version=TLS1.3 cipher=TLS_AES_128_GCM_SHA256)" + when},
		{"authenticated", Envelope{Source: "submission", From: "a@b", Recipients: []string{"a@b", "c@d"}, HELO: "x", ESMTP: true, TLS: secure, User: "otto"},
			"Return-Path: <a@b>\r\nReceived: from x\r\n\tby mail.help.example with ESMTPSA\r\n\t(version=TLS1.3 cipher=TLS_AES_128_GCM_SHA256)" + when},
		{"by API", Envelope{Source: "api", Recipients: []string{"a@b", "c@d"}}, "Return-Path: <>\r\nReceived: from unknown\r\n\tby mail.help.example with HTTP" + when},
		{"old", Envelope{Source: "smtp", Recipients: []string{"a@b", "c@d"}, HELO: "x"}, "Return-Path: <>\r\nReceived: from x\r\n\tby mail.help.example with SMTP" + when},
		{"names that want to be lines", Envelope{Source: "lmtp", From: "a>\r\nX: y<@b", Recipients: []string{"a@b", "c@d"}, HELO: "x)\r\nBcc: z;", Trace: "\n"},
			"Return-Path: <aX: y@b>\r\nReceived: from xBcc:z\r\n\tby mail.help.example with LMTP\r\n\tid unknown" + when},
	} {
		if got := trace("mail.help.example", c.env, at); got != c.want {
			t.Errorf("%s:\n%s\nnot\n%s", c.name, got, c.want)
		}
	}
}

func TestMetrics(t *testing.T) {
	h := open(t, nil)
	if problems, err := testutil.GatherAndLint(h.reg); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	count := func(outcome string) float64 {
		return testutil.ToFloat64(h.metrics.messages.WithLabelValues("smtp", outcome))
	}
	h.Receive(t.Context(), envelope, strings.NewReader("x"))
	h.Receive(t.Context(), envelope, strings.NewReader(strings.Repeat("Received: x\n", 51)))
	h.Receive(t.Context(), envelope, strings.NewReader("From: a@b\nFrom: a@b\n"))
	h.Receive(t.Context(), envelope, iotest.ErrReader(errors.New("gone")))
	for outcome, want := range map[string]float64{"new_ticket": 1, "reply": 1, "loop": 1, "refused": 1, "failed": 1, "held": 0} {
		if got := count(outcome); got != want {
			t.Errorf("%s: %v, not %v", outcome, got, want)
		}
	}
	if n, _ := testutil.GatherAndCount(h.reg, "ticketgate_intake_messages_total"); n != len(sources)*len(outcomes) {
		t.Errorf("%d series", n)
	}
}

func TestOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("opened without a desk")
	}
	reg := prometheus.NewRegistry()
	h := open(t, nil)
	o := h.o
	o.Registerer = reg
	for i, want := range []bool{true, false} {
		if _, err := New(o); (err == nil) != want {
			t.Errorf("time %d: %v", i, err)
		}
	}
}

// FuzzHeader: however a header is cut into reads, the watch sees the same.
func FuzzHeader(f *testing.F) {
	f.Add([]byte("From: a@b\r\nReceived: x\r\n y\r\n\r\nFrom: c@d"), 3)
	f.Add([]byte("\r\n\r\rFrom\t: a\rFrom: b\n\n"), 1)
	f.Fuzz(func(t *testing.T, raw []byte, step int) {
		step = max(1, step%17)
		whole := header{maxBytes: 500, maxLines: 10}
		whole.scan(raw)
		pieces := header{maxBytes: 500, maxLines: 10}
		for p := raw; len(p) > 0; {
			n := min(step, len(p))
			pieces.scan(p[:n])
			p = p[n:]
		}
		if whole.over != pieces.over || whole.over {
			if whole.over != pieces.over {
				t.Fatalf("over: %v and %v", whole.over, pieces.over)
			}
			return
		}
		if whole.done != pieces.done || whole.received != pieces.received || whole.lines != pieces.lines || len(whole.froms) != len(pieces.froms) {
			t.Fatalf("%+v\n%+v", whole, pieces)
		}
		for i := range whole.froms {
			if !bytes.Equal(whole.froms[i], pieces.froms[i]) {
				t.Fatalf("%q and %q", whole.froms[i], pieces.froms[i])
			}
		}
		whole.checkFrom(step%2 == 0)
	})
}
