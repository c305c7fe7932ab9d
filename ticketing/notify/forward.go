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

// forStaff is a message's text with the remark of who passed it on.
func (a *affair) forStaff() string {
	_, remark, ok := passedOn(a.msg, a.mail)
	if !ok || remark == "" {
		return a.text
	}
	who := a.msg.ForwardedBy.Agent
	if agent, known := a.agents(who); known {
		who = staffName(agent)
	}
	return who + " passed this on and remarked:\n\n" + remark + "\n\n" + a.text
}
