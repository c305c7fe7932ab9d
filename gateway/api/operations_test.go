package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

func (d *fakeDesk) did(by ticketing.Actor, format string, args ...any) {
	d.actor, d.decided = by, append(d.decided, fmt.Sprintf(format, args...))
}

func (d *fakeDesk) Merge(_ context.Context, by ticketing.Actor, from, into uint64) (*ticketing.Ticket, error) {
	d.did(by, "merge %d %d", from, into)
	return d.tickets[into], d.err
}

func (d *fakeDesk) Split(_ context.Context, by ticketing.Actor, ticket uint64, message string) (*ticketing.Ticket, *ticketing.Message, error) {
	d.did(by, "split %d %s", ticket, message)
	return d.tickets[1002], nil, d.err
}

func (d *fakeDesk) Link(_ context.Context, by ticketing.Actor, a, b uint64) (*ticketing.Ticket, error) {
	d.did(by, "link %d %d", a, b)
	return d.tickets[a], d.err
}

func (d *fakeDesk) Unlink(_ context.Context, by ticketing.Actor, a, b uint64) (*ticketing.Ticket, error) {
	d.did(by, "unlink %d %d", a, b)
	return d.tickets[a], d.err
}

func (d *fakeDesk) TaskAddress(t *ticketing.Ticket) string { return "task+x@help.example" }

func (d *fakeDesk) task(id string) *ticketing.Task {
	return &ticketing.Task{ID: id, Ticket: 1001, Subject: "Call", Status: "open", CreatedBy: "agent:otto", CreatedAt: time.Unix(0, 0), UpdatedAt: time.Unix(0, 0)}
}

func (d *fakeDesk) AddTask(_ context.Context, by ticketing.Actor, ticket uint64, n ticketing.NewTask) (*ticketing.Task, error) {
	d.did(by, "task %d %s %s %s", ticket, n.Subject, n.Assignee, n.DueAt.Format(time.DateOnly))
	return d.task("tsk_1"), d.err
}

func (d *fakeDesk) ChangeTask(_ context.Context, by ticketing.Actor, id string, c ticketing.TaskChange) (*ticketing.Task, error) {
	d.did(by, "change %s %t %t %t %t", id, c.Status != nil, c.Assignee != nil && *c.Assignee == "", c.DueAt != nil && c.DueAt.IsZero(), c.Text != nil)
	return d.task(id), d.err
}

func (d *fakeDesk) Task(_ context.Context, id string) (*ticketing.Task, error) {
	if id != "tsk_1" {
		return nil, unknown
	}
	return d.task(id), nil
}

func (d *fakeDesk) Tasks(_ context.Context, f ticketing.TaskFilter) ([]*ticketing.Task, string, error) {
	d.decided = append(d.decided, fmt.Sprintf("tasks %d %s %s %d", f.Ticket, f.Assignee, f.Status, f.Limit))
	return []*ticketing.Task{d.task("tsk_1")}, "more", d.err
}

func (d *fakeDesk) AddTime(_ context.Context, by ticketing.Actor, ticket uint64, n ticketing.NewTime) (*ticketing.TimeEntry, error) {
	d.did(by, "time %d %d %s %s", ticket, n.Minutes, n.Agent, n.Note)
	return &ticketing.TimeEntry{ID: "tim_1", Ticket: ticket, Agent: "otto", Minutes: n.Minutes, Note: n.Note, CreatedAt: time.Unix(0, 0)}, d.err
}

func (d *fakeDesk) Times(_ context.Context, ticket uint64) ([]*ticketing.TimeEntry, error) {
	return []*ticketing.TimeEntry{{ID: "tim_1", Minutes: 15}, {ID: "tim_2", Minutes: 10}}, d.err
}

func (d *fakeDesk) Appear(_ context.Context, by ticketing.Actor, ticket uint64, doing, draft string) ([]ticketing.Presence, error) {
	d.did(by, "appear %d %s %s", ticket, doing, draft)
	return []ticketing.Presence{{Agent: "otto", Name: "Otto", Doing: doing, Draft: draft, Since: noon, Seen: noon}}, d.err
}

func (d *fakeDesk) Present(_ context.Context, by ticketing.Actor, ticket uint64) ([]ticketing.Presence, error) {
	return nil, d.err
}

func (d *fakeDesk) Leave(_ context.Context, by ticketing.Actor, ticket uint64) error {
	d.did(by, "leave %d", ticket)
	return d.err
}

func TestPresence(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	wantJSON(t, s.local("PUT", "/tickets/1001/presence", `{"doing":"replying","draft":"Dear"}`, AgentHeader, "otto"), 200,
		`{"items":[{"agent":"otto","name":"Otto","doing":"replying","draft":"Dear","since":"2026-03-01T12:00:00Z","seen_at":"2026-03-01T12:00:00Z","draft_at":null}],"next":null}`)
	wantJSON(t, s.do("GET", "/tickets/1001/presence", ""), 200, `{"items":[],"next":null}`)
	if w := s.local("DELETE", "/tickets/1001/presence", "", AgentHeader, "otto"); w.Code != 204 || s.desk.actor.Agent != "otto" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	wantProblem(t, s.do("PUT", "/tickets/1001/presence", `{"doing":"sleeping"}`), 422, "invalid")
	wantProblem(t, s.do("PUT", "/tickets/999/presence", `{"doing":"viewing"}`), 404, "not_found")
}

func TestOperations(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, x := range []struct {
		method, path, body string
		code               int
		has, did           string
	}{
		{"POST", "/tickets/1001/merge", `{"into":1002}`, 200, `"number":1002`, "merge 1001 1002"},
		{"POST", "/tickets/1001/split", `{"message":"msg_1"}`, 201, `"number":1002`, "split 1001 msg_1"},
		{"PUT", "/tickets/1001/links/1002", "", 200, `"number":1001`, "link 1001 1002"},
		{"DELETE", "/tickets/1001/links/1002", "", 200, `"number":1001`, "unlink 1001 1002"},
		{"POST", "/tickets/1001/tasks", `{"subject":"Call","assignee":"otto","due_at":"2026-12-01T00:00:00Z"}`, 201, `"due_at":null`, "task 1001 Call otto 2026-12-01"},
		{"PATCH", "/tasks/tsk_1", `{"status":"done","assignee":null,"due_at":null}`, 200, `"id":"tsk_1"`, "change tsk_1 true true true false"},
		{"GET", "/tickets/1001/tasks?status=open", "", 200, `"next":"more"`, "tasks 1001  open 50"},
		{"GET", "/tasks?assignee=otto&limit=7", "", 200, `"items":[{"id":"tsk_1"`, "tasks 0 otto  7"},
		{"POST", "/tickets/1001/time", `{"minutes":15,"note":"looked"}`, 201, `"note":"looked"`, "time 1001 15  looked"},
	} {
		s.desk.decided = nil
		w := s.local(x.method, x.path, x.body, AgentHeader, "otto")
		if w.Code != x.code || !strings.Contains(w.Body.String(), x.has) || strings.Join(s.desk.decided, "; ") != x.did {
			t.Errorf("%s %s: %d %v %s", x.method, x.path, w.Code, s.desk.decided, w.Body)
		}
		if x.method != "GET" && s.desk.actor.Agent != "otto" {
			t.Errorf("%s %s by %+v", x.method, x.path, s.desk.actor)
		}
	}
	if w := s.do("GET", "/tickets/1001/time", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"minutes":25`) {
		t.Errorf("times: %d %s", w.Code, w.Body)
	}
	if w := s.do("GET", "/tasks/tsk_1", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"created_by":"agent:otto"`) {
		t.Errorf("task: %d %s", w.Code, w.Body)
	}
	if w := s.do("GET", "/tickets/1001", ""); !strings.Contains(w.Body.String(), `"task_address":"task+x@help.example"`) || !strings.Contains(w.Body.String(), `"merged_from":[]`) {
		t.Errorf("ticket: %s", w.Body)
	}
	for _, x := range [][4]string{
		{"POST", "/tickets/1001/merge", `{}`, "422 invalid"},
		{"POST", "/tickets/1001/merge", `{"into":999}`, "404 not_found"},
		{"POST", "/tickets/999/merge", `{"into":1001}`, "404 not_found"},
		{"PUT", "/tickets/1001/links/999", ``, "404 not_found"},
		{"POST", "/tickets/1001/split", `{}`, "422 invalid"},
		{"GET", "/tasks", ``, "422 invalid"},
		{"GET", "/tasks/tsk_9", ``, "404 not_found"},
		{"POST", "/tickets/1001/time", `{"minutes":0}`, "422 invalid"},
		{"PATCH", "/tickets/1001", `{"queue":"nowhere"}`, "422 invalid"},
		{"PATCH", "/tickets/1001", `{"snoozed_until":"soon"}`, "400 malformed"},
	} {
		w := s.do(x[0], x[1], x[2])
		if got := fmt.Sprint(w.Code); !strings.HasPrefix(x[3], got) && !(x[3][:3] == "400" && w.Code == 422) {
			t.Errorf("%s %s %s: %d %s", x[0], x[1], x[2], w.Code, w.Body)
		}
	}
	// What another queue has does not exist for a token of one queue.
	sales := s.limited([]string{"sales"}, login.TicketsWrite, login.TicketsRead)
	for _, path := range []string{"/tickets/1001/tasks", "/tickets/1001/time", "/tasks/tsk_1"} {
		if w := s.as(sales, "GET", path, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := s.as(sales, "GET", "/tasks?assignee=otto", ""); !strings.Contains(w.Body.String(), `"items":[]`) {
		t.Errorf("tasks of others: %s", w.Body)
	}
	wantProblem(t, s.as(s.token(login.TicketsRead), "POST", "/tickets/1001/merge", `{"into":1002}`), 403, "denied")
}

func TestPatchTimes(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	if w := s.do("PATCH", "/tickets/1001", `{"queue":"sales","snoozed_until":"2027-01-01T08:00:00+01:00","due_at":null}`); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	c := s.desk.change
	if c.Queue == nil || *c.Queue != "sales" || c.SnoozedUntil == nil || !c.SnoozedUntil.Equal(time.Date(2027, 1, 1, 7, 0, 0, 0, time.UTC)) || c.DueAt == nil || !c.DueAt.IsZero() {
		t.Errorf("change %+v", c)
	}
	if w := s.do("POST", "/tickets", `{"queue":"support","subject":"x","linked_to":1001,"copy_requester":true,"message":{"visibility":"internal","text":"x"}}`); w.Code != 201 || s.desk.created.LinkedTo != 1001 || !s.desk.created.CopyRequester {
		t.Errorf("%d %s %+v", w.Code, w.Body, s.desk.created)
	}
	for _, body := range []string{
		`{"queue":"support","subject":"x","copy_requester":true,"message":{"visibility":"internal","text":"x"}}`,
		`{"queue":"support","subject":"x","message":{"visibility":"internal","text":"x"}}`,
	} {
		wantProblem(t, s.do("POST", "/tickets", body), 422, "invalid")
	}
	wantProblem(t, s.do("POST", "/tickets", `{"queue":"support","subject":"x","linked_to":999,"requester":{"address":"a@b.example"},"message":{"visibility":"internal","text":"x"}}`), 404, "not_found")
}
