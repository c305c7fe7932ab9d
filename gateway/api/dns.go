package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// Record is a DNS record that should be published for one of our domains.
type Record struct {
	Domain string `json:"domain" doc:"the domain it serves"`
	Name   string `json:"name" doc:"without a trailing dot"`
	Type   string `json:"type"`
	Value  string `json:"value" doc:"as in a zone file"`
	Text   string `json:"text" doc:"TXT only: the same as one text, for providers that split it themselves"`
}

func (a *API) registerDNS() {
	register(a, operation{huma.Operation{OperationID: "list-dns-records", Method: http.MethodGet, Path: "/dns/records", Tags: []string{"dns"},
		Summary: "The DNS records our domains need"}, nil}, a.listRecords)
}

func (a *API) listRecords(ctx context.Context, _ *struct{}) (*struct{ Body page[Record] }, error) {
	list, err := a.o.Records(ctx)
	if err != nil {
		return nil, err
	}
	if list == nil {
		list = []Record{}
	}
	return &struct{ Body page[Record] }{page[Record]{Items: list}}, nil
}
