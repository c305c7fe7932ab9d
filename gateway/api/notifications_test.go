package api

import (
	"context"
	"strings"
	"testing"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
	"ticketgate/ticketing/blob"
)

// fakeNotifications has one decision about each of the desk's tickets, and one
// about a queue's held mail.
type fakeNotifications struct {
	desk   *fakeDesk
	filter NotificationFilter
	event  string
}

func (f *fakeNotifications) all() []*Told {
	return []*Told{
		{ID: "ntf_3_dig.1", Event: "held_digest", Template: "held-digest", Recipient: "ada@help.example", Agent: "ada", Role: "lead", State: "queued", Reason: "waiting for its turn", Queue: "sales", ParcelID: "out_3", MessageID: "<3@help.example>", At: noon},
		{ID: "ntf_2_ntc_1002_1.1", Event: "public_message", Template: "public-message", Recipient: "bo@customer.example", Role: "cc", State: "suppressed", Reason: "opted out", Ticket: 1002, Queue: "sales", Message: "msg_9", At: noon},
		{ID: "ntf_1_ntc_1001_1.1", Event: "ticket_created", Template: "acknowledgement", Recipient: "anna@customer.example", Role: "requester", State: "sent", Ticket: 1001, Queue: "support", Message: "msg_1", MessageID: "<1@help.example>", ParcelID: "out_1", At: noon},
	}
}

func (f *fakeNotifications) List(_ context.Context, filter NotificationFilter) ([]*Told, string, error) {
	f.filter = filter
	if filter.Cursor == "bad" {
		return nil, "", &ticketing.Error{Kind: ticketing.Invalid, Text: "this is no cursor of this list"}
	}
	return f.all(), "c2", nil
}

func (f *fakeNotifications) Get(_ context.Context, id string) (*Told, error) {
	for _, t := range f.all() {
		if t.ID == id {
			return t, nil
		}
	}
	return nil, &ticketing.Error{Kind: ticketing.Unknown, Text: "there is no such notification"}
}

func (f *fakeNotifications) Raw(ctx context.Context, id string) (*blob.Reader, error) {
	if t, err := f.Get(ctx, id); err != nil || t.ParcelID == "" {
		return nil, &ticketing.Error{Kind: ticketing.Unknown, Text: "no mail was written for this notification"}
	}
	return f.desk.Raw(ctx, f.desk.messages[0])
}

func (f *fakeNotifications) Why(_ context.Context, ticket uint64, to, event string) (*Verdict, error) {
	f.event = event
	if to == "eve@x.example" {
		return &Verdict{Ticket: ticket, To: to, State: "suppressed", Reason: "takes no part", Present: true, Checks: []VerdictCheck{{false, "eve takes no part"}}}, nil
	}
	list := f.all()
	return &Verdict{Ticket: ticket, To: to, Event: "ticket_created", Message: "msg_1", State: "sent", At: noon,
		Checks: []VerdictCheck{{true, "anna is requester"}}, Found: list[2], Earlier: list[1:2]}, nil
}

const (
	toldDigest = `{"id":"ntf_3_dig.1","event":"held_digest","rule":null,"template":"held-digest","recipient":"ada@help.example","agent":"ada","role":"lead","state":"queued",
		"reason":"waiting for its turn","at":"2026-03-01T12:00:00Z","message_id":"<3@help.example>","ticket":null,"message":null,"outbound":"out_3"}`
	toldBo = `{"id":"ntf_2_ntc_1002_1.1","event":"public_message","rule":null,"template":"public-message","recipient":"bo@customer.example","agent":null,"role":"cc","state":"suppressed",
		"reason":"opted out","at":"2026-03-01T12:00:00Z","message_id":null,"ticket":1002,"message":"msg_9","outbound":null}`
	toldAnna = `{"id":"ntf_1_ntc_1001_1.1","event":"ticket_created","rule":null,"template":"acknowledgement","recipient":"anna@customer.example","agent":null,"role":"requester","state":"sent",
		"reason":null,"at":"2026-03-01T12:00:00Z","message_id":"<1@help.example>","ticket":1001,"message":"msg_1","outbound":"out_1"}`
)

func TestNotifications(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	wantJSON(t, s.do("GET", "/notifications?ticket=1001&to=anna@customer.example&event=ticket_created&limit=7&cursor=c", ""), 200,
		`{"items":[`+toldDigest+`,`+toldBo+`,`+toldAnna+`],"next":"c2"}`)
	if want := (NotificationFilter{Ticket: 1001, To: "anna@customer.example", Event: "ticket_created", Limit: 7, Cursor: "c"}); s.told.filter != want {
		t.Errorf("asked for %+v, want %+v", s.told.filter, want)
	}
	wantProblem(t, s.do("GET", "/notifications?cursor=bad", ""), 422, "invalid")
	wantProblem(t, s.do("GET", "/notifications?limit=101", ""), 422, "invalid")
	wantProblem(t, s.as(s.token(login.OutboundWrite), "GET", "/notifications", ""), 403, "denied")

	w := s.do("GET", "/notifications/ntf_1_ntc_1001_1.1/raw", "")
	if w.Code != 200 || w.Body.String() != "Subject: x\r\n\r\nhello\r\n" || w.Header().Get("Content-Type") != "message/rfc822" || !strings.HasPrefix(w.Header().Get("Content-Disposition"), "attachment") {
		t.Errorf("%d %v %q", w.Code, w.Header(), w.Body)
	}
	wantProblem(t, s.do("GET", "/notifications/ntf_2_ntc_1002_1.1/raw", ""), 404, "not_found")
	wantProblem(t, s.do("GET", "/notifications/ntf_9/raw", ""), 404, "not_found")

	wantJSON(t, s.do("GET", "/notifications/why?ticket=1001&to=anna@customer.example&event=ticket_created", ""), 200, `{"ticket":1001,"to":"anna@customer.example",
		"event":"ticket_created","message":"msg_1","state":"sent","reason":null,"at":"2026-03-01T12:00:00Z","basis":"history","checks":[{"ok":true,"text":"anna is requester"}],
		"notification":`+toldAnna+`,"earlier":[`+toldBo+`]}`)
	if s.told.event != "ticket_created" {
		t.Errorf("asked about %q", s.told.event)
	}
	wantJSON(t, s.do("GET", "/notifications/why?ticket=1001&to=eve@x.example", ""), 200, `{"ticket":1001,"to":"eve@x.example","event":null,"message":null,"state":"suppressed",
		"reason":"takes no part","at":null,"basis":"present","checks":[{"ok":false,"text":"eve takes no part"}],"notification":null,"earlier":[]}`)
	wantProblem(t, s.do("GET", "/notifications/why?ticket=4711&to=anna@customer.example", ""), 404, "not_found")
	wantProblem(t, s.do("GET", "/notifications/why?ticket=1001", ""), 422, "invalid")
}

// A token for some queues sees what was decided in their tickets, and about
// what is in no ticket of theirs.
func TestNotificationsOfSomeQueues(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	sales, support := s.limited([]string{"sales"}, login.TicketsRead), s.limited([]string{"support"}, login.TicketsRead)
	wantJSON(t, s.as(sales, "GET", "/notifications", ""), 200, `{"items":[`+toldDigest+`,`+toldBo+`],"next":"c2"}`)
	wantJSON(t, s.as(support, "GET", "/notifications", ""), 200, `{"items":[`+toldAnna+`],"next":"c2"}`)
	if w := s.as(sales, "GET", "/notifications/ntf_3_dig.1/raw", ""); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	wantProblem(t, s.as(support, "GET", "/notifications/ntf_3_dig.1/raw", ""), 404, "not_found")
	wantProblem(t, s.as(sales, "GET", "/notifications/ntf_1_ntc_1001_1.1/raw", ""), 404, "not_found")
	wantProblem(t, s.as(sales, "GET", "/notifications/why?ticket=1001&to=anna@customer.example", ""), 404, "not_found")
}
