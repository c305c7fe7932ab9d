package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

var staffTags = []string{"staff"}

// registerStaff serves agents and queues for reading: they are configured in
// the file.
func (a *API) registerStaff() {
	read := []login.Scope{login.TicketsRead}
	add := func(id, path, summary string) operation {
		return operation{huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Tags: staffTags, Summary: summary}, read}
	}
	register(a, add("list-agents", "/agents", "List agents and the queues they serve"), a.listAgents)
	register(a, add("get-agent", "/agents/{name}", "Read an agent"), a.getAgent)
	register(a, add("list-queues", "/queues", "List queues and who serves them"), a.listQueues)
	register(a, add("get-queue", "/queues/{name}", "Read a queue"), a.getQueue)
}

// Agent is a member of staff.
type Agent struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Addresses []string `json:"addresses" nullable:"false" doc:"verified: who writes from one of them, proven, is this agent"`
	Role      string   `json:"role" enum:"full,light"`
	Queues    []string `json:"queues" nullable:"false"`
}

func (a *API) agentShape(g *ticketing.Agent) *Agent {
	out := &Agent{ID: g.Name, Name: g.DisplayName, Addresses: list(g.Addresses), Role: "full", Queues: list(a.o.Desk.Serves(g.Name))}
	if g.Light {
		out.Role = "light"
	}
	return out
}

func (a *API) listAgents(context.Context, *struct{}) (*struct{ Body page[*Agent] }, error) {
	out := &struct{ Body page[*Agent] }{page[*Agent]{Items: []*Agent{}}}
	for _, g := range a.o.Desk.Agents() {
		out.Body.Items = append(out.Body.Items, a.agentShape(g))
	}
	return out, nil
}

type nameInput struct {
	Name string `path:"name" maxLength:"100"`
}

func (a *API) getAgent(_ context.Context, in *nameInput) (*struct{ Body *Agent }, error) {
	g, ok := a.o.Desk.Agent(in.Name)
	if !ok {
		return nil, notFound("agent")
	}
	return &struct{ Body *Agent }{a.agentShape(g)}, nil
}

// Queue is a ticket queue.
type Queue struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Address   string   `json:"address"`
	Aliases   []string `json:"aliases" nullable:"false"`
	Agents    []string `json:"agents" nullable:"false" doc:"ids of who serves it"`
	CC        string   `json:"cc" enum:"off,participants,all" doc:"who may become CC by mail"`
	MaxCCs    int      `json:"max_ccs"`
	AutoAck   bool     `json:"auto_ack"`
	ReplyAll  string   `json:"reply_all" enum:"assignee,queue,followers"`
	Rewriters []string `json:"rewriters" nullable:"false"`
}

func queueShape(q *ticketing.Queue) *Queue {
	return &Queue{
		ID: q.Name, Name: or(q.DisplayName, q.Name), Address: q.Address, Aliases: list(q.Aliases), Agents: list(q.Agents),
		CC: q.CC.Allow, MaxCCs: q.CC.Max, AutoAck: q.AutoAck, ReplyAll: q.ReplyAll, Rewriters: list(q.Rewriters),
	}
}

func (a *API) listQueues(ctx context.Context, _ *struct{}) (*struct{ Body page[*Queue] }, error) {
	out := &struct{ Body page[*Queue] }{page[*Queue]{Items: []*Queue{}}}
	for _, q := range a.o.Desk.Queues() {
		if asking(ctx).identity.Reaches(q.Name) {
			out.Body.Items = append(out.Body.Items, queueShape(q))
		}
	}
	return out, nil
}

func (a *API) getQueue(ctx context.Context, in *nameInput) (*struct{ Body *Queue }, error) {
	q, ok := a.o.Desk.Queue(in.Name)
	if !ok || !asking(ctx).identity.Reaches(in.Name) {
		return nil, notFound("queue")
	}
	return &struct{ Body *Queue }{queueShape(q)}, nil
}
