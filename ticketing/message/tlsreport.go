package message

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"slices"
	"strings"
)

// TLSReport is a report about the TLS of mail to a domain (RFC 8460), as far as
// it is counted.
type TLSReport struct {
	Organization string
	Policies     []TLSPolicyResult
}

// TLSPolicyResult is what one sender saw of one policy.
type TLSPolicyResult struct {
	Type     string // tlsa sts no-policy-found, "other" if it is none of these
	Domain   string // lower case
	Sessions uint64 // that went well
	Failed   uint64
	Failures map[string]uint64 // sessions by result type, "other" for unknown ones
}

// Bounds of a report.
const (
	maxTLSReportPacked = 1 << 20
	maxTLSReport       = 10 << 20 // unpacked, and no more than 200 times the packed size
	maxTLSRatio        = 200
	maxTLSPolicies     = 100
	maxTLSDetails      = 1000
	maxTLSSessions     = 1 << 40
)

// tlsPolicyTypes and tlsResultTypes are the words of RFC 8460 §4.2 and §4.3,
// and "other".
var (
	tlsPolicyTypes = []string{"tlsa", "sts", "no-policy-found", "other"}
	tlsResultTypes = []string{
		"starttls-not-supported", "certificate-host-mismatch", "certificate-expired", "certificate-not-trusted", "validation-failure",
		"tlsa-invalid", "dnssec-invalid", "dane-required", "sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid", "other",
	}
)

// TLSPolicyTypes returns every TLSPolicyResult.Type.
func TLSPolicyTypes() []string { return slices.Clone(tlsPolicyTypes) }

// TLSResultTypes returns every key of TLSPolicyResult.Failures.
func TLSResultTypes() []string { return slices.Clone(tlsResultTypes) }

// ParseTLSReport reads a TLS report; nil if the mail is none, or one that
// cannot be read.
func ParseTLSReport(m *Mail) *TLSReport {
	if m.Root == nil || m.Root.Type != "multipart/report" || !strings.EqualFold(m.Root.Params["report-type"], "tlsrpt") {
		return nil
	}
	part := findType(m.Root, "application/tlsrpt+gzip", "application/tlsrpt+json")
	if part == nil {
		return nil
	}
	text := m.content(part, maxTLSReportPacked+1)
	if len(text) > maxTLSReportPacked {
		return nil
	}
	if part.Type == "application/tlsrpt+gzip" {
		if text = gunzip(text); text == nil {
			return nil
		}
	}
	return readTLSReport(text)
}

// gunzip unpacks within bounds; nil if that is not possible.
func gunzip(packed []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil
	}
	limit := min(maxTLSReport, maxTLSRatio*len(packed))
	text, err := io.ReadAll(io.LimitReader(z, int64(limit)+1))
	if err != nil || len(text) > limit {
		return nil
	}
	return text
}

func readTLSReport(text []byte) *TLSReport {
	var doc struct {
		Organization string `json:"organization-name"`
		Policies     []struct {
			Policy struct {
				Type   string `json:"policy-type"`
				Domain string `json:"policy-domain"`
			} `json:"policy"`
			Summary struct {
				Good uint64 `json:"total-successful-session-count"`
				Bad  uint64 `json:"total-failure-session-count"`
			} `json:"summary"`
			Details []struct {
				Type  string `json:"result-type"`
				Count uint64 `json:"failed-session-count"`
			} `json:"failure-details"`
		} `json:"policies"`
	}
	if json.Unmarshal(text, &doc) != nil || len(doc.Policies) == 0 || len(doc.Policies) > maxTLSPolicies {
		return nil
	}
	r := &TLSReport{Organization: clipWord(doc.Organization, 200)}
	for _, p := range doc.Policies {
		if p.Summary.Good > maxTLSSessions || p.Summary.Bad > maxTLSSessions || len(p.Details) > maxTLSDetails {
			return nil
		}
		got := TLSPolicyResult{
			Type: oneOf(p.Policy.Type, tlsPolicyTypes), Domain: strings.ToLower(clipWord(p.Policy.Domain, 253)),
			Sessions: p.Summary.Good, Failed: p.Summary.Bad, Failures: map[string]uint64{},
		}
		for _, d := range p.Details {
			got.Failures[oneOf(d.Type, tlsResultTypes)] += min(d.Count, maxTLSSessions)
		}
		r.Policies = append(r.Policies, got)
	}
	return r
}

// oneOf returns a word if it is known, else the list's last.
func oneOf(word string, known []string) string {
	if slices.Contains(known, word) {
		return word
	}
	return known[len(known)-1]
}

// clipWord keeps printable characters only.
func clipWord(s string, n int) string {
	s = strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s), "")
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}
