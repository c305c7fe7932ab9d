package message

import "strings"

// smtpCode finds the first reply code (4xx or 5xx) that stands alone.
func smtpCode(s string) int {
	code, _ := findSMTPCode(s)
	return code
}

// findSMTPCode also tells where the code stands; -1 if there is none.
func findSMTPCode(s string) (code, at int) {
	for i := 0; i+3 <= len(s); i++ {
		if c := s[i]; c != '4' && c != '5' || i > 0 && !startsCode(s[i-1]) && !hashBefore(s[:i]) {
			continue
		}
		if digit(s[i+1]) && s[i+1] <= '5' && digit(s[i+2]) && (i+3 == len(s) || strings.IndexByte(" -):,#]\t;", s[i+3]) >= 0) {
			return int(s[i]-'0')*100 + int(s[i+1]-'0')*10 + int(s[i+2]-'0'), i
		}
	}
	return 0, -1
}

// hashBefore tells "#550" of Exchange from an anchor in a link.
func hashBefore(s string) bool {
	return strings.HasSuffix(s, "#") && (len(s) == 1 || s[len(s)-2] == ' ' || s[len(s)-2] == '<')
}

// codeBefore is the reply code that stands before an enhanced code: of several
// replies in a diagnostic, the one that the status is taken from.
func codeBefore(s, status string) int {
	at := strings.Index(s, status)
	if status == "" || at < 4 || strings.IndexByte(" -", s[at-1]) < 0 || at > 4 && !startsCode(s[at-5]) {
		return 0
	}
	return smtpCode(s[at-4 : at])
}

// startsCode tells whether a reply code may follow c: it is no part of a
// number, a size, an identifier or a path.
func startsCode(c byte) bool {
	return !digit(c) && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && strings.IndexByte(".-=/_+@#", c) < 0
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// enhancedCode finds the first x.y.z with x of 2, 4 or 5 that is not part of a
// longer number (an IP address). One that says little yields to a later one: a
// relay's own code often stands before the remote system's.
func enhancedCode(s string) string {
	best := ""
	for i := 0; i < len(s); i++ {
		if s[i] != '2' && s[i] != '4' && s[i] != '5' || i > 0 && (digit(s[i-1]) || s[i-1] == '.' || s[i-1] == '-' && i > 1 && digit(s[i-2]) && !replyBefore(s[:i-1])) {
			continue
		}
		code := codeAt(s[i:])
		if code == "" {
			continue
		}
		if exactness(code) == maxExactness {
			return code
		}
		if best == "" || exactness(code) > exactness(best) {
			best = code
		}
		i += len(code)
	}
	return best
}

// replyBefore tells whether s ends with a reply code: "550" of "550-5.1.1".
func replyBefore(s string) bool {
	n := len(s)
	return n >= 3 && (s[n-3] == '4' || s[n-3] == '5' || s[n-3] == '2') && digit(s[n-2]) && digit(s[n-1]) && (n == 3 || !digit(s[n-4]))
}

// codeAt returns the enhanced code that s begins with.
func codeAt(s string) string {
	j := 1
	for range 2 {
		k := j + 1
		for k < len(s) && k < j+4 && digit(s[k]) {
			k++
		}
		if j >= len(s) || s[j] != '.' || k == j+1 {
			return ""
		}
		j = k
	}
	if j < len(s) && (digit(s[j]) || s[j] == '.' && j+1 < len(s) && digit(s[j+1])) {
		return ""
	}
	return s[:j]
}

// exactStatus prefers what says more: x.0.0, x.1.0, x.4.7 and a missing status
// yield to the code in the diagnostic, and a reply code alone gives x.0.0.
func exactStatus(field, diag string, smtp int) string {
	switch {
	case field == "" && diag == "":
		switch smtp / 100 {
		case 4:
			return "4.0.0"
		case 5:
			return "5.0.0"
		}
		return ""
	case field == "" || diag != "" && exactness(diag) > exactness(field):
		return diag
	}
	return field
}

const maxExactness = 3

// exactness ranks codes: x.0.0 says nothing, x.1.0 only that it is the address,
// x.4.7 that time ran out but not why.
func exactness(code string) int {
	switch {
	case strings.HasSuffix(code, ".0.0"):
		return 0
	case strings.HasSuffix(code, ".1.0"):
		return 1
	case strings.HasSuffix(code, ".4.7") && len(code) == 5:
		return 2
	}
	return maxExactness
}

// reasonStatus is the detail of an enhanced code (RFC 3463) that says what a
// reason says; it serves where a report states no code at all.
var reasonStatus = map[string]string{
	"user_unknown": "1.1", "host_unknown": "1.2", "moved": "1.6", "no_mail": "1.10", "suspended": "2.1", "mailbox_full": "2.2", "too_big": "3.4",
	"network": "4.1", "loop": "4.6", "expired": "4.7", "rate": "4.5", "system": "3.0", "content": "6.0", "spam": "7.1", "virus": "7.1", "policy": "7.1",
	"blocked": "7.1", "reputation": "7.1", "relay_denied": "7.1", "auth_failure": "7.26", "tls": "7.10",
}

// derivedStatus makes a status for a report that states none.
func derivedStatus(action, reason string) string {
	detail, ok := reasonStatus[reason]
	if !ok {
		detail = "0.0"
	}
	switch action {
	case "delayed":
		return "4." + detail
	case "failed":
		return "5." + detail
	}
	return "2.0.0"
}

// action brings the words that mail systems use to those of RFC 3464 §2.3.3.
func action(v, status string) string {
	w, _ := parseParams(v)
	switch {
	case strings.HasPrefix(w, "fail"), w == "expired", w == "undeliverable":
		return "failed"
	case strings.HasPrefix(w, "delay"), w == "deferred":
		return "delayed"
	case strings.HasPrefix(w, "deliver"):
		return "delivered"
	case strings.HasPrefix(w, "relay"):
		return "relayed"
	case strings.HasPrefix(w, "expand"):
		return "expanded"
	case strings.HasPrefix(status, "2"):
		return "delivered"
	case strings.HasPrefix(status, "4"):
		return "delayed"
	}
	return "failed"
}
