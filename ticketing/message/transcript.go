package message

import "strings"

// transcript follows an SMTP session as sendmail and filters (">>>" and "<<<")
// and Postfix ("In:" and "Out:") print it, and sendmail's own verdicts under it
// ("550 <a@b>... User unknown").
type transcript struct {
	said     []*textEntry // recipients in order of appearance
	byAddr   map[string]*textEntry
	accepted []string // recipients of the session so far
	last     string   // the last of them
	data     bool     // the session is past its recipients
	reply    string   // the last error of the other side
}

// line takes a line of the session; false if it is none.
func (x *transcript) line(s string) bool {
	if rest, ok := cutAny(s, ">>> ", "In: ", "Sent >>> "); ok {
		return x.command(strings.TrimSpace(rest))
	}
	// MDaemon prints the time before "-->" and "<--".
	if _, rest, ok := strings.Cut(s[:min(len(s), 400)], "--> "); ok && x.command(strings.TrimSpace(rest)) {
		return true
	}
	if _, rest, ok := strings.Cut(s[:min(len(s), 400)], "<-- "); ok {
		x.answer(strings.TrimSpace(rest))
		return true
	}
	if rest, ok := cutAny(s, "<<< ", "Out: ", "Received <<< "); ok {
		x.answer(strings.TrimSpace(rest))
		return true
	}
	if strings.HasPrefix(s, "While talking to ") || strings.HasPrefix(s, "... while talking to ") {
		x.accepted, x.last, x.data, x.reply = nil, "", false, ""
		return true
	}
	return x.verdict(s)
}

// command takes what our side's system said; false if it is no SMTP.
func (x *transcript) command(s string) bool {
	verb, _, _ := strings.Cut(s, " ")
	switch strings.ToUpper(verb) {
	case "RCPT":
		if _, rest, ok := strings.Cut(s, ":"); ok {
			a, _, _ := strings.Cut(strings.TrimLeft(rest, "< "), ">")
			a, _, _ = strings.Cut(a, " ")
			if bareAddress(a) && len(x.accepted) < maxBounceRecipients {
				x.last = a
				x.accepted = append(x.accepted, a)
			}
		}
	case "MAIL", "EHLO", "HELO", "XFORWARD", "RSET", "QUIT":
		x.last = ""
	case "DATA", "BDAT", ".":
		x.data = true
	default:
		return false
	}
	return true
}

// answer takes what the other side said.
func (x *transcript) answer(s string) {
	code := smtpCode(s[:min(len(s), 4)])
	if code == 0 {
		return
	}
	x.reply = s
	switch {
	case x.data:
		for _, a := range x.accepted {
			x.entry(a).add(s)
		}
		x.accepted = nil
	case x.last != "":
		x.entry(x.last).add("RCPT TO: " + s)
		x.accepted = x.accepted[:len(x.accepted)-1]
		x.last = ""
	}
}

// verdict takes "550 5.1.1 <a@b>... User unknown".
func (x *transcript) verdict(s string) bool {
	if len(s) < 8 || smtpCode(s[:4]) == 0 {
		return false
	}
	rest := strings.TrimSpace(s[4:])
	if code := codeAt(rest); code != "" {
		rest = strings.TrimSpace(rest[len(code):])
	}
	who, text, ok := strings.Cut(rest, "... ")
	who = strings.Trim(who, "<>")
	if !ok || !bareAddress(who) {
		return false
	}
	e := x.entry(who)
	if x.reply != "" && len(e.lines) == 0 {
		e.add(x.reply)
	}
	if smtpCode(text) != 0 && len(e.lines) == 0 {
		e.add(text)
	}
	e.add(s)
	x.reply = ""
	return true
}

func (x *transcript) entry(addr string) *textEntry {
	key := strings.ToLower(addr)
	if e := x.byAddr[key]; e != nil {
		return e
	}
	if x.byAddr == nil {
		x.byAddr = map[string]*textEntry{}
	}
	e := &textEntry{addr: addr, kind: inSession}
	if len(x.said) < maxBounceRecipients {
		x.said = append(x.said, e)
		x.byAddr[key] = e
	}
	return e
}
