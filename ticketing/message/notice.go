package message

import (
	"encoding/json"
	"strings"
	"time"
)

// sesNotice is what Amazon's mail service says of a mail when its notices are
// sent as mail: a JSON object at the start of the text.
type sesNotice struct {
	Type      string `json:"notificationType"`
	EventType string `json:"eventType"`
	Bounce    struct {
		Type       string `json:"bounceType"`
		Recipients []struct {
			Address    string `json:"emailAddress"`
			Action     string `json:"action"`
			Status     string `json:"status"`
			Diagnostic string `json:"diagnosticCode"`
		} `json:"bouncedRecipients"`
	} `json:"bounce"`
	Complaint struct {
		Recipients []struct {
			Address string `json:"emailAddress"`
		} `json:"complainedRecipients"`
		Type      string    `json:"complaintFeedbackType"`
		Agent     string    `json:"userAgent"`
		Timestamp time.Time `json:"timestamp"`
	} `json:"complaint"`
	Delivery struct {
		Recipients []string `json:"recipients"`
		Response   string   `json:"smtpResponse"`
	} `json:"delivery"`
	Mail struct {
		Source  string `json:"source"`
		Headers []struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		} `json:"headers"`
	} `json:"mail"`
}

// maxNotice bounds the JSON that is read.
const maxNotice = 256 << 10

// readNotice reads such a notice; nil if the mail is none. The service marks its
// mails; without the mark it is a text somebody wrote.
func readNotice(m *Mail) *sesNotice {
	if !m.Header.Has("X-Amz-Sns-Message-Id") {
		return nil
	}
	text := strings.TrimSpace(cutRunes(m.Text(), maxNotice))
	if !strings.HasPrefix(text, "{") {
		return nil
	}
	// Relays fold lines that are too long by "!", a line break and a blank.
	text = strings.ReplaceAll(text, "!\n ", "")
	if strings.Contains(text, "\n") {
		if line, _, _ := strings.Cut(text, "\n"); json.Valid([]byte(line)) {
			text = line
		} else {
			text = strings.ReplaceAll(text, "\n", "")
		}
	}
	var n sesNotice
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&n); err != nil {
		return nil
	}
	if n.Type == "" {
		n.Type = n.EventType
	}
	return &n
}

// returnedHeader is the header of the mail that the notice is about.
func (n *sesNotice) returnedHeader() Header {
	var h Header
	for _, f := range n.Mail.Headers {
		if len(h) < 200 {
			h = append(h, Field{Name: cleanLine(f.Name), Value: cleanLine(f.Value)})
		}
	}
	return h
}

// noticeBounce reads the notice of a bounce or of a delivery.
func noticeBounce(m *Mail) *Bounce {
	n := readNotice(m)
	if n == nil {
		return nil
	}
	b := &Bounce{Recipients: []BounceRecipient{}, Returned: idsOf([]Header{n.returnedHeader()})}
	switch n.Type {
	case "Bounce":
		for _, s := range n.Bounce.Recipients {
			h := Header{{"Final-Recipient", "rfc822;" + cleanLine(s.Address)}, {"Action", cleanLine(s.Action)}, {"Status", cleanLine(s.Status)}, {"Diagnostic-Code", cleanLine(s.Diagnostic)}}
			if r, ok := h.recipient(); ok && r.Address != "" && len(b.Recipients) < maxBounceRecipients {
				b.Recipients = append(b.Recipients, r)
			}
		}
	case "Delivery":
		for _, a := range n.Delivery.Recipients {
			if bareAddress(a) && len(b.Recipients) < maxBounceRecipients {
				text := cutRunes(cleanLine(n.Delivery.Response), maxDiagnostic)
				r := BounceRecipient{Address: a, Action: "delivered", Status: enhancedCode(text), Reason: "delivered", Diagnostic: text}
				if strings.HasPrefix(text, "250") {
					r.SMTPCode = 250
				}
				if r.Status == "" {
					r.Status = "2.0.0"
				}
				b.Recipients = append(b.Recipients, r)
			}
		}
	default:
		return nil
	}
	return b
}

// complaintNotice reads the notice of a complaint.
func complaintNotice(m *Mail) *FeedbackReport {
	n := readNotice(m)
	if n == nil || n.Type != "Complaint" {
		return nil
	}
	h := n.returnedHeader()
	f := &FeedbackReport{
		Type: "abuse", Version: 1, Incidents: 1, UserAgent: cutRunes(cleanLine(n.Complaint.Agent), maxFeedbackValue), ArrivalDate: n.Complaint.Timestamp,
		Returned: idsOf([]Header{h}), ReturnedHeader: h,
	}
	if t := strings.ToLower(cleanLine(n.Complaint.Type)); t != "" {
		f.Type = cutRunes(t, 60)
	}
	if bareAddress(n.Mail.Source) {
		f.OriginalMailFrom = n.Mail.Source
	}
	for _, r := range n.Complaint.Recipients {
		if bareAddress(r.Address) && len(f.OriginalRcptTo) < maxFeedbackList {
			f.OriginalRcptTo = append(f.OriginalRcptTo, r.Address)
		}
	}
	return f
}
