package ticketing_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// TestExplain: what would happen is what then happens, and until then nothing
// does.
func TestExplain(t *testing.T) {
	b := open(t)
	n := b.take(mail{text: write(rAddr, "Printer")}).Ticket
	for _, m := range []mail{
		{text: write(xAddr, "Another")},
		{to: []string{b.mailTo(n, 1, rAddr, message.RoleRequester, false).replyTo}, text: write(rAddr, "Re: Printer")},
		{to: []string{helpdsk, "sales@help.example"}, text: write(xAddr, "Both")},
		{text: "From: " + xAddr + "\nMessage-ID: <blank@x.example>\n\n"},
	} {
		before := b.state()
		x, err := b.desk.Explain(t.Context(), b.arrival(m))
		if err != nil {
			t.Fatal(err)
		}
		if after := b.state(); after != before {
			t.Errorf("explaining changed %s to %s", before, after)
		}
		r := b.receive(m)
		if len(r.Outcomes) != len(x.Receipt.Outcomes) {
			t.Fatalf("explained %+v, then %+v", x.Receipt.Outcomes, r.Outcomes)
		}
		for i, o := range r.Outcomes {
			if e := x.Receipt.Outcomes[i]; e.Outcome != o.Outcome || e.Ticket != o.Ticket || e.Reason != o.Reason || (e.Held == "") != (o.Held == "") {
				t.Errorf("explained %+v, then %+v", e, o)
			}
		}
		if len(x.Messages)+len(x.Held) != len(r.Outcomes) {
			t.Errorf("%d messages and %d held for %d outcomes", len(x.Messages), len(x.Held), len(r.Outcomes))
		}
	}
	_, err := b.desk.Explain(t.Context(), b.arrival(mail{to: []string{"nobody@help.example"}, text: write(xAddr, "x")}))
	if ticketing.KindOf(err) != ticketing.Unknown {
		t.Errorf("an unknown recipient: %v", err)
	}
}

// state sums up what is stored.
func (b *bench) state() string {
	b.t.Helper()
	rec, err := b.desk.Reconcile(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	rec.CheckedAt = time.Time{}
	text, err := json.Marshal(rec)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// TestTraces: a mail is found by each of its names.
func TestTraces(t *testing.T) {
	b := open(t)
	a := b.arrival(mail{text: "From: " + rAddr + "\nMessage-ID: <one@x.example>\nSubject: Printer\n\nx\n"})
	a.Header, a.Evidence = "Return-Path: <x>\r\n", json.RawMessage(`{"trust":"T1"}`)
	r, err := b.desk.Receive(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	first := r.Outcomes[0]
	second := b.take(mail{to: []string{b.mailTo(first.Ticket, 1, rAddr, message.RoleRequester, false).replyTo}, text: write(rAddr, "Re: Printer")})
	held := b.receive(mail{text: "From: " + xAddr + "\nMessage-ID: <blank@x.example>\n\n"})
	for name, want := range map[string][]string{
		r.ID: {r.ID}, first.Message: {r.ID}, "<one@x.example>": {r.ID}, "one@x.example": {r.ID},
		"#1001": {b.message(second.Message).Receipt, r.ID}, "1001": {b.message(second.Message).Receipt, r.ID},
		rAddr: {b.message(second.Message).Receipt, r.ID}, "ANNA@Customer.Example": {b.message(second.Message).Receipt, r.ID},
		xAddr: {held.ID}, helpdsk: {held.ID, r.ID}, "who@nowhere.example": nil, "<" + rAddr + ">": nil,
		held.Outcomes[0].Held: {held.ID}, "blank@x.example": {held.ID}, held.ID: {held.ID},
		"": nil, "4711": nil, "rcpt_x": nil, "msg_x": nil, "held_x": nil, "nobody@x.example": nil, "#": nil,
	} {
		list, err := b.desk.Traces(t.Context(), name)
		if (err == nil) != (want != nil) || err != nil && ticketing.KindOf(err) != ticketing.Unknown {
			t.Errorf("%q: %v", name, err)
			continue
		}
		var got []string
		for _, x := range list {
			got = append(got, x.Receipt.ID)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
	list, err := b.desk.Traces(t.Context(), r.ID)
	if err != nil || list[0].Header != a.Header || string(list[0].Evidence) != string(a.Evidence) || len(list[0].Messages) != 1 {
		t.Errorf("%+v, %v", list, err)
	}

	// Too much to keep is left out; the mail is not.
	a = b.arrival(mail{text: write(xAddr, "Long")})
	a.Header, a.Evidence = "Return-Path: <x>\r\n", json.RawMessage(`"`+strings.Repeat("x", 30<<10)+`"`)
	if r, err = b.desk.Receive(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if list, err = b.desk.Traces(t.Context(), r.ID); err != nil || list[0].Evidence != nil || list[0].Header != "" {
		t.Errorf("%+v, %v", list, err)
	}
}
