package api

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

// fakeControl remembers what it was asked.
type fakeControl struct {
	bulk     BulkCommand
	decided  Measure
	ended    []string
	measures []Measure
	filter   SuppressionFilter
	added    Suppression
	retired  bool
	err      error
}

func (c *fakeControl) Bulk(_ context.Context, b BulkCommand) (BulkResult, error) {
	c.bulk = b
	return BulkResult{Matched: 3, Done: 2, Skipped: 1}, c.err
}

func (c *fakeControl) Top(_ context.Context, by string, n int) ([]OutboundGroup, bool, error) {
	return []OutboundGroup{{Name: by, Count: n, States: map[string]int{"ready": n}}}, true, c.err
}

func (c *fakeControl) Limits(context.Context) (OutboundLimits, error) {
	rate := "20/s"
	return OutboundLimits{Workers: 64, Limits: []OutboundLimit{{Scope: "global", Rate: &rate}}}, c.err
}

func (c *fakeControl) Measures(context.Context) ([]Measure, error) { return c.measures, c.err }

func (c *fakeControl) Decide(_ context.Context, m Measure) (*Measure, error) {
	c.decided = m
	m.ID, m.At = "msr_1", noon
	return &m, c.err
}

func (c *fakeControl) TakeBack(_ context.Context, id string) error {
	c.ended = append(c.ended, id)
	return c.err
}

func (c *fakeControl) Resume(_ context.Context, destination string) error {
	c.ended = append(c.ended, destination)
	return c.err
}

func (c *fakeControl) Suppressed(_ context.Context, f SuppressionFilter) ([]Suppression, string, error) {
	c.filter = f
	sales := "sales"
	return []Suppression{{Address: "anna@customer.example", Reason: "550 5.1.1", Since: noon}, {Address: "bo@customer.example", Queue: &sales, Since: noon}}, "more", c.err
}

func (c *fakeControl) Suppress(_ context.Context, s Suppression) (*Suppression, error) {
	c.added = s
	s.Since = noon
	return &s, c.err
}

func (c *fakeControl) Unsuppress(_ context.Context, queue, address string) error {
	c.ended = append(c.ended, queue+"/"+address)
	return c.err
}

var sampleKey = SigningKey{Domain: "help.example", Selector: "tg2r", Algorithm: "rsa", Phase: "prepared", CreatedAt: noon,
	Record: SomeRecord(Record{Domain: "help.example", Name: "tg2r._domainkey.help.example", Type: "TXT", Value: `"v=DKIM1"`, Text: "v=DKIM1"})}

func (c *fakeControl) Keys(_ context.Context, domain string) ([]SigningKey, error) {
	if domain == "other.example" {
		return nil, unknown
	}
	return []SigningKey{sampleKey}, c.err
}
func (c *fakeControl) Prepare(ctx context.Context, domain string) ([]SigningKey, error) {
	return c.Keys(ctx, domain)
}
func (c *fakeControl) Check(context.Context, string) ([]KeyCheck, error) {
	return []KeyCheck{{Key: sampleKey, Status: "ok", Found: []string{"v=DKIM1"}, Detail: "published"}}, c.err
}
func (c *fakeControl) Activate(ctx context.Context, domain string) ([]KeyCheck, error) {
	return c.Check(ctx, domain)
}
func (c *fakeControl) Retire(ctx context.Context, domain string, now bool) ([]SigningKey, error) {
	c.retired = now
	return c.Keys(ctx, domain)
}

func (c *fakeControl) CheckDNS(_ context.Context, domain string) ([]Diagnosis, error) {
	if domain == "other.example" {
		return nil, unknown
	}
	fix := "publish it"
	return []Diagnosis{{Subject: "help.example", Check: "mx", Status: "fail", Detail: "there is none", Fix: &fix}}, c.err
}
func (c *fakeControl) Examine(context.Context) ([]Diagnosis, error) { return nil, c.err }
func (c *fakeControl) SendTest(_ context.Context, to, from, by string) (string, error) {
	c.ended = append(c.ended, to+" "+from+" "+by)
	return "out_9", c.err
}

func (c *fakeControl) TestResult(_ context.Context, id string) (*TestResult, error) {
	if id != "out_9" {
		return nil, unknown
	}
	return &TestResult{ID: id, State: "sent", Attempts: 1, Code: 250}, c.err
}

func TestBulkOutbound(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.local("POST", "/outbound/bulk", `{"verb":"drop","filter":{"to":"@customer.example","older":"2h","held":"suppressed","queue":"support","state":"held","class":"reply","ticket":5},"reason":"gone","expect":3}`, AgentHeader, "otto")
	wantJSON(t, w, 200, `{"matched":3,"done":2,"skipped":1}`)
	want := BulkCommand{Verb: "drop", By: "otto", Reason: "gone", Expect: 3, Filter: ParcelFilter{
		To: "@customer.example", Older: 2 * time.Hour, Held: "suppressed", Queue: "support", State: "held", Class: "reply", Ticket: 5}}
	if d := cmp.Diff(want, s.control.bulk); d != "" {
		t.Error(d)
	}
	s.do("POST", "/outbound/bulk", `{"verb":"retry","filter":{"class":"bulk"},"dry_run":true}`)
	if s.control.bulk.Expect != -1 || !s.control.bulk.DryRun {
		t.Errorf("%+v", s.control.bulk)
	}
	s.control.bulk = BulkCommand{}
	for _, bad := range []string{`{"verb":"drop","filter":{}}`, `{"verb":"drop"}`, `{"verb":"burn","filter":{"class":"bulk"}}`,
		`{"verb":"drop","filter":{"klass":"bulk"}}`, `{"verb":"drop","filter":{"class":"bulk","older":"old"}}`, `{"verb":"drop","filter":{"class":"bulk"},"expect":-1}`} {
		wantProblem(t, s.do("POST", "/outbound/bulk", bad), 422, "invalid")
	}
	if s.control.bulk.Verb != "" {
		t.Errorf("%+v", s.control.bulk)
	}
	// A token for one queue cannot mean another's mail.
	sales := s.limited([]string{"sales"}, login.OutboundWrite)
	wantProblem(t, s.as(sales, "POST", "/outbound/bulk", `{"verb":"drop","filter":{"class":"bulk"}}`), 403, "denied")
	wantProblem(t, s.as(sales, "POST", "/outbound/bulk", `{"verb":"drop","filter":{"queue":"support"}}`), 403, "denied")
	if w := s.as(sales, "POST", "/outbound/bulk", `{"verb":"drop","filter":{"queue":"sales"}}`); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	s.control.err = &ticketing.Error{Kind: ticketing.Conflict, Text: "3 are meant, 4 fit"}
	wantProblem(t, s.do("POST", "/outbound/bulk", `{"verb":"drop","filter":{"class":"bulk"},"expect":3}`), 409, "conflict")
}

func TestMeasures(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.local("POST", "/outbound/measures", `{"kind":"pause","queue":"support","for":"1h","reason":"flood"}`, AgentHeader, "otto")
	wantJSON(t, w, 201, `{"id":"msr_1","kind":"pause","about":"","domain":null,"queue":"support","class":null,"to":null,"all":false,"via":null,
		"by":"otto","reason":"flood","at":"2026-03-01T12:00:00Z","until":"2026-03-01T13:00:00Z"}`)
	w = s.do("POST", "/outbound/destinations/customer.example/pause", `{"for":"2026-03-01T14:30:00Z","reason":"blocklist"}`)
	if w.Code != 200 || *s.control.decided.Domain != "customer.example" || !s.control.decided.Until.Equal(noon.Add(150*time.Minute)) || s.control.decided.Kind != "pause" {
		t.Errorf("%d %s %+v", w.Code, w.Body, s.control.decided)
	}
	if w = s.do("POST", "/outbound/destinations/customer.example/pause", ""); w.Code != 200 || s.control.decided.Until != nil {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w = s.do("POST", "/outbound/destinations/customer.example/resume", ""); w.Code != 204 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w = s.do("DELETE", "/outbound/measures/msr_1", ""); w.Code != 204 || !cmp.Equal(s.control.ended, []string{"customer.example", "msr_1"}) {
		t.Errorf("%d %v", w.Code, s.control.ended)
	}
	for _, bad := range []string{`{"kind":"burn","all":true}`, `{"kind":"pause","for":"soon","all":true}`, `{"kind":"pause","al":true}`} {
		wantProblem(t, s.do("POST", "/outbound/measures", bad), 422, "invalid")
	}
	sales := s.limited([]string{"sales"}, login.OutboundWrite)
	queue := "sales"
	s.control.measures = []Measure{{ID: "msr_1"}, {ID: "msr_2", Queue: &queue}}
	for path, body := range map[string]string{
		"POST /outbound/measures": `{"kind":"pause","all":true}`, "POST /outbound/destinations/a.example/pause": "", "POST /outbound/destinations/a.example/resume": "",
		"GET /outbound/top": "",
	} {
		method, path, _ := strings.Cut(path, " ")
		wantProblem(t, s.as(sales, method, path, body), 403, "denied")
	}
	other := "support"
	s.control.measures = append(s.control.measures, Measure{ID: "msr_3", Queue: &other})
	if w := s.as(s.limited([]string{"sales"}, login.OutboundRead), "GET", "/outbound/measures", ""); strings.Contains(w.Body.String(), "msr_3") || !strings.Contains(w.Body.String(), "msr_2") {
		t.Errorf("%s", w.Body)
	}
	wantProblem(t, s.as(sales, "DELETE", "/outbound/measures/msr_1", ""), 404, "not_found")
	if w := s.as(sales, "DELETE", "/outbound/measures/msr_2", ""); w.Code != 204 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := s.as(sales, "POST", "/outbound/measures", `{"kind":"hold","queue":"sales"}`); w.Code != 201 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	wantJSON(t, s.do("GET", "/outbound/top?by=queue&limit=3", ""), 200, `{"items":[{"name":"queue","count":3,"states":{"ready":3},"size":0,"oldest_age_seconds":0,"example":null}],"next":null,"partial":true}`)
	wantJSON(t, s.do("GET", "/outbound/limits", ""), 200, `{"workers":64,"active":0,"limits":[{"scope":"global","name":"","rate":"20/s","connections":0,"active":0,"blocked_until":null,"reason":null}]}`)
}

func TestSuppressions(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	wantJSON(t, s.do("GET", "/suppressions?address=@customer.example&queue=sales&limit=3&cursor=c", ""), 200, `{"items":[
		{"address":"anna@customer.example","queue":null,"by":null,"reason":"550 5.1.1","since":"2026-03-01T12:00:00Z","until":null},
		{"address":"bo@customer.example","queue":"sales","by":null,"reason":"","since":"2026-03-01T12:00:00Z","until":null}],"next":"more"}`)
	if want := (SuppressionFilter{Address: "@customer.example", Queue: "sales", Limit: 3, Cursor: "c"}); s.control.filter != want {
		t.Errorf("%+v", s.control.filter)
	}
	w := s.local("POST", "/suppressions", `{"address":"cy@customer.example","queue":"sales","reason":"asked","for":"30d"}`, AgentHeader, "otto")
	wantJSON(t, w, 201, `{"address":"cy@customer.example","queue":"sales","by":"otto","reason":"asked","since":"2026-03-01T12:00:00Z","until":"2026-03-31T12:00:00Z"}`)
	wantProblem(t, s.do("POST", "/suppressions", `{"address":"cy@customer.example","queue":"nowhere"}`), 422, "invalid")
	wantProblem(t, s.do("POST", "/suppressions", `{"address":""}`), 422, "invalid")
	if w := s.do("DELETE", "/suppressions/cy@customer.example?queue=sales", ""); w.Code != 204 || s.control.ended[0] != "sales/cy@customer.example" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	support := s.limited([]string{"support"}, login.OutboundWrite)
	if w := s.as(support, "GET", "/suppressions", ""); strings.Contains(w.Body.String(), "bo@") || !strings.Contains(w.Body.String(), "anna@") {
		t.Errorf("%s", w.Body)
	}
	wantProblem(t, s.as(support, "POST", "/suppressions", `{"address":"cy@customer.example"}`), 403, "denied")
	wantProblem(t, s.as(support, "DELETE", "/suppressions/cy@customer.example?queue=sales", ""), 404, "not_found")
	wantProblem(t, s.as(s.token(login.OutboundRead), "DELETE", "/suppressions/cy@customer.example", ""), 403, "denied")
}

func TestKeysAndHouse(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := `{"domain":"help.example","selector":"tg2r","algorithm":"rsa","phase":"prepared","created_at":"2026-03-01T12:00:00Z","seen_at":null,"activated_at":null,
		"replaced_at":null,"retirable_at":null,"retired_at":null,"problem":null,
		"record":{"domain":"help.example","name":"tg2r._domainkey.help.example","type":"TXT","value":"\"v=DKIM1\"","text":"v=DKIM1"}}`
	wantJSON(t, s.do("GET", "/dkim", ""), 200, `{"items":[`+key+`],"next":null}`)
	wantJSON(t, s.do("POST", "/dkim/help.example/prepare", ""), 200, `{"items":[`+key+`],"next":null}`)
	check := `{"items":[{"key":` + key + `,"status":"ok","found":["v=DKIM1"],"detail":"published","fix":null}],"next":null}`
	wantJSON(t, s.do("POST", "/dkim/help.example/check", ""), 200, check)
	wantJSON(t, s.do("POST", "/dkim/help.example/activate", ""), 200, check)
	wantJSON(t, s.do("POST", "/dkim/help.example/retire", `{"now":true}`), 200, `{"items":[`+key+`],"next":null}`)
	if !s.control.retired {
		t.Error("now was lost")
	}
	wantProblem(t, s.do("GET", "/dkim?domain=other.example", ""), 404, "not_found")
	wantJSON(t, s.do("GET", "/dns/check", ""), 200, `{"items":[{"subject":"help.example","check":"mx","status":"fail","expected":null,"found":null,"detail":"there is none","fix":"publish it"}],"next":null}`)
	wantProblem(t, s.do("GET", "/dns/check?domain=other.example", ""), 404, "not_found")
	wantJSON(t, s.do("GET", "/examine", ""), 200, `{"items":[],"next":null}`)
	w := s.do("POST", "/send-test", `{"to":"anna@customer.example","queue":"support"}`)
	wantJSON(t, w, 202, `{"id":"out_9"}`)
	if w.Header().Get("Location") != Base+"/outbound/out_9" {
		t.Error(w.Header())
	}
	wantJSON(t, s.do("GET", "/send-test/out_9", ""), 200, `{"id":"out_9","state":"sent","attempts":1,"code":250,"enhanced":null,"text":null,"mx":null}`)
	wantProblem(t, s.do("GET", "/send-test/out_1", ""), 404, "not_found")
	few := s.token(login.TicketsRead, login.TicketsWrite, login.OutboundRead, login.OutboundWrite, login.MessagesSend, login.Intake)
	for _, path := range []string{"GET /dkim", "POST /dkim/help.example/activate", "GET /dns/check", "GET /examine", "POST /send-test"} {
		method, path, _ := strings.Cut(path, " ")
		wantProblem(t, s.as(few, method, path, `{"to":"anna@customer.example"}`), 403, "denied")
	}
}

// What keeps a mail is part of its shape.
func TestHeldOutboundShape(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.outbound.parcel.State, s.outbound.parcel.WaitsFor = "held", "suppressed"
	s.outbound.parcel.Held = &Hold{Kind: "suppressed", Ref: "bo@customer.example", By: "ticketgate", Reason: "550 5.1.1", At: noon, Until: noon.Add(time.Hour)}
	var got struct{ Held, WaitsFor json.RawMessage }
	w := s.do("GET", "/outbound/out_1", "")
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(`{"kind":"suppressed","ref":"bo@customer.example","by":"ticketgate","reason":"550 5.1.1","at":"2026-03-01T12:00:00Z","until":"2026-03-01T13:00:00Z"}`, string(got.Held)); d != "" {
		t.Error(d)
	}
}
