package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// House knows how the installation is doing.
type House interface {
	// CheckDNS compares DNS with what our domains need; "" is all of them.
	// Unknown if a domain is not ours.
	CheckDNS(ctx context.Context, domain string) ([]Diagnosis, error)
	// Examine looks at everything that can be looked at from inside.
	Examine(ctx context.Context) ([]Diagnosis, error)
	// SendTest queues a mail that says that it is a test, and returns the id of
	// its parcel. from is a queue, "" for any.
	SendTest(ctx context.Context, to, from, by string) (string, error)
	// TestResult says what became of a test mail. Unknown if it was not sent
	// lately.
	TestResult(ctx context.Context, id string) (*TestResult, error)
}

// TestResult is what became of a test mail.
type TestResult struct {
	ID       string  `json:"id"`
	State    string  `json:"state" enum:"queued,sent,deferred,held,failed,suppressed,cancelled"`
	Attempts int     `json:"attempts"`
	Code     int     `json:"code" doc:"of the last reply; 0 if no server spoke"`
	Enhanced *string `json:"enhanced"`
	Text     *string `json:"text"`
	MX       *string `json:"mx"`
}

// Diagnosis is the result of looking at one thing.
type Diagnosis struct {
	Subject  string  `json:"subject" doc:"what was looked at: a domain, a listener, the store"`
	Check    string  `json:"check" doc:"such as mx, spf, dkim, space, clock"`
	Status   string  `json:"status" enum:"ok,warn,fail,skip" doc:"skip: could not be looked at"`
	Expected *string `json:"expected"`
	Found    *string `json:"found"`
	Detail   string  `json:"detail"`
	Fix      *string `json:"fix" doc:"what to do about it"`
}

func (a *API) registerHouse() {
	register(a, operation{huma.Operation{OperationID: "check-dns", Method: http.MethodGet, Path: "/dns/check", Tags: []string{"dns"},
		Summary: "Compare DNS with what our domains need"}, nil}, a.checkDNS)
	register(a, operation{huma.Operation{OperationID: "examine", Method: http.MethodGet, Path: "/examine", Tags: []string{"house"},
		Summary: "Look for what is wrong with this installation"}, nil}, a.examine)
	register(a, operation{huma.Operation{OperationID: "send-test", Method: http.MethodPost, Path: "/send-test", Tags: []string{"house"},
		Summary: "Send a test mail", DefaultStatus: http.StatusAccepted}, nil}, a.sendTest)
	register(a, operation{huma.Operation{OperationID: "get-test", Method: http.MethodGet, Path: "/send-test/{id}", Tags: []string{"house"},
		Summary: "What became of a test mail"}, nil}, a.testResult)
}

func (a *API) testResult(ctx context.Context, in *OutboundID) (*struct{ Body *TestResult }, error) {
	r, err := a.o.House.TestResult(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &struct{ Body *TestResult }{r}, nil
}

type findingsOutput struct{ Body page[Diagnosis] }

func (a *API) checkDNS(ctx context.Context, in *struct {
	Domain string `query:"domain" maxLength:"254"`
}) (*findingsOutput, error) {
	found, err := a.o.House.CheckDNS(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	return &findingsOutput{page[Diagnosis]{Items: list(found)}}, nil
}

func (a *API) examine(ctx context.Context, _ *struct{}) (*findingsOutput, error) {
	found, err := a.o.House.Examine(ctx)
	if err != nil {
		return nil, err
	}
	return &findingsOutput{page[Diagnosis]{Items: list(found)}}, nil
}

func (a *API) sendTest(ctx context.Context, in *struct {
	Body struct {
		To    string `json:"to" minLength:"3" maxLength:"254"`
		Queue string `json:"queue,omitempty" maxLength:"100" doc:"whose address it comes from; any if not said"`
	}
}) (*struct {
	Location string `header:"Location"`
	Body     struct {
		ID string `json:"id" doc:"of the mail in the outbound queue"`
	}
}, error) {
	id, err := a.o.House.SendTest(ctx, in.Body.To, in.Body.Queue, nameOf(asking(ctx).identity))
	if err != nil {
		return nil, err
	}
	out := &struct {
		Location string `header:"Location"`
		Body     struct {
			ID string `json:"id" doc:"of the mail in the outbound queue"`
		}
	}{Location: Base + "/outbound/" + id}
	out.Body.ID = id
	return out, nil
}
