package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// client speaks to the running daemon over its local socket, whose file
// permissions are the only key it needs.
type client struct {
	http  *http.Client
	agent string // act as this agent; "" = as the administrator
}

// dial finds the daemon through the configuration.
func (o *options) dial() (*client, error) {
	cfg, err := o.load(io.Discard)
	if err != nil {
		return nil, err
	}
	return newClient(socketPath(cfg)), nil
}

func newClient(socket string) *client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}
	return &client{http: &http.Client{Transport: transport, Timeout: 5 * time.Minute}}
}

// problem is what the API answers when something is wrong.
type problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Errors []struct {
		Pointer  string `json:"pointer"`
		Location string `json:"location"`
		Detail   string `json:"detail"`
		Message  string `json:"message"`
	} `json:"errors"`
}

func (p problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	for _, e := range p.Errors {
		text += "\n  " + strings.TrimSpace(e.Pointer+e.Location+": "+e.Detail+e.Message)
	}
	return text
}

// call sends one request and returns the answer's body.
func (c *client) call(ctx context.Context, method, path string, query url.Values, contentType string, body io.Reader) ([]byte, error) {
	u := url.URL{Scheme: "http", Host: "ticketgate", Path: "/api/v1" + path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.agent != "" {
		req.Header.Set("Ticketgate-Agent", c.agent)
	}
	res, err := c.http.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return nil, exitWith(exitUnreachable, "the daemon does not answer on its local socket: %v", op)
		}
		return nil, exitWith(exitUnreachable, "the daemon did not answer: %v", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return nil, exitWith(exitUnreachable, "the daemon's answer broke off: %v", err)
	}
	if res.StatusCode < 300 {
		return answer, nil
	}
	p := problem{Status: res.StatusCode}
	if json.Unmarshal(answer, &p) != nil || p.Title+p.Detail == "" {
		p.Title = res.Status
	}
	p.Status = res.StatusCode
	return nil, &exitError{exitCodeOf(res.StatusCode), p}
}

func exitCodeOf(status int) int {
	switch {
	case status == http.StatusNotFound:
		return exitNotFound
	case status == http.StatusConflict || status == http.StatusPreconditionFailed:
		return exitConflict
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return exitDenied
	}
	return exitFailed
}

// get fetches a resource into out and returns its JSON.
func (c *client) get(ctx context.Context, path string, query url.Values, out any) ([]byte, error) {
	raw, err := c.call(ctx, http.MethodGet, path, query, "", nil)
	if err != nil {
		return nil, err
	}
	return raw, json.Unmarshal(raw, out)
}

// listQuery asks for at most limit items; filters that are empty select all.
func listQuery(limit int, filters map[string]string) url.Values {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	for name, v := range filters {
		if v != "" {
			q.Set(name, v)
		}
	}
	return q
}

// send posts JSON (or nothing) and decodes the answer, if there is one.
func (c *client) send(ctx context.Context, method, path string, in, out any) ([]byte, error) {
	var body io.Reader
	contentType := ""
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body, contentType = bytes.NewReader(b), "application/json"
	}
	raw, err := c.call(ctx, method, path, nil, contentType, body)
	if err != nil || len(raw) == 0 || out == nil {
		return raw, err
	}
	return raw, json.Unmarshal(raw, out)
}

// show prints raw JSON as it came, or calls table.
func (o *options) show(w io.Writer, raw []byte, table func(*tabwriter.Writer)) error {
	switch o.output {
	case "json":
		var buf bytes.Buffer
		if err := json.Indent(&buf, bytes.TrimSpace(raw), "", "  "); err != nil {
			return err
		}
		buf.WriteByte('\n')
		_, err := buf.WriteTo(w)
		return err
	case "table":
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		table(t)
		return t.Flush()
	}
	return exitWith(exitUsage, "unknown output %q: table or json", o.output)
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// ago renders an age the way people say it.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
