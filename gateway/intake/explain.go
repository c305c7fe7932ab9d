package intake

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"ticketgate/gateway/mailauth"
	"ticketgate/ticketing"
)

// Finding is one thing that was looked at when a mail came, in the words of an
// operator. Result is a short word; Detail says why.
type Finding struct {
	Stage  string `json:"stage" enum:"connection,envelope,content,sender,desk"`
	Check  string `json:"check"`
	Result string `json:"result"`
	Detail string `json:"detail"`
}

// Explanation is what would become of a mail just now.
type Explanation struct {
	Findings []Finding
	Err      error            // why it would be refused; nil if it would be taken
	Trace    *ticketing.Trace // what it would become; nil if it would be refused
}

// Explain runs a mail through everything that Receive runs it through and keeps
// nothing. The error is a fault of ours; a refusal is part of the explanation.
func (in *Intake) Explain(ctx context.Context, env Envelope, r io.Reader) (*Explanation, error) {
	x := &Explanation{}
	for _, rcpt := range env.Recipients {
		route, err := in.Route(ctx, rcpt)
		switch {
		case err == nil:
			x.Findings = append(x.Findings, Finding{"envelope", "recipient", "ok", fmt.Sprintf("%s leads to queue %s (%s)", rcpt, route.Queue, route.Kind)})
		case ticketing.KindOf(err) == ticketing.Unknown:
			x.Findings = append(x.Findings, Finding{"envelope", "recipient", "refuse", rcpt + " is not ours"})
			x.Err = err
		default:
			return nil, err
		}
	}
	if x.Err != nil {
		return x, nil
	}
	w, arrival, err := in.take(ctx, env, r, in.o.Now())
	if err == nil {
		defer w.Discard()
		x.Trace, err = in.o.Desk.Explain(ctx, arrival)
	}
	switch ticketing.KindOf(err) {
	case ticketing.Refused, ticketing.Invalid, ticketing.TooBig, ticketing.Unknown:
		x.Err = err
	default:
		if err != nil {
			return nil, err
		}
	}
	if x.Trace == nil {
		x.Findings = append(x.Findings, findings(arrival.Evidence)...)
		var r *ticketing.Refusal
		if errors.As(x.Err, &r) {
			for _, rule := range r.Rules {
				x.Findings = append(x.Findings, Finding{"desk", "rule", "reject", fmt.Sprintf("%s of queue %s", rule.Rule, rule.Queue)})
			}
		}
		x.Findings = append(x.Findings, Finding{"content", "refused", "refuse", Reason(x.Err)})
		return x, nil
	}
	x.Findings = append(x.Findings, Findings(x.Trace)...)
	return x, nil
}

// Reason is a refusal in the words that the client hears.
func Reason(err error) string {
	var e *ticketing.Error
	if errors.As(err, &e) && e.Text != "" {
		return e.Text
	}
	return err.Error()
}

// Findings tells a stored mail's story: how it came, what was found about its
// sender, and what the desk made of it.
func Findings(t *ticketing.Trace) []Finding {
	var out []Finding
	add := func(stage, check, result, detail string) {
		out = append(out, Finding{stage, check, cmp.Or(result, "none"), detail})
	}
	var e ticketing.Envelope
	var v ticketing.Verdict
	switch {
	case len(t.Messages) > 0:
		e, v = t.Messages[0].Envelope, t.Messages[0].Auth
	case len(t.Held) > 0:
		e, v = t.Held[0].Envelope, t.Held[0].Auth
	}
	if e.Source != "" {
		add("connection", "door", e.Source, fmt.Sprintf("%s, HELO %s, %s", cmp.Or(e.RemoteIP, "no address"), cmp.Or(e.HELO, "not given"), map[bool]string{true: "TLS", false: "no TLS"}[e.TLS]))
	}
	if v.User != "" {
		add("connection", "login", "ok", "agent "+v.User)
	}
	add("envelope", "sender", "ok", "<"+t.Receipt.EnvelopeFrom+">")
	add("content", "size", "ok", fmt.Sprintf("%d octets, sha256 %s", t.Receipt.Raw.Size, t.Receipt.Raw.SHA256))
	out = append(out, findings(t.Evidence)...)
	for _, m := range t.Messages {
		add("desk", "automatic", m.Automatic.Class, strings.Join(m.Automatic.Reasons, ", "))
		if m.Bounce != nil {
			for _, r := range m.Bounce.Recipients {
				add("desk", "report", r.Action, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Address, r.Status, r.Diagnostic)))
			}
		}
		trusted := "by the evidence"
		if m.Auth.Forwarder {
			trusted = "vouched for by a trusted forwarder"
		}
		add("desk", "trust", m.Auth.Trust, trusted)
		add("desk", "author", m.Author.Role, strings.TrimSpace(m.Author.Address+" "+agentOf(m.Author)))
		add("desk", "thread", m.MatchedBy, fmt.Sprintf("ticket #%d, message %d", m.Ticket, m.Seq))
		add("desk", "visibility", m.Visibility, strings.TrimSpace("kind "+m.Kind+", "+cmp.Or(strings.Join(m.Flags, ", "), "no flags")))
	}
	for _, h := range t.Held {
		detail := h.Detail
		if h.State != "held" {
			detail = strings.TrimPrefix(detail+", "+h.State, ", ")
		}
		add("desk", "held", h.Reason, detail)
	}
	for _, o := range t.Receipt.Outcomes {
		if o.Rule.Name != "" {
			add("desk", "rule", o.Rule.Action, o.Rule.Name+", for "+o.Recipient)
		}
		detail := o.Recipient
		if o.Ticket != 0 {
			detail += fmt.Sprintf(", ticket #%d", o.Ticket)
		}
		if o.Reason != "" {
			detail += ", " + o.Reason
		}
		add("desk", "outcome", o.Outcome, detail)
	}
	return out
}

func agentOf(a ticketing.Author) string {
	if a.Agent == "" {
		return ""
	}
	return "(agent " + a.Agent + ")"
}

// findings are those about the sender.
func findings(evidence json.RawMessage) (out []Finding) {
	if evidence == nil {
		return nil
	}
	var e mailauth.Evidence
	if err := json.Unmarshal(evidence, &e); err != nil {
		return []Finding{{"sender", "evidence", "unreadable", err.Error()}}
	}
	for _, f := range e.Findings() {
		out = append(out, Finding{"sender", f.Check, f.Result, f.Detail})
	}
	return out
}
