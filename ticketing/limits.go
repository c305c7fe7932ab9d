package ticketing

import (
	"strings"
	"unicode/utf8"

	"ticketgate/ticketing/message"
)

// What is kept in rows of what a mail says. A row must stay below
// store.MaxValue whatever arrives; the raw bytes keep everything. JSON at most
// doubles a clipped text, and the sums below stay under half of the limit.
const (
	maxSubject          = 900 // bytes
	maxTicketSubject    = 400
	maxName             = 128
	maxAddress          = 254
	maxShown            = 100   // addresses per field
	maxShownBytes       = 10000 // of To and Cc together
	maxFewShown         = 10    // of From and Reply-To
	maxInReplyTo        = 6
	maxReferences       = 50
	maxReferencesBytes  = 6000
	maxEnvelopeTo       = 100
	maxEnvelopeToBytes  = 3000
	maxHELO             = 255
	maxReasons          = 8
	maxReason           = 100
	maxWhy              = 20 // reasons of a trust level
	maxDKIM             = 8
	maxBounced          = 20
	maxDiagnostic       = 300
	maxReferenceTickets = 8
	maxReferred         = 12 // foreign ids of one mail that are looked up and stored
	maxCCs              = 48
	maxFollowers        = 50
	maxLinks            = 100
	maxTags             = 50
	maxTag              = 64
	maxTokens           = 64 // address tokens of one mail that are looked at
	maxSubjectTags      = 4
	maxReceiptBytes     = 24000 // of outcomes in one row
	maxRedirects        = 16    // merged tickets on the way
	maxFlags            = 20
	maxQueues           = 50
	maxMerged           = 100 // tickets merged into one
	maxTasks            = 200 // of one ticket
	maxTimes            = 500 // time entries of one ticket
)

// FlagRecipientsCut says that a message's To and Cc are longer than shown.
const FlagRecipientsCut = "recipients_cut"

// clip returns at most n bytes of s as valid UTF-8 on one line.
func clip(s string, n int) string {
	if clean(s) {
		return cut(s, n)
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case r < 0x20 || r >= 0x7f && r < 0xa0:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	return cut(s, n)
}

func clean(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// clipAll keeps up to count entries of at most each bytes and total bytes
// together.
func clipAll(list []string, count, each, total int) []string {
	var out []string
	for _, s := range list {
		if s = clip(s, each); len(out) == count || len(s) > total {
			break
		}
		total -= len(s)
		out = append(out, s)
	}
	return out
}

// clipIDs keeps Message-IDs whole or not at all.
func clipIDs(list []string, count, total int) []string {
	var out []string
	for _, s := range list {
		if len(s) > maxID || !utf8.ValidString(s) {
			continue
		}
		if len(out) == count || len(s) > total {
			break
		}
		total -= len(s)
		out = append(out, s)
	}
	return out
}

// clipAddress returns an address fit for a row; ok is false if it cannot be
// mailed to.
func clipAddress(a message.Address) (_ message.Address, ok bool) {
	a.Name = strings.TrimSpace(clip(a.Name, maxName))
	if len(a.Addr) > maxAddress || !utf8.ValidString(a.Addr) || strings.ContainsFunc(a.Addr, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return message.Address{Name: a.Name}, false
	}
	at := strings.LastIndexByte(a.Addr, '@')
	return a, at > 0 && at < len(a.Addr)-1
}

// clipAddresses keeps what fits of a field and takes it from the budget.
func clipAddresses(list []message.Address, count int, budget *int) (out []message.Address, whole bool) {
	for _, a := range list {
		a, _ = clipAddress(a)
		size := len(a.Name) + len(a.Addr) + 30
		if len(out) == count || size > *budget {
			return out, false
		}
		*budget -= size
		out = append(out, a)
	}
	return out, true
}

func clipVerdict(v Verdict) Verdict {
	one := func(r AuthResult) AuthResult {
		return AuthResult{Result: clip(r.Result, 20), Domain: clip(r.Domain, 100), Selector: clip(r.Selector, 70),
			Policy: clip(r.Policy, 20), Disposition: clip(r.Disposition, 20), Reason: clip(r.Reason, maxReason)}
	}
	v.SPF, v.DMARC, v.IPRev = one(v.SPF), one(v.DMARC), one(v.IPRev)
	v.Reasons = clipAll(v.Reasons, maxWhy, 2*maxReason, maxWhy*maxReason)
	var keep []AuthResult
	for _, r := range v.DKIM[:min(len(v.DKIM), maxDKIM)] {
		keep = append(keep, one(r))
	}
	v.DKIM = keep
	return v
}

func clipBounce(b *message.Bounce) *message.Bounce {
	if b == nil {
		return nil
	}
	out := &message.Bounce{FeedbackType: clip(b.FeedbackType, 40), Recipients: []message.BounceRecipient{}}
	for _, r := range b.Recipients[:min(len(b.Recipients), maxBounced)] {
		r.Address = clip(r.Address, maxAddress)
		r.Action, r.Status = clip(r.Action, 20), clip(r.Status, 20)
		r.Reason, r.Diagnostic = clip(r.Reason, 60), clip(r.Diagnostic, maxDiagnostic)
		out.Recipients = append(out.Recipients, r)
	}
	return out
}

func clipAutomatic(a message.Automatic) message.Automatic {
	return message.Automatic{Class: a.Class, Reasons: clipAll(a.Reasons, maxReasons, maxReason, maxReasons*maxReason)}
}
