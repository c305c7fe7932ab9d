package message

import (
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// FeedbackReport is a report of a complaint or of failed authentication
// (RFC 5965, RFC 6591, RFC 6650). What it does not state is empty.
type FeedbackReport struct {
	Type             string     // abuse fraud virus other not-spam auth-failure …, lower case
	Version          int        // 1 when absent
	UserAgent        string     // the program that wrote the report
	SourceIP         netip.Addr // from which the mail came
	SourcePort       int
	OriginalMailFrom string   // address; "" for the null sender, too
	OriginalRcptTo   []string // addresses
	EnvelopeID       string
	ReportingMTA     string // without its type
	ArrivalDate      time.Time
	Incidents        int // how many like it the report stands for, at least 1
	ReportedDomains  []string
	ReportedURIs     []string

	AuthResults       []string // Authentication-Results, unfolded
	AuthFailure       string   // adsp bodyhash revoked signature spf dmarc, lower case
	DeliveryResult    string   // delivered spam policy reject other, lower case
	IdentityAlignment []string // dkim, spf; none
	DKIMDomain        string
	DKIMIdentity      string
	DKIMSelector      string
	DKIMSelectorDNS   string
	DKIMADSPDNS       string
	DKIMHeader        string // DKIM-Canonicalized-Header, base64 without blanks
	DKIMBody          string // DKIM-Canonicalized-Body, base64 without blanks
	SPFDNS            string

	Returned       []string // Message-IDs found in the returned mail
	ReturnedHeader Header   // of the returned mail
}

// Bounds of what one feedback report can make us keep.
const (
	maxFeedbackList  = 100
	maxFeedbackValue = 2000
	maxFeedbackBody  = 64 << 10
)

// ParseFeedback reads a feedback report; nil if the mail is none. A report
// inside an attached mail is not this mail's report.
func ParseFeedback(m *Mail) *FeedbackReport {
	part := findType(m.Root, "message/feedback-report")
	if part == nil {
		if f := complaintNotice(m); f != nil {
			return f
		}
		return returnedComplaint(m)
	}
	raw, _ := io.ReadAll(io.LimitReader(m.Open(part), maxStatusBytes))
	h := fieldsOf(strings.TrimLeft(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n"))
	f := &FeedbackReport{
		Type:             firstWord(h, "Feedback-Type"),
		Version:          max(number(h, "Version"), 1),
		UserAgent:        value(h, "User-Agent"),
		SourceIP:         sourceIP(h.Get("Source-IP")),
		SourcePort:       number(h, "Source-Port"),
		OriginalMailFrom: reportedAddress(h.Get("Original-Mail-From")),
		EnvelopeID:       value(h, "Original-Envelope-Id"),
		ReportingMTA:     afterType(value(h, "Reporting-MTA")),
		Incidents:        max(number(h, "Incidents"), 1),
		ReportedDomains:  values(h, "Reported-Domain"),
		ReportedURIs:     values(h, "Reported-URI"),
		AuthResults:      values(h, "Authentication-Results"),
		AuthFailure:      firstWord(h, "Auth-Failure"),
		DeliveryResult:   firstWord(h, "Delivery-Result"),
		DKIMDomain:       value(h, "DKIM-Domain"),
		DKIMIdentity:     value(h, "DKIM-Identity"),
		DKIMSelector:     value(h, "DKIM-Selector"),
		DKIMSelectorDNS:  value(h, "DKIM-Selector-DNS"),
		DKIMADSPDNS:      value(h, "DKIM-ADSP-DNS"),
		DKIMHeader:       unspacedValue(h, "DKIM-Canonicalized-Header"),
		DKIMBody:         unspacedValue(h, "DKIM-Canonicalized-Body"),
		SPFDNS:           value(h, "SPF-DNS"),
	}
	for _, v := range h.All("Original-Rcpt-To") {
		if a := reportedAddress(v); a != "" && len(f.OriginalRcptTo) < maxFeedbackList {
			f.OriginalRcptTo = append(f.OriginalRcptTo, a)
		}
	}
	for _, w := range strings.Split(h.Get("Identity-Alignment"), ",") {
		if w = strings.ToLower(strings.TrimSpace(w)); w != "" && len(f.IdentityAlignment) < 4 {
			f.IdentityAlignment = append(f.IdentityAlignment, cutRunes(cleanLine(w), 20))
		}
	}
	for _, name := range [...]string{"Arrival-Date", "Received-Date"} { // the second was the name in drafts
		if t, ok := ParseDate(h.Get(name)); ok && f.ArrivalDate.IsZero() {
			f.ArrivalDate = t
		}
	}
	if f.Type == "" {
		f.Type = "other"
	}
	returned := returnedHeaders(m)
	f.Returned = idsOf(returned)
	if len(returned) > 0 {
		f.ReturnedHeader = returned[0]
	}
	return f
}

// returnedComplaint reads the complaints of Microsoft's consumer mail: no report,
// but the mail complained about, marked with the recipient.
func returnedComplaint(m *Mail) *FeedbackReport {
	subject, ok := strings.CutPrefix(strings.ToLower(m.Header.Text("Subject")), "complaint about message from ")
	if !ok {
		return nil
	}
	for _, h := range returnedHeaders(m) {
		rcpt := h.Addresses("X-HmXmrOriginalRecipient")
		if len(rcpt) == 0 {
			continue
		}
		f := &FeedbackReport{Type: "abuse", Version: 1, Incidents: 1, SourceIP: sourceIP(subject), OriginalRcptTo: []string{rcpt[0].Addr}, Returned: idsOf([]Header{h}), ReturnedHeader: h}
		f.ArrivalDate, _ = m.Header.Date()
		return f
	}
	return nil
}

// bounce is the report as the API shows it: its kind and whom it concerns. If it
// does not name the recipient, the one of the returned mail counts.
func (f *FeedbackReport) bounce(m *Mail) *Bounce {
	b := &Bounce{FeedbackType: f.Type, Recipients: []BounceRecipient{}, Returned: f.Returned}
	rcpts := f.OriginalRcptTo
	if len(rcpts) == 0 {
		for _, name := range [...]string{"Delivered-To", "X-Original-To", "To"} {
			if list := f.ReturnedHeader.Addresses(name); len(list) == 1 {
				rcpts = []string{list[0].Addr}
				break
			}
		}
	}
	for _, a := range rcpts {
		r := BounceRecipient{Address: a, Action: "delivered", Status: "2.0.0", Reason: "complaint", Diagnostic: f.UserAgent}
		if f.DeliveryResult == "reject" {
			r.Action, r.Status = "failed", "5.7.1"
		}
		if f.Type == "auth-failure" {
			r.Reason = "auth_failure"
		}
		b.Recipients = append(b.Recipients, r)
	}
	return b
}

// value is a field as one clean line, bounded.
func value(h Header, name string) string { return cutRunes(cleanLine(h.Get(name)), maxFeedbackValue) }

func values(h Header, name string) []string {
	var all []string
	for _, v := range h.All(name) {
		if v = cutRunes(cleanLine(v), maxFeedbackValue); v != "" && len(all) < maxFeedbackList {
			all = append(all, v)
		}
	}
	return all
}

func firstWord(h Header, name string) string {
	w, _ := parseParams(h.Get(name))
	return cutRunes(cleanLine(w), 60)
}

func number(h Header, name string) int {
	w, _ := parseParams(h.Get(name))
	n, err := strconv.Atoi(w)
	if err != nil || n < 0 || n > 1<<30 {
		return 0
	}
	return n
}

// afterType takes "dns; mx.example" apart.
func afterType(v string) string {
	if _, rest, ok := strings.Cut(v, ";"); ok {
		return strings.TrimSpace(rest)
	}
	return v
}

// sourceIP reads an address that may bear a comment or brackets.
func sourceIP(v string) netip.Addr {
	v, _, _ = strings.Cut(strings.Trim(v, " \t["), " ")
	v, _, _ = strings.Cut(v, "]")
	v, _ = cutAny(v, "IPv6:", "ipv6:")
	ip, err := netip.ParseAddr(v)
	if err != nil || ip.Zone() != "" {
		return netip.Addr{}
	}
	return ip
}

func unspacedValue(h Header, name string) string {
	v := strings.Join(strings.Fields(h.Get(name)), "")
	if len(v) > maxFeedbackBody {
		return ""
	}
	return cleanLine(v)
}
