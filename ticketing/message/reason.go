package message

import "strings"

// hardReasons mean that the address is dead: it does not exist, its domain does
// not, or its domain takes no mail. Everything else can heal.
var hardReasons = map[string]bool{"user_unknown": true, "host_unknown": true, "moved": true, "no_mail": true}

// reasonWords map what mail systems say to a reason. The first hit wins, so
// narrow phrases stand before wide ones.
var reasonWords = []struct {
	reason string
	words  []string
	wide   bool   // says less than a code about the address does
	within string // counts only under enhanced codes that begin so
}{
	{"system", []string{"mailer error", "system error", "write error", "ldap server", "no such file or directory", "insufficient permission", "couldn't create", "can't create", "cannot create", "i/o error", "configuration error", "disk full", "read-only file", "insufficient disk", "internal error", "unable to open"}, false, ""},
	{"suspended", []string{"account is blocked", "account is locked", "account is temporarily limited", "temporary locked", "temporarily locked", "is frozen", "compte est bloque", "account is disabled"}, false, ""},
	{"rate", []string{"receiving mail at a rate", "frequency limited", "too many connections", "too many messages", "too many recipients"}, false, ""},
	{"blocked", []string{"reverse dns", "ptr record", "reverse host", "rdns", "mismatches client ip", "unverifyable"}, false, ""},
	{"policy", []string{"recipient preferences", "sender verify failed", "sender verification failed", "sender address", "sender domain", "domain of sender", "sender rejected", "sender denied"}, false, ""},
	{"auth_failure", []string{"dmarc", "spf ", "spf:", "spf fail", "dkim", "sender policy framework", "unauthenticated", "not pass authentication", "authentication information"}, false, ""},
	{"reputation", []string{"reputation", "poor reputation", "bad reputation", "senderscore", "unexpected volume", "user complaints"}, false, ""},
	{"blocked", []string{"blacklist", "blocklist", "block list", "black list", "blocked", "spamhaus", "rbl", "is listed", "listed at", "listed by", "listed in a", "listed on", "banned", "your ip address", "sending ip", "ip address is", "dnsbl"}, false, ""},
	{"virus", []string{"virus", "malware"}, false, ""},
	{"spam", []string{"spam", "unsolicited", "junk", "bulk mail"}, false, ""},
	{"mailbox_full", []string{"mailfolder is full", "mailbox exceeded", "mailbox have exceeded", "messages in recipient's mailbox", "out of storage", "storage exceeded", "メールボックスがいっぱい", "容量を超え", "mailbox full", "mailbox is full", "over quota", "overquota", "quota exceeded", "exceeded storage", "quota", "insufficient space", "not enough storage", "insufficient storage", "mailbox exceeds", "full mailbox"}, false, ""},
	{"too_big", []string{"too large", "too big", "size limit", "message size", "exceeds maximum", "exceeds size", "max message size"}, false, ""},
	{"rate", []string{"too many", "rate limit", "too fast", "throttl", "limit exceeded", "slow down"}, false, ""},
	{"relay_denied", []string{"relay", "not permitted to relay"}, false, ""},
	{"tls", []string{"does not support tls", "support starttls", "starttls", "tls required", "must issue a starttls"}, false, ""},
	{"suspended", []string{"账号被停用", "disabled", "suspend", "inactive", "deactivated", "not active", "locked", "expired account", "account has expired", "account expired", "no longer active", "closed"}, false, ""},
	{"no_mail", []string{"no smtp service", "null mx", "nullmx", "does not accept mail", "does not accept email", "doesn't accept mail"}, false, ""},
	{"network", []string{"unexpected name server reply", "host not found, try again", "temporary lookup failure"}, false, ""},
	{"host_unknown", []string{"couldn't find any host", "couldn't find a mail exchanger", "no mail exchanger", "no mail server", "illegal host", "bad domain", "host unknown", "unknown host", "host or domain name not found", "domain not found", "domain doesnt exist", "domain doesn't exist", "name or service not known", "no such domain", "host not found", "unrouteable mail domain", "unrouteable address", "domain does not exist", "nxdomain", "hostname unknown", "no mx", "unable to resolve", "domain is not reachable", "bad destination host", "bad address syntax in domain"}, false, ""},
	{"user_unknown", []string{"unknown or illegal", "name is not recognized", "invalid final delivery", "no valid recipients", "invalid user", "no such person", "user not exist", "unknown mailbox", "no local mailbox", "bad destination mailbox", "couldn't be found", "wasn't found", "cannot be found", "not found at", "no such local", "存在しません", "見つかりません", "не найден", "нет такого пользователя", "не существует", "user unknown", "unknown user", "no such user", "user not found", "recipient unknown", "unknown recipient", "unknown address", "address unknown", "does not exist", "no such recipient", "no mailbox", "mailbox not found",
		"no such address", "recipient not found", "mailbox unavailable", "invalid recipient", "invalid address", "invalid mailbox", "unknown local", "not known here", "doesn't have a", "no account", "not a valid", "not exist",
		"unknown account", "no such mailbox", "user doesn't exist", "addressee unknown", "not listed in", "recipnotfound", "notinaddresslist"}, false, ""},
	{"user_unknown", []string{"address rejected", "recipient rejected"}, false, "1.0"},
	{"content", []string{"message filtered", "content", "attachment", "message rejected", "header"}, true, ""},
	{"policy", []string{"policy", "protocol violation", "smtp authentication", "not allowed", "denied", "restricted", "not permitted", "administrative", "prohibit", "rejected", "refused"}, true, ""},
	{"network", []string{"connection refused", "connection timed out", "timed out", "no route to host", "connection reset", "lost connection", "network is unreachable", "could not connect", "socket error", "did not accept our requests to connect", "unable to connect", "not reachable", "not responding", "to establish an smtp connection", "connection dropped", "deferred: connection"}, true, ""},
	{"loop", []string{"too many hops", "hop count", "mail loop", "routing loop", "loops back to", "loop detected", "duplicated message-id"}, false, ""},
	{"expired", []string{"still undelivered after", "in the queue too long", "not delivered within", "envelope expired", "multiple retries", "message expired", "could not be delivered for", "expired", "delivery time", "retry timeout", "retry time", "message could not be delivered for", "giving up"}, true, ""},
	{"rate", []string{"try again later", "retry later"}, true, ""},
	{"system", []string{"service currently unavailable", "service unavailable", "transaction failed", "temporary failure", "temporarily unavailable"}, true, ""},
}

// statusReasons map enhanced codes without their class digit (RFC 3463).
var statusReasons = map[string]string{
	"1.1": "user_unknown", "1.2": "host_unknown", "1.3": "user_unknown", "1.4": "user_unknown", "1.6": "moved", "1.7": "policy", "1.8": "policy", "1.10": "no_mail",
	"2.1": "suspended", "2.2": "mailbox_full", "2.3": "too_big", "2.4": "mailbox_full",
	"3.1": "system", "3.2": "system", "3.3": "system", "3.4": "too_big", "3.5": "system",
	"4.1": "network", "4.2": "network", "4.3": "network", "4.4": "host_unknown", "4.5": "rate", "4.6": "loop", "4.7": "expired",
	"5.0": "system", "5.1": "system", "5.2": "system", "5.3": "rate", "5.4": "system", "5.6": "system",
	"6.0": "content", "6.1": "content", "6.2": "content", "6.3": "content", "6.5": "content", "6.6": "content",
	"7.0": "policy", "7.1": "policy", "7.2": "policy", "7.7": "content", "7.8": "policy", "7.13": "suspended", "7.17": "suspended", "7.20": "auth_failure", "7.21": "auth_failure",
	"7.22": "auth_failure", "7.23": "auth_failure", "7.24": "auth_failure", "7.25": "blocked", "7.26": "auth_failure", "7.27": "no_mail", "7.28": "rate",
}

// subjectReasons map the subject digit of codes whose detail says nothing.
var subjectReasons = map[string]string{"3": "system", "4": "network", "6": "content", "7": "policy"}

// exactStatuses are trusted more than any words around them.
var exactStatuses = map[string]bool{"1.7": true, "1.8": true, "1.6": true, "2.2": true, "2.3": true, "3.4": true, "4.6": true, "4.7": true, "7.26": true}

// judge fills what follows from action and diagnostic. Status is what the
// report's fields state, phase the part of the SMTP session that failed.
func (r *BounceRecipient) judge(status, phase string) {
	if r.SMTPCode == 0 {
		r.SMTPCode = smtpCode(r.Diagnostic)
	}
	r.Status = exactStatus(status, enhancedCode(r.Diagnostic), r.SMTPCode)
	if code := codeBefore(r.Diagnostic, r.Status); code != 0 {
		r.SMTPCode = code
	}
	r.Reason = reasonOf(*r)
	if r.Status == "" {
		r.Status = derivedStatus(r.Action, r.Reason)
	}
	if p := phaseOf(r.Diagnostic); p != "" {
		phase = p
	}
	if phase == "mail" && hardReasons[r.Reason] {
		r.Reason = "policy" // what does not exist is the sender
	}
	r.Hard = r.Action == "failed" && hardReasons[r.Reason] && r.certain(phase)
}

// certain tells whether a report that names the address as dead can be believed:
// a code for addresses says so, or the system that answers for the address said
// it when asked for the recipient. "User unknown" after the text of the mail is
// what filters say.
func (r *BounceRecipient) certain(phase string) bool {
	if r.Reason != "user_unknown" || r.SMTPCode == 0 || phase == "rcpt" {
		return true
	}
	_, detail, _ := strings.Cut(r.Status, ".")
	return strings.HasPrefix(detail, "1.") || addressReason(statusReasons[detail])
}

// phases are the words by which mail systems tell at which step of the session
// they were refused.
var phases = []struct {
	phase string
	words []string
}{
	{"rcpt", []string{"in reply to rcpt to", "after rcpt to", "rcpt to response", "our rcpt to", "[rcpt_to]", "does not like recipient", "smtp:rcpt", "during rcpt to", "rcpt to:", "after rcpt command"}},
	{"data", []string{"in reply to end of data", "in reply to data", "after end of data", "our final data", "our data", "after i sent the message", "[data]", "after data", "smtp:data", "smtp command data", ">>> data"}},
	{"mail", []string{"in reply to mail from", "after mail from", "our mail from", "[mail_from]", "sender was rejected", "smtp:mail"}},
}

func phaseOf(text string) string {
	low := strings.ToLower(text)
	for _, p := range phases {
		if containsAny(low, p.words) {
			return p.phase
		}
	}
	return ""
}

// reasonOf names why a mail did not arrive: user_unknown host_unknown moved
// no_mail suspended mailbox_full too_big rate spam virus content policy blocked
// reputation auth_failure relay_denied tls network system loop expired, or
// delivered, complaint, or other.
func reasonOf(r BounceRecipient) string {
	switch r.Action {
	case "delivered", "relayed", "expanded":
		return "delivered"
	}
	_, detail, _ := strings.Cut(r.Status, ".")
	if exactStatuses[detail] {
		return statusReasons[detail]
	}
	low := wordsOf(r.Diagnostic)
	if _, at := findSMTPCode(low); at > 0 { // what stands before the code is prose of the reporter
		if reason := reasonBy(low[at:], detail); reason != "" {
			return reason
		}
	}
	if reason := reasonBy(low, detail); reason != "" {
		return reason
	}
	if reason, ok := statusReasons[detail]; ok {
		return reason
	}
	subject, _, _ := strings.Cut(detail, ".")
	if reason, ok := subjectReasons[subject]; ok && !strings.HasSuffix(r.Status, ".0.0") {
		return reason
	}
	return "other"
}

// reasonBy goes by words. Policies borrow the codes for addresses, so words
// outweigh those, but only words that clearly speak of something else.
func reasonBy(low, detail string) string {
	for _, c := range reasonWords {
		if c.within != "" && !strings.HasPrefix(detail, c.within) || !containsAny(low, c.words) {
			continue
		}
		if code := statusReasons[detail]; c.wide && (addressReason(code) || code == "content" && !strings.HasPrefix(detail, "7.")) {
			break
		}
		if hardReasons[c.reason] && strings.HasPrefix(detail, "7.") {
			break // the code speaks of policy: the address may be alive
		}
		return c.reason
	}
	return ""
}

// reasonInWords is the reason that a text states; "" if none.
func reasonInWords(s string) string { return reasonBy(wordsOf(s), "") }

// wordsOf is a text in lower case without addresses and links: a mailbox may be
// called virus@, a page #mailbox-full.
func wordsOf(s string) string {
	low := strings.ToLower(s)
	if !strings.Contains(low, "@") && !strings.Contains(low, "://") {
		return low
	}
	words := strings.Fields(low)
	for i, w := range words {
		if strings.Contains(w, "@") || strings.Contains(w, "://") {
			words[i] = "…"
		}
	}
	return strings.Join(words, " ")
}

func addressReason(r string) bool {
	return r == "user_unknown" || r == "host_unknown" || r == "suspended"
}
