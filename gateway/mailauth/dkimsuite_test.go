package mailauth_test

import (
	"fmt"
	"testing"

	"ticketgate/gateway/mailauth"
	"ticketgate/test/corpora"
)

// stricter are the vectors where our rules are stricter than the source's, and
// what we say instead.
var stricter = map[string]string{
	"chasquid/09-limited_body.msg 1": "neutral", // l= leaves a part of the body unsigned
}

// TestDKIMVectors judges every mail of the corpus with the keys that came with
// it.
func TestDKIMVectors(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, v := range corpora.DKIMVectors(t) {
		h := newHouse(t)
		if !v.At.IsZero() {
			h.now = v.At
		}
		_, e := h.check(t, "", "", "", v.Serve(t, h.Server))
		for _, want := range v.Signatures {
			checked++
			switch {
			case want.Number == 0:
				if len(e.DKIM) != 0 {
					t.Errorf("%s: %v", v.File, e.DKIM)
				}
			case want.Number > 5:
				if len(e.DKIM) != 5 || e.Ignored != 2 {
					t.Errorf("%s: judged %d signatures, ignored %d", v.File, len(e.DKIM), e.Ignored)
				}
			case want.Number > len(e.DKIM):
				t.Errorf("%s: no signature %d: %s", v.File, want.Number, e.Note)
			default:
				judge(t, v.File, want, e.DKIM[want.Number-1])
			}
		}
	}
	t.Logf("DKIM vectors: %d signatures", checked)
	if checked != 34 {
		t.Errorf("checked %d rows", checked)
	}
}

func judge(t *testing.T, file string, want corpora.DKIMSignature, got mailauth.Signature) {
	t.Helper()
	if got.Domain != want.Domain || got.Selector != want.Selector {
		t.Errorf("%s %d: %s of %s", file, want.Number, got.Selector, got.Domain)
	}
	if say, ok := stricter[fmt.Sprint(file, " ", want.Number)]; ok {
		want.Want = say
	}
	if result := string(got.Result); want.Want != "" && result != want.Want && (want.Want != "not-pass" || result == "pass") {
		t.Errorf("%s %d: %s (%s), want %s", file, want.Number, result, got.Reason, want.Want)
	}
}

// TestSignatureReport: what the Authentication-Results field needs is there for
// good and bad signatures alike.
func TestSignatureReport(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	bad := corpora.DKIMVector{File: "chasquid/04-bad_dkim_signature_header.msg"}
	_, e := h.check(t, "", "", "", bad.Serve(t, h.Server))
	got := fmt.Sprint(e.DKIM[0].Domain, " ", e.DKIM[0].Selector, " ", e.DKIM[0].Algorithm, " ", len(e.DKIM[0].B), " ", e.DKIM[0].Result)
	if got != "football.example.com brisbane ed25519-sha256 8 permerror" {
		t.Error(got)
	}
}
