package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/gateway/intake"
	"ticketgate/gateway/login"
	"ticketgate/gateway/replay"
	"ticketgate/ticketing"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

// What the daemon puts in place of the fakes fits.
var (
	_ Desk   = (*ticketing.Desk)(nil)
	_ Tokens = (*login.Tokens)(nil)
)

// fakeDesk holds a few nouns and remembers commands.
type fakeDesk struct {
	tickets     map[uint64]*ticketing.Ticket
	messages    []*ticketing.Message
	content     *ticketing.Content
	deliveries  []ticketing.Delivery
	receipt     *ticketing.Receipt
	attachment  *ticketing.Attachment
	file        io.Reader
	blobs       *blob.Store
	filter      ticketing.Filter
	next        string
	change      ticketing.Change
	actor       ticketing.Actor
	created     ticketing.NewTicket
	posted      ticketing.NewMessage
	attachments []string // contents of what was posted
	cc          message.Address
	held        []*ticketing.Held
	heldFilter  ticketing.HeldFilter
	decided     []string
	err         error // of every command
}

var unknown = &ticketing.Error{Kind: ticketing.Unknown, Text: "there is none"}

func (d *fakeDesk) Queue(name string) (*ticketing.Queue, bool) {
	if name == "support" || name == "sales" {
		return &ticketing.Queue{Name: name}, true
	}
	return nil, false
}

func (d *fakeDesk) Agent(name string) (*ticketing.Agent, bool) {
	if name != "otto" {
		return nil, false
	}
	return &ticketing.Agent{Name: "otto", DisplayName: "Otto", Addresses: []string{"otto@help.example"}}, true
}

func (d *fakeDesk) Route(_ context.Context, recipient string) (ticketing.Route, error) {
	queue, ok := strings.CutSuffix(recipient, "@help.example")
	if _, known := d.Queue(queue); !ok || !known {
		return ticketing.Route{}, unknown
	}
	return ticketing.Route{Queue: queue, Kind: "queue"}, nil
}

func (d *fakeDesk) Ticket(_ context.Context, number uint64) (*ticketing.Ticket, error) {
	if t := d.tickets[number]; t != nil {
		return t, nil
	}
	return nil, unknown
}

func (d *fakeDesk) Tickets(_ context.Context, f ticketing.Filter) (list []*ticketing.Ticket, next string, err error) {
	d.filter = f
	for _, n := range []uint64{1001, 1002} {
		if t := d.tickets[n]; t != nil && (f.Queue == "" || f.Queue == t.Queue) {
			list = append(list, t)
		}
	}
	return list, d.next, d.err
}

func (d *fakeDesk) Create(_ context.Context, by ticketing.Actor, n ticketing.NewTicket) (*ticketing.Ticket, *ticketing.Message, error) {
	d.actor, d.created = by, n
	return d.tickets[1001], nil, d.err
}

func (d *fakeDesk) Change(_ context.Context, by ticketing.Actor, number uint64, c ticketing.Change) (*ticketing.Ticket, error) {
	d.actor, d.change = by, c
	return d.tickets[number], d.err
}

func (d *fakeDesk) AddCC(_ context.Context, by ticketing.Actor, number uint64, a message.Address) (*ticketing.Ticket, error) {
	d.actor, d.cc = by, a
	return d.tickets[number], d.err
}

func (d *fakeDesk) RemoveCC(_ context.Context, by ticketing.Actor, number uint64, addr string) (*ticketing.Ticket, error) {
	d.actor, d.cc = by, message.Address{Addr: addr}
	return d.tickets[number], d.err
}

func (d *fakeDesk) Follow(_ context.Context, by ticketing.Actor, number uint64, _ string) (*ticketing.Ticket, error) {
	d.actor = by
	return d.tickets[number], d.err
}

func (d *fakeDesk) Unfollow(_ context.Context, by ticketing.Actor, number uint64, _ string) (*ticketing.Ticket, error) {
	d.actor = by
	return d.tickets[number], d.err
}

func (d *fakeDesk) Post(_ context.Context, by ticketing.Actor, _ uint64, n ticketing.NewMessage) (*ticketing.Message, error) {
	d.actor, d.posted = by, n
	for _, at := range n.Attachments {
		b, err := io.ReadAll(at.Content)
		if err != nil {
			return nil, err
		}
		d.attachments = append(d.attachments, string(b))
	}
	if d.err != nil {
		return nil, d.err
	}
	return d.messages[0], nil
}

func (d *fakeDesk) Messages(_ context.Context, _ uint64, after, limit int) ([]*ticketing.Message, error) {
	var out []*ticketing.Message
	for _, m := range d.messages {
		if m.Seq > after && len(out) < limit {
			out = append(out, m)
		}
	}
	return out, d.err
}

func (d *fakeDesk) Message(_ context.Context, id string) (*ticketing.Message, error) {
	for _, m := range d.messages {
		if m.ID == id {
			return m, nil
		}
	}
	return nil, unknown
}

func (d *fakeDesk) Content(context.Context, *ticketing.Message) (*ticketing.Content, error) {
	return d.content, nil
}

func (d *fakeDesk) Deliveries(context.Context, string) ([]ticketing.Delivery, error) {
	return d.deliveries, nil
}

func (d *fakeDesk) Raw(ctx context.Context, m *ticketing.Message) (*blob.Reader, error) {
	return d.blobs.Open(ctx, m.Raw.SHA256)
}

func (d *fakeDesk) OpenAttachment(context.Context, string) (*ticketing.Attachment, io.Reader, error) {
	if d.attachment == nil {
		return nil, nil, unknown
	}
	return d.attachment, d.file, nil
}

func (d *fakeDesk) traced() *ticketing.Trace {
	return &ticketing.Trace{Receipt: d.receipt, Header: "Return-Path: <>\r\n", Evidence: []byte(`{"trust":"T1"}`)}
}

// Traces knows one receipt.
func (d *fakeDesk) Traces(_ context.Context, id string) ([]*ticketing.Trace, error) {
	if d.receipt == nil || d.receipt.ID != id {
		return nil, unknown
	}
	return []*ticketing.Trace{d.traced()}, nil
}

func (d *fakeDesk) Receipt(_ context.Context, id string) (*ticketing.Receipt, error) {
	if d.receipt == nil || d.receipt.ID != id {
		return nil, unknown
	}
	return d.receipt, nil
}

func (d *fakeDesk) Reconcile(context.Context) (*ticketing.Reconciliation, error) {
	return &ticketing.Reconciliation{Receipts: 3, Outcomes: 4, Tickets: 2, Messages: 4, CheckedAt: noon}, d.err
}

// fakeOutbound holds one parcel.
type fakeOutbound struct {
	parcel *Parcel
	filter ParcelFilter
	verbs  []string
	err    error
}

func (o *fakeOutbound) List(_ context.Context, f ParcelFilter) ([]*Parcel, string, error) {
	o.filter = f
	return []*Parcel{o.parcel}, "", o.err
}

func (o *fakeOutbound) Get(_ context.Context, id string) (*Parcel, error) {
	if o.parcel.ID != id {
		return nil, unknown
	}
	return o.parcel, nil
}

func (o *fakeOutbound) Hold(_ context.Context, id, by, reason string) error {
	o.verbs = append(o.verbs, "hold "+by+" "+reason)
	return o.err
}

func (o *fakeOutbound) Release(context.Context, string) error {
	o.verbs = append(o.verbs, "release")
	return o.err
}

func (o *fakeOutbound) Retry(context.Context, string) error {
	o.verbs = append(o.verbs, "retry")
	return o.err
}

func (o *fakeOutbound) Drop(_ context.Context, _, by, reason string) error {
	o.verbs = append(o.verbs, "drop "+by+" "+reason)
	return o.err
}

// fakeIntake remembers a mail.
type fakeIntake struct {
	mail Mail
	body string
	err  error
	desk *fakeDesk
}

func (i *fakeIntake) Receive(_ context.Context, m Mail) (*ticketing.Receipt, error) {
	b, err := io.ReadAll(m.Body)
	if err != nil {
		return nil, err
	}
	i.mail, i.body = m, string(b)
	return i.desk.receipt, i.err
}

// Explain refuses what Receive refuses.
func (i *fakeIntake) Explain(_ context.Context, m Mail) (*intake.Explanation, error) {
	b, err := io.ReadAll(m.Body)
	if err != nil {
		return nil, err
	}
	i.mail, i.body = m, string(b)
	x := &intake.Explanation{Findings: []intake.Finding{{Stage: "sender", Check: "spf", Result: "pass", Detail: "(mx)"}}, Err: i.err}
	if i.err == nil {
		x.Trace = i.desk.traced()
	}
	return x, nil
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// stage is an API on fakes, with real tokens.
type stage struct {
	t        *testing.T
	api      *API
	desk     *fakeDesk
	outbound *fakeOutbound
	control  *fakeControl
	told     *fakeNotifications
	intake   *fakeIntake
	tokens   *login.Tokens
	registry *prometheus.Registry
	admin    string
	log      *bytes.Buffer
}

func newStage(t *testing.T) *stage {
	t.Helper()
	db := storetest.OpenAt(t, func() time.Time { return noon })
	s := &stage{t: t, registry: prometheus.NewRegistry(), log: &bytes.Buffer{}}
	s.desk = &fakeDesk{
		tickets: map[uint64]*ticketing.Ticket{
			1001: {Number: 1001, Queue: "support", Subject: "Printer on fire", Status: "new", Priority: "normal", CreatedAt: noon, UpdatedAt: noon, Version: 7},
			1002: {Number: 1002, Queue: "sales", Subject: "Offer", Status: "open", Priority: "low", CreatedAt: noon, UpdatedAt: noon, Version: 1},
		},
		content: &ticketing.Content{Text: "hello", VisibleText: "hello"},
		blobs:   blob.New(db, rand.Reader),
		receipt: &ticketing.Receipt{ID: "rcpt_1", ReceivedAt: noon, Source: "api", Raw: blob.Ref{SHA256: "ab", Size: 5},
			Outcomes: []ticketing.Outcome{{Recipient: "support@help.example", Outcome: "new_ticket", Ticket: 1001, Message: "msg_1"}}},
	}
	s.desk.messages = []*ticketing.Message{
		{ID: "msg_1", Ticket: 1001, Seq: 1, Direction: "in", Kind: "customer", Visibility: "public", ReceivedAt: noon, Raw: s.put(db, "Subject: x\r\n\r\nhello\r\n")},
		{ID: "msg_2", Ticket: 1001, Seq: 2, Direction: "none", Kind: "event", Visibility: "internal", ReceivedAt: noon},
	}
	s.outbound = &fakeOutbound{parcel: &Parcel{ID: "out_1", Class: "reply", State: "deferred", From: "support+x@help.example", Recipient: "bo@customer.example", Queue: "support", Size: 18000, CreatedAt: noon.Add(-42 * time.Minute)}}
	s.intake = &fakeIntake{desk: s.desk}
	s.control = &fakeControl{}
	s.told = &fakeNotifications{desk: s.desk}
	s.tokens = login.New(login.Options{DB: db, Random: rand.Reader})
	var err error
	s.api, err = New(Options{
		Desk: s.desk, Outbound: s.outbound, Intake: s.intake, Tokens: s.tokens,
		Control: s.control, Suppressions: s.control, Keys: s.control, House: s.control, OptOuts: s.desk, Notifications: s.told,
		AppPasswords: login.NewAppPasswords(login.Options{DB: db, Random: rand.Reader}),
		Replays:      replay.New(db),
		Hostname:     "mail.help.example",
		PublicURL:    "https://desk.help.example", MaxMessage: 1 << 20, Version: "test",
		Now: func() time.Time { return noon }, Random: rand.Reader,
		Log: slog.New(slog.NewTextHandler(s.log, nil)), Registerer: s.registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.admin = s.token(login.Admin)
	return s
}

func (s *stage) put(db store.DB, content string) (ref blob.Ref) {
	s.t.Helper()
	err := db.Update(context.Background(), func(tx store.Tx) (err error) {
		ref, err = s.desk.blobs.Put(tx, []byte(content))
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return ref
}

func (s *stage) token(scopes ...login.Scope) string { return s.limited(nil, scopes...) }

func (s *stage) limited(queues []string, scopes ...login.Scope) string {
	s.t.Helper()
	_, secret, err := s.tokens.Create(context.Background(), login.NewToken{Name: "test", Scopes: scopes, Queues: queues})
	if err != nil {
		s.t.Fatal(err)
	}
	return secret
}

// as sends a request with a token ("" = none). header is name, value, …
func (s *stage) as(token, method, path, body string, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.send(s.api.Handler(), token, method, path, body, header...)
}

// do sends a request as the administrator.
func (s *stage) do(method, path, body string, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.as(s.admin, method, path, body, header...)
}

// local sends a request over the control socket.
func (s *stage) local(method, path, body string, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.send(s.api.LocalHandler(), "", method, path, body, header...)
}

func (s *stage) send(h http.Handler, token, method, path, body string, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req := httptest.NewRequest(method, Base+path, r)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

// wantJSON compares an answer with JSON in which the order of members and
// white space do not matter, but every member, null and empty list does.
func wantJSON(t *testing.T, w *httptest.ResponseRecorder, status int, want string) {
	t.Helper()
	var g, e any
	if err := json.Unmarshal(w.Body.Bytes(), &g); err != nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if err := json.Unmarshal([]byte(want), &e); err != nil {
		t.Fatalf("the test's JSON: %v", err)
	}
	if diff := cmp.Diff(e, g); diff != "" || w.Code != status {
		t.Errorf("status %d, want %d\n%s", w.Code, status, diff)
	}
}

// wantProblem checks the envelope of an error and returns it.
func wantProblem(t *testing.T, w *httptest.ResponseRecorder, status int, code string) Problem {
	t.Helper()
	var p Problem
	dec := json.NewDecoder(w.Body)
	if err := dec.Decode(&p); err != nil {
		t.Fatalf("%d: not a problem: %v", w.Code, err)
	}
	if w.Code != status || p.Status != status || p.Code != code || p.Title == "" || p.Detail == "" || p.Errors == nil {
		t.Errorf("status %d, %+v; want %d %s", w.Code, p, status, code)
	}
	if ct := w.Header().Get("Content-Type"); ct != problemType {
		t.Errorf("Content-Type %q", ct)
	}
	if p.RequestID == "" || p.RequestID != w.Header().Get("X-Request-Id") {
		t.Errorf("request id %q, header %q", p.RequestID, w.Header().Get("X-Request-Id"))
	}
	return p
}

var errDisk = errors.New("disk /dev/sda1 is on fire")
