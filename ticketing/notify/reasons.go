package notify

import (
	"fmt"
	"strings"

	"ticketgate/ticketing/message"
)

// Why somebody gets no mail. These words are kept in the history and shown by
// programs; a word that has been released keeps its meaning.
const (
	notAnyMore    = "takes no part any more"
	notConcerned  = "not concerned by this event"
	notCauser     = "caused it"
	notVouched    = "the author is unproven"
	notWanted     = "opted out"
	notAgain      = "stood in the mail that caused it"
	notTwice      = "told already"
	notAgent      = "no longer an agent"
	notSaid       = "nothing public was said before"
	notConfigured = "the queue or the agent is not configured any more"
	notWritable   = "no mail can be written to this address"
	notPart       = "takes no part" // of present states only
	notDecided    = "nothing was decided about him"

	noAck        = "no acknowledgement: "
	ackOff       = "switched off for the queue"
	ackNoMail    = "no mail to acknowledge"
	ackNull      = "null return path"
	ackRobot     = "automatic mail: "
	ackElsewhere = "the desk asked for none"
	ackUnproven  = "unproven sender"

	overLimit = "limit: "
)

// Where a mail came to an end after it was queued.
const (
	endFailed     = "failed"
	endBounced    = "bounced"
	endSuppressed = "address suppressed"
	endCancelled  = "cancelled"
)

// rules say in a sentence what a reason means.
func rules() map[string]string {
	return map[string]string{
		notAnyMore:                 "he was in the ticket when it happened and is not any more (rule: who has left hears nothing)",
		notConcerned:               "the event does not concern him (rule: customers hear of public messages; notes are for followers and the assignee; the queue's agents hear of what customers do while nobody is assigned)",
		notCauser:                  "he caused this himself (rule: never notify the actor)",
		notVouched:                 "nothing proves who wrote the message (rule: what a stranger wrote is not mailed to customers)",
		notWanted:                  "he has opted out of automatic mail (rule: only what our people write reaches him; see optout list)",
		notAgain:                   "he stood in To or Cc of the mail that caused this and has it already (rule: copy_always is off for the queue)",
		notTwice:                   "he has been told under another address (rule: one mail for each person)",
		notAgent:                   "he is no agent any more, or has no address (rule: mail to staff goes to the agents of today)",
		notSaid:                    "nothing public was said before he came, so there is nothing to tell (rule: notes are not told later)",
		notConfigured:              "the queue, or the agent who leads it, is not configured any more",
		notWritable:                "no mail server could take his address as it stands",
		notPart:                    "he is neither requester, CC, follower nor assignee, and no agent of the queue",
		notDecided:                 "nothing that holds now stands against him, and nothing was decided: either it is being told just now, or he came into the ticket after it",
		noAck + ackOff:             "he caused this himself, and acknowledgements are off for the queue (auto_ack)",
		noAck + ackNoMail:          "he caused this himself, and there is no mail to acknowledge",
		noAck + ackNull:            "he caused this himself, with the null return path (rule: a report is never answered)",
		noAck + ackElsewhere:       "he caused this himself, and the same mail is acknowledged in another ticket or is not to be",
		noAck + ackUnproven:        "nothing proves that the mail is his (rule: a forged sender gets no acknowledgement)",
		noAck + notWanted:          "he has opted out of automatic mail, acknowledgements included (see optout list)",
		overLimit + scopeAddress:   "he had an acknowledgement within the last day (rule: one a day for an address)",
		overLimit + scopeRecipient: "he had as many automatic mails today as an address may get",
		overLimit + scopeTicket:    "he had as many automatic mails about this ticket in ten minutes as one may get",
		overLimit + scopeStaff:     "he had as many mails about this ticket today as an agent may get",
		overLimit + scopeDomain:    "his domain had as many acknowledgements in ten minutes as one may get",
		overLimit + scopeTotal:     "as many acknowledgements were sent in ten minutes as may be",
		overLimit + scopeAlert:     "there were enough warnings today",
		endFailed:                  "the mail could not be delivered",
		endBounced:                 "the mail came back",
		endSuppressed:              "the address gets no mail (see suppression list)",
		endCancelled:               "the mail was taken out of the outbound queue",
	}
}

// explain is a reason as a sentence, with its detail.
func explain(reason, detail string) string {
	text, known := rules()[reason]
	if class, robot := strings.CutPrefix(reason, noAck+ackRobot); robot {
		text, known = fmt.Sprintf("he caused this himself, by a mail that a machine wrote: %s (rule: a robot is never answered)", class), true
	}
	if !known {
		text = reason // of a later version
	}
	if detail != "" {
		text += ": " + detail
	}
	return text
}

func unwritableAddress(a message.Address) string { return fmt.Sprintf("%q is no address", a.Addr) }
