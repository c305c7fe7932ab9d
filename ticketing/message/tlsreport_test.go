package message

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
)

const tlsReportJSON = `{"organization-name":"Company-X","date-range":{"start-datetime":"2016-04-01T00:00:00Z","end-datetime":"2016-04-01T23:59:59Z"},
"contact-info":"sts-reporting@company-x.example","report-id":"5065427c-23d3-47ca-b6e0-946ea0e8c4be","policies":[
{"policy":{"policy-type":"sts","policy-string":["version: STSv1","mode: testing"],"policy-domain":"Company-Y.example","mx-host":["*.mail.company-y.example"]},
"summary":{"total-successful-session-count":5326,"total-failure-session-count":303},
"failure-details":[{"result-type":"certificate-expired","sending-mta-ip":"2001:db8:abcd:0012::1","failed-session-count":100},
{"result-type":"starttls-not-supported","failed-session-count":200},{"result-type":"weather","failed-session-count":3}]}]}`

func tlsReport(t testing.TB, media string, body []byte, pack bool) *Mail {
	t.Helper()
	if pack {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(body)
		z.Close()
		body = b.Bytes()
	}
	return parseBytes(t, "From: tlsrpt@company-x.example\nSubject: Report Domain: company-y.example\nMIME-Version: 1.0\nTLS-Report-Domain: company-y.example\n"+
		"Content-Type: multipart/report; report-type=\"tlsrpt\"; boundary=x\n\n--x\nContent-Type: text/plain\n\nA report.\n--x\nContent-Type: "+media+
		"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=a.json.gz\n\n"+base64.StdEncoding.EncodeToString(body)+"\n--x--\n")
}

func TestTLSReport(t *testing.T) {
	t.Parallel()
	want := &TLSReport{Organization: "Company-X", Policies: []TLSPolicyResult{{
		Type: "sts", Domain: "company-y.example", Sessions: 5326, Failed: 303,
		Failures: map[string]uint64{"certificate-expired": 100, "starttls-not-supported": 200, "other": 3},
	}}}
	for _, m := range []*Mail{
		tlsReport(t, "application/tlsrpt+gzip", []byte(tlsReportJSON), true),
		tlsReport(t, "application/tlsrpt+json", []byte(tlsReportJSON), false),
	} {
		if got := ParseTLSReport(m); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v", got)
		}
	}
	for name, m := range map[string]*Mail{
		"not packed":    tlsReport(t, "application/tlsrpt+gzip", []byte(tlsReportJSON), false),
		"other type":    tlsReport(t, "application/gzip", []byte(tlsReportJSON), true),
		"bomb":          tlsReport(t, "application/tlsrpt+gzip", append([]byte(tlsReportJSON), bytes.Repeat([]byte(" "), maxTLSReport)...), true),
		"small bomb":    tlsReport(t, "application/tlsrpt+gzip", append([]byte(tlsReportJSON), bytes.Repeat([]byte(" "), maxTLSReport-5000)...), true),
		"large":         tlsReport(t, "application/tlsrpt+json", append([]byte(tlsReportJSON), bytes.Repeat([]byte(" "), maxTLSReportPacked)...), false),
		"no JSON":       tlsReport(t, "application/tlsrpt+json", []byte("hello"), false),
		"no policies":   tlsReport(t, "application/tlsrpt+json", []byte(`{"policies":[]}`), false),
		"many policies": tlsReport(t, "application/tlsrpt+json", []byte(`{"policies":[{}`+strings.Repeat(",{}", maxTLSPolicies)+`]}`), false),
		"many sessions": tlsReport(t, "application/tlsrpt+json", []byte(`{"policies":[{"summary":{"total-successful-session-count":1e18}}]}`), false),
		"negative":      tlsReport(t, "application/tlsrpt+json", []byte(`{"policies":[{"summary":{"total-failure-session-count":-1}}]}`), false),
		"no report":     parseBytes(t, "From: a@b.example\n\nhello\n"),
	} {
		if got := ParseTLSReport(m); got != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func FuzzTLSReport(f *testing.F) {
	f.Add([]byte(tlsReportJSON))
	f.Fuzz(func(t *testing.T, text []byte) {
		gunzip(text)
		r := readTLSReport(text)
		if r == nil {
			return
		}
		for _, p := range r.Policies {
			if len(p.Failures) > len(tlsResultTypes) || len(p.Domain) > 253 || strings.ContainsAny(p.Domain+r.Organization, "\r\n\x00") {
				t.Errorf("%+v", p)
			}
		}
	})
}
