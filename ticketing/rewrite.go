package ticketing

import (
	"slices"

	"ticketgate/ticketing/message"
)

// Flags about the author of a mail.
const (
	flagGroupAuthor  = "group_author"   // a group wrote it in its own name; who it was is not proven
	flagReplyToAgent = "reply_to_agent" // answers are asked to go to an agent who is not its author
	flagRedirected   = "redirected"     // it was meant for another address first
)

// maxRedirectFields is how many fields of each name are looked at.
const maxRedirectFields = 10

// unrewrite finds who really wrote a mail that a group passed on under its own
// address. The group's word counts only if all of this holds in every queue the
// mail is for: the queue lists its address as one that rewrites, DMARC passes
// for it, and it is a trusted forwarder of the queue. Who is named this way
// takes part as what he is, and never as an agent.
func (d *Desk) unrewrite(in *incoming) {
	original, told := in.originalAuthor()
	if !told || in.doubtful || in.folded == "" {
		return
	}
	for _, u := range in.units {
		if !u.queue.rewriter(in.folded) {
			if in.mail.Header.Has("X-Original-From") {
				in.mark(flagGroupAuthor)
			}
			return
		}
		if in.arrival.Verdict.DMARC.Result != "pass" || !u.queue.vouched(&in.arrival) {
			in.mark(flagGroupAuthor)
			return
		}
	}
	folded := message.Fold(original.Addr)
	if d.own(folded) != nil {
		in.mark(flagGroupAuthor)
		return
	}
	in.rewriter = in.author
	in.author, in.folded, in.ownFrom, in.agent = original, folded, false, nil
}

// originalAuthor is who a group says wrote the mail: X-Original-From, else
// Reply-To, if it is one address and not the group's own.
func (in *incoming) originalAuthor() (message.Address, bool) {
	for _, name := range []string{"X-Original-From", "Reply-To"} {
		list := in.mail.Header.Addresses(name)
		if len(list) != 1 {
			continue
		}
		a, ok := clipAddress(list[0])
		if ok && message.Fold(a.Addr) != in.folded {
			return a, true
		}
	}
	return message.Address{}, false
}

// rewriter reports whether an address is one that writes in others' names.
func (q *queue) rewriter(folded string) bool { return q.rewrites[folded] }

// mark adds a flag for the message.
func (in *incoming) mark(flag string) {
	if !slices.Contains(in.flags, flag) {
		in.flags = append(in.flags, flag)
	}
}

// readReplyTo flags what tries to have answers sent to an agent. It gives
// nobody anything: answers go to participants, and rights come from From.
func (d *Desk) readReplyTo(in *incoming) {
	for _, a := range in.mail.Header.Addresses("Reply-To") {
		if w := d.writer(message.Fold(a.Addr)); w != nil && w != in.agent {
			in.mark(flagReplyToAgent)
		}
	}
}

// redirectFields say where a mail was delivered before it was passed on
// unchanged (RFC 5322 §3.6.6, and what servers add).
var redirectFields = []string{"X-Original-To", "Delivered-To", "X-Forwarded-To", "Resent-To", "Envelope-To", "To", "Cc"}

// meantFor finds the queue of a mail that came to an address of no queue of
// its own, such as postmaster, and names a queue where it was meant for first.
// A token in such a field is not looked at: what stands in a header proves
// nothing.
func (d *Desk) meantFor(in *incoming) *queue {
	for _, name := range redirectFields {
		var found *queue
		for i, a := range in.mail.Header.Addresses(name) {
			if i == maxRedirectFields {
				break
			}
			folded := message.Fold(a.Addr)
			q := d.addresses[folded]
			if q == nil {
				q, _ = d.tagged(folded)
			}
			if q != nil && found != nil && q != found {
				found = nil
				break
			}
			if q != nil {
				found = q
			}
		}
		if found != nil {
			return found
		}
	}
	return nil
}

// readRedirect flags a mail that was passed on unchanged.
func (in *incoming) readRedirect() {
	h := in.mail.Header
	if h.Has("Resent-From") || h.Has("Resent-To") || h.Has("X-Forwarded-To") || h.Has("X-Forwarded-For") {
		in.mark(flagRedirected)
	}
}
