package notify

import (
	"strings"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// passedOn is a customer's mail that an agent passed on: what the customer
// wrote, which is the message, and what the agent remarked, which is for staff.
// ok is false for any other message.
func passedOn(m *ticketing.Message, mail *message.Mail) (text, remark string, ok bool) {
	if m.ForwardedBy == nil {
		return "", "", false
	}
	f := message.Forward(mail)
	if f == nil {
		return "", "", true
	}
	text, _ = message.VisibleText(f.Text)
	return text, strings.TrimSpace(message.SkipCommands(f.Remark, m.CommandLines)), true
}

// forStaff is a message's text with the remark of who passed it on. The mail that
// opens a ticket comes with what its author quoted or passed on: nothing on the
// ticket shows that yet.
func (a *affair) forStaff(below string) string {
	_, remark, ok := passedOn(a.msg, a.mail)
	switch {
	case !ok && a.msg.Seq == 1 && a.msg.Direction == "in" && below != "":
		return a.text + "\n\n" + clip(below, maxQuote)
	case !ok || remark == "":
		return a.text
	}
	who := a.msg.ForwardedBy.Agent
	if agent, known := a.agents(who); known {
		who = staffName(agent)
	}
	return who + " passed this on and remarked:\n\n" + remark + "\n\n" + a.text
}
