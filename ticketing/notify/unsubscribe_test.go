package notify

import (
	"strings"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// Which mails offer to end themselves: those to customers that an opt-out would
// end, and no other.
func TestUnsubscribeFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keys := w.desk.keys
	customer := letter{role: "requester", to: message.Address{Addr: "Anna@customer.example"}}
	staff := letter{role: "agent", agent: "otto", to: message.Address{Addr: "otto@help.example"}}
	ack := customer
	ack.ack = true
	from := func(m *ticketing.Message, event string) *affair {
		return &affair{notice: ticketing.Notice{Event: event}, ticket: &ticketing.Ticket{Number: 1001}, msg: m}
	}
	byCustomer := &ticketing.Message{Direction: "in", Author: ticketing.Author{Address: "bo@customer.example"}}
	byAgent := &ticketing.Message{Direction: "in", Author: ticketing.Author{Agent: "otto"}}
	posted := &ticketing.Message{Direction: "out"}
	for name, c := range map[string]struct {
		a    *affair
		l    letter
		url  string
		want int
	}{
		"an acknowledgement":           {from(byCustomer, "ticket_created"), ack, "https://desk.help.example/unsubscribe/", 2},
		"a copy of another's mail":     {from(byCustomer, "public_message"), customer, "https://desk.help.example/unsubscribe/", 2},
		"an agent's answer":            {from(byAgent, "public_message"), customer, "https://desk.help.example/unsubscribe/", 0},
		"an integration's answer":      {from(posted, "public_message"), customer, "https://desk.help.example/unsubscribe/", 0},
		"mail to staff":                {from(byCustomer, "public_message"), staff, "https://desk.help.example/unsubscribe/", 0},
		"no place for the link":        {from(byCustomer, "ticket_created"), ack, "", 0},
		"one click is for https alone": {from(byCustomer, "ticket_created"), ack, "http://desk.help.example/unsubscribe/", 1},
	} {
		n := &Notifier{o: Options{Desk: w.desk, UnsubscribeURL: c.url}}
		fields := n.unsubscribe(c.a, c.l)
		if len(fields) != c.want {
			t.Errorf("%s: %v", name, fields)
			continue
		}
		if c.want == 0 {
			continue
		}
		link := strings.Trim(fields[0].Value, "<>")
		address, ticket, err := keys.ParseUnsubscribeToken(strings.TrimPrefix(link, c.url))
		if fields[0].Name != "List-Unsubscribe" || address != "anna@customer.example" || ticket != 1001 || err != nil {
			t.Errorf("%s: %v: %q %d %v", name, fields, address, ticket, err)
		}
		if c.want == 2 && (fields[1].Name != "List-Unsubscribe-Post" || fields[1].Value != "List-Unsubscribe=One-Click") {
			t.Errorf("%s: %v", name, fields)
		}
	}
}
