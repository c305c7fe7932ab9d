package message

import "strings"

// Automatic says what kind of machine wrote a mail, if one did.
type Automatic struct {
	Class   string   `json:"class"`   // none autoreply bounce delayed feedback notification bulk list
	Reasons []string `json:"reasons"` // the headers that say so
}

// Classify applies the table of REQUIREMENTS §7 to a mail's header and its
// envelope sender ("" = null). First that applies in the order bounce, delayed,
// feedback, autoreply, list, bulk, notification.
//
// A null envelope sender alone makes a bounce, unless the mail says of itself
// that it is a feedback report, a receipt, an answer of a vacation program or
// an alarm: such programs use the null sender too, as RFC 3834 advises.
func Classify(m *Mail, envelopeFrom string) Automatic {
	c := classifier{m: m, null: nullSender(envelopeFrom)}
	for _, rule := range [...]func() string{c.bounce, c.feedback, c.autoreply, c.nullSender, c.list, c.notification} {
		c.reasons = nil
		if class := rule(); class != "" {
			return Automatic{Class: class, Reasons: c.reasons}
		}
	}
	return Automatic{Class: "none", Reasons: []string{}}
}

type classifier struct {
	m       *Mail
	null    bool
	reasons []string
}

// maxReason keeps a hostile header out of the records.
const maxReason = 120

func (c *classifier) because(reason string) bool {
	c.reasons = append(c.reasons, cutRunes(cleanLine(reason), maxReason))
	return true
}

// header notes a field as the reason if it exists.
func (c *classifier) header(name string) bool {
	return c.m.Header.Has(name) && c.because(name+": "+c.m.Header.Get(name))
}

// word returns the first word of a field in lower case: "auto-replied" of
// "Auto-Replied (vacation)". Of several fields one that does not say "no" counts.
func (c *classifier) word(name string) string {
	found := ""
	for _, v := range c.m.Header.All(name) {
		w, _ := parseParams(v)
		w, _, _ = strings.Cut(strings.Trim(w, "\" \t"), ",")
		if found == "" || found == "no" {
			found = strings.TrimSpace(w)
		}
	}
	return found
}

func (c *classifier) reportType() string {
	if c.m.Root == nil || c.m.Root.Type != "multipart/report" {
		return ""
	}
	return strings.ToLower(c.m.Root.Params["report-type"])
}

func (c *classifier) bounce() string {
	b := readBounce(c.m, c.null || nullReturnPath(c.m))
	switch {
	case b != nil && b.FeedbackType != "":
		return ""
	case c.reportType() == "delivery-status":
		c.because("Content-Type: multipart/report; report-type=delivery-status")
	case b == nil:
		return ""
	case len(statusParts(c.m.Root)) > 0:
		if !c.null && originOf(c.m, false) == fromAnyone {
			return "" // a person sent the report on
		}
		c.because("part of type message/delivery-status")
	default:
		c.bounceSigns()
	}
	if c.null {
		c.because("null envelope sender")
	}
	if b == nil || len(b.Recipients) == 0 {
		if subjectOfMTA(c.m.Header.Text("Subject")) == "delayed" {
			return "delayed"
		}
		return "bounce"
	}
	for _, r := range b.Recipients {
		if r.Action != "delayed" {
			return "bounce"
		}
	}
	c.because("Action: delayed")
	return "delayed"
}

// bounceSigns notes what makes a mail without report fields a bounce.
func (c *classifier) bounceSigns() {
	c.header("X-Failed-Recipients")
	if subject := c.m.Header.Text("Subject"); subjectOfMTA(subject) != "" {
		c.because("Subject: " + subject)
	}
	if systemAuthor(c.m.Header) != fromAnyone {
		c.header("From")
	}
	if len(c.reasons) == 0 {
		c.because("the text of a mail system that returns mail")
	}
}

func (c *classifier) nullSender() string {
	switch c.word("Auto-Submitted") {
	case "", "no":
	default:
		return ""
	}
	if c.null {
		c.because("null envelope sender")
		return "bounce"
	}
	return ""
}

func (c *classifier) feedback() string {
	switch {
	case c.reportType() == "feedback-report" || findType(c.m.Root, "message/feedback-report") != nil:
		c.because("Content-Type: multipart/report; report-type=feedback-report")
	case ParseFeedback(c.m) != nil:
		c.because("complaint in the form of a provider: " + c.m.Header.Text("Subject"))
	default:
		return ""
	}
	return "feedback"
}

// autoReplyHeaders say by their presence that a program answered.
var autoReplyHeaders = []string{"X-Autoreply", "X-Autorespond", "X-Autoresponder", "X-Mail-Autoreply", "X-MS-Exchange-Inbox-Rules-Loop"}

// vacationWords in a subject are what people's vacation programs write; people
// write them too, so they need a second signal.
var vacationWords = []string{"out of office", "out of the office", "automatic reply", "autoreply", "auto-reply", "auto reply", "autoresponse", "vacation", "away from my mail",
	"out-of-office", "away until", "on annual leave", "automatische antwort", "abwesenheit", "abwesend", "nicht im büro", "réponse automatique", "absence du bureau", "respuesta automática", "fuera de la oficina", "risposta automatica", "fuori sede",
	"resposta automática", "automatisch antwoord", "afwezigheid", "autosvar", "automatiskt svar", "automaattinen vastaus", "odpowiedź automatyczna", "automatická odpověď", "автоответ", "автоматический ответ", "в отпуске", "nieobecność", "otomatik yanıt", "automatisk svar", "automatické odpoved", "automatikus válasz", "自动回复", "自動回覆", "自動返信", "自動応答", "不在通知", "자동 회신", "부재중"}

func (c *classifier) autoreply() string {
	found := false
	if c.reportType() == "disposition-notification" {
		found = c.because("Content-Type: multipart/report; report-type=disposition-notification")
	}
	switch c.word("Auto-Submitted") {
	case "", "no", "auto-generated":
	default:
		found = c.header("Auto-Submitted") || found
	}
	for _, h := range autoReplyHeaders {
		if c.m.Header.Has(h) && c.word(h) != "no" {
			found = c.header(h) || found
		}
	}
	if c.word("X-Autogenerated") == "reply" {
		found = c.header("X-Autogenerated") || found
	}
	switch c.word("Precedence") {
	case "auto_reply", "auto-reply":
		found = c.header("Precedence") || found
	}
	if found || c.vacation() {
		return "autoreply"
	}
	return ""
}

func (c *classifier) vacation() bool {
	if !containsAny(strings.ToLower(c.m.Header.Text("Subject")), vacationWords) {
		return false
	}
	second := (c.null || nullReturnPath(c.m)) && c.because("null envelope sender")
	for _, h := range [...]string{"X-Auto-Response-Suppress", "X-Autogenerated"} {
		second = second || c.header(h)
	}
	switch c.word("Precedence") {
	case "bulk", "junk":
		second = second || c.header("Precedence")
	}
	if !second && c.word("Auto-Submitted") == "auto-generated" {
		second = c.header("Auto-Submitted")
	}
	return second && c.because("Subject: "+c.m.Header.Text("Subject"))
}

func (c *classifier) list() string {
	prec := c.word("Precedence")
	found := false
	for _, h := range [...]string{"List-Id", "List-Post", "Mailing-List"} {
		found = c.header(h) || found
	}
	if prec == "list" {
		found = c.header("Precedence") || found
	}
	if found {
		return "list"
	}
	found = c.header("List-Unsubscribe")
	if prec == "bulk" || prec == "junk" {
		found = c.header("Precedence") || found
	}
	if found {
		return "bulk"
	}
	return ""
}

// machineHeaders are written by programs that announce events.
var machineHeaders = []string{"Feedback-ID", "X-Auto-Response-Suppress", "X-Cron-Env", "X-GitHub-Reason", "X-GitLab-Project", "X-JIRA-FingerPrint", "X-Nagios-Notification-Type",
	"X-Alert", "X-PagerDuty-Event", "X-Jenkins-Job", "X-Autogenerated", "X-Mailgun-Tag", "X-SES-Outgoing"}

func (c *classifier) notification() string {
	found := false
	if w := c.word("Auto-Submitted"); w != "" && w != "no" {
		found = c.header("Auto-Submitted")
	}
	for _, h := range machineHeaders {
		found = c.header(h) || found
	}
	if found {
		return "notification"
	}
	return ""
}

// findType returns the first part of a type in a tree, not looking into nested
// mails: what they report is not what this mail reports.
func findType(p *Part, types ...string) *Part {
	if p == nil {
		return nil
	}
	for _, t := range types {
		if p.Type == t {
			return p
		}
	}
	if isMessage(p.Type) {
		return nil
	}
	for _, c := range p.Parts {
		if f := findType(c, types...); f != nil {
			return f
		}
	}
	return nil
}

// statusParts are the delivery reports of a mail, not those of nested mails.
func statusParts(root *Part) []*Part {
	var all []*Part
	var down func(p *Part)
	down = func(p *Part) {
		if p == nil || len(all) == maxReturned {
			return
		}
		switch {
		case p.Type == "message/delivery-status" || p.Type == "message/global-delivery-status":
			all = append(all, p)
			return
		case isMessage(p.Type):
			return
		}
		for _, c := range p.Parts {
			down(c)
		}
	}
	down(root)
	return all
}
