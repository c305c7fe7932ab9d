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
	wide   bool // says less than a code about the address does
}{
	{"system", []string{"couldn't create", "can't create", "cannot create", "i/o error", "configuration error", "disk full", "read-only file", "insufficient disk", "internal error", "unable to open"}, false},
	{"policy", []string{"recipient preferences", "sender address", "sender domain", "domain of sender", "sender rejected", "sender denied"}, false},
	{"auth_failure", []string{"dmarc", "spf ", "spf:", "spf fail", "dkim", "sender policy framework", "unauthenticated", "not pass authentication", "authentication information"}, false},
	{"reputation", []string{"reputation", "poor reputation", "bad reputation", "senderscore"}, false},
	{"blocked", []string{"blacklist", "blocklist", "block list", "black list", "blocked", "spamhaus", "rbl", "is listed", "listed at", "listed by", "listed in a", "listed on", "banned", "ip address", "dnsbl", "reverse dns", "ptr record", "reverse host"}, false},
	{"virus", []string{"virus", "malware"}, false},
	{"spam", []string{"spam", "unsolicited", "junk", "bulk mail"}, false},
	{"mailbox_full", []string{"mailbox full", "mailbox is full", "over quota", "overquota", "quota exceeded", "exceeded storage", "quota", "insufficient space", "not enough storage", "insufficient storage", "mailbox exceeds", "full mailbox"}, false},
	{"too_big", []string{"too large", "too big", "size limit", "message size", "exceeds maximum", "exceeds size", "max message size"}, false},
	{"rate", []string{"too many", "rate limit", "too fast", "throttl", "limit exceeded", "slow down", "try again later"}, false},
	{"relay_denied", []string{"relay", "not permitted to relay"}, false},
	{"tls", []string{"starttls", "tls required", "must issue a starttls"}, false},
	{"suspended", []string{"disabled", "suspend", "inactive", "deactivated", "not active", "locked", "expired account", "account has expired", "account expired", "no longer active", "closed"}, false},
	{"no_mail", []string{"null mx", "nullmx", "does not accept mail", "does not accept email", "doesn't accept mail"}, false},
	{"network", []string{"unexpected name server reply", "host not found, try again", "temporary lookup failure"}, false},
	{"host_unknown", []string{"host unknown", "unknown host", "host or domain name not found", "domain not found", "name or service not known", "no such domain", "host not found", "unrouteable mail domain", "unrouteable address", "domain does not exist", "nxdomain", "hostname unknown", "no mx", "unable to resolve", "domain is not reachable", "bad destination host", "bad address syntax in domain"}, false},
	{"user_unknown", []string{"user unknown", "unknown user", "no such user", "user not found", "recipient unknown", "unknown recipient", "unknown address", "address unknown", "does not exist", "no such recipient", "no mailbox", "mailbox not found",
		"no such address", "recipient not found", "mailbox unavailable", "invalid recipient", "invalid address", "invalid mailbox", "address rejected", "recipient rejected", "unknown local", "not known here", "doesn't have a", "no account", "not a valid", "not exist",
		"unknown account", "no such mailbox", "user doesn't exist", "addressee unknown", "not listed in", "recipnotfound", "notinaddresslist"}, false},
	{"content", []string{"content", "attachment", "message rejected", "header"}, true},
	{"policy", []string{"policy", "not allowed", "denied", "restricted", "not permitted", "administrative", "prohibit", "rejected", "refused"}, true},
	{"network", []string{"connection refused", "connection timed out", "timed out", "no route to host", "connection reset", "lost connection", "network is unreachable", "could not connect"}, true},
	{"expired", []string{"expired", "delivery time", "retry timeout", "retry time", "message could not be delivered for", "giving up", "hop count"}, true},
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

// exactStatuses are trusted more than any words around them.
var exactStatuses = map[string]bool{"1.7": true, "1.8": true, "1.6": true, "1.10": true, "2.2": true, "2.3": true, "3.4": true, "4.6": true, "4.7": true, "7.26": true}

// reasonOf names why a mail did not arrive: user_unknown host_unknown moved
// no_mail suspended mailbox_full too_big rate spam virus content policy blocked
// reputation auth_failure relay_denied tls network system loop expired, or
// delivered, or other.
func reasonOf(r BounceRecipient) string {
	switch r.Action {
	case "delivered", "relayed", "expanded":
		return "delivered"
	}
	_, detail, _ := strings.Cut(r.Status, ".")
	if exactStatuses[detail] {
		return statusReasons[detail]
	}
	// Policies borrow the codes for addresses, so words outweigh those, but only
	// words that clearly speak of something else.
	low := strings.ToLower(r.Diagnostic)
	for _, c := range reasonWords {
		if !containsAny(low, c.words) {
			continue
		}
		if c.wide && addressReason(statusReasons[detail]) {
			break
		}
		if hardReasons[c.reason] && strings.HasPrefix(detail, "7.") {
			break // the code speaks of policy: the address may be alive
		}
		return c.reason
	}
	if reason, ok := statusReasons[detail]; ok {
		return reason
	}
	return "other"
}

func addressReason(r string) bool {
	return r == "user_unknown" || r == "host_unknown" || r == "suspended"
}
