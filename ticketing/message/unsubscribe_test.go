package message

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestUnsubscribeToken(t *testing.T) {
	t.Parallel()
	k := tokenRing(t, 1)
	rapid.Check(t, func(rt *rapid.T) {
		local := rapid.StringMatching(`[A-Za-z0-9.äß+]{1,40}`).Draw(rt, "local")
		ticket := rapid.Uint64().Draw(rt, "ticket")
		address := local + "@customer.example"
		token := k.UnsubscribeToken(address, ticket)
		if got, n, err := k.ParseUnsubscribeToken(token); got != Fold(address) || n != ticket || err != nil {
			rt.Fatalf("%q %d %v", got, n, err)
		}
		if strings.ContainsAny(token, "/+=?&# ") || len(token) > maxUnsubscribe {
			rt.Fatalf("%q does not fit into a path", token)
		}
		i := rapid.IntRange(0, len(token)-1).Draw(rt, "at")
		c := rapid.SampledFrom([]byte("ABCxyz019-_")).Draw(rt, "letter")
		if changed := token[:i] + string(c) + token[i+1:]; changed != token {
			if _, _, err := k.ParseUnsubscribeToken(changed); !errors.Is(err, ErrToken) {
				rt.Fatalf("a changed token is valid: %v", err)
			}
		}
	})
	for _, bad := range []string{"", "A", "AAAA", strings.Repeat("A", 100), strings.Repeat("A", 10000), "ä", k.UnsubscribeToken("a@b.example", 1) + "="} {
		if _, _, err := k.ParseUnsubscribeToken(bad); !errors.Is(err, ErrToken) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	// What was signed for another purpose says nothing here.
	if _, _, err := k.ParseUnsubscribeToken(k.MessageID("help.example", Token{Kind: KindReply, Ticket: 1})); !errors.Is(err, ErrToken) {
		t.Error(err)
	}
}

func FuzzUnsubscribeToken(f *testing.F) {
	k := tokenRing(f, 1)
	f.Add(k.UnsubscribeToken("anna@customer.example", 1001))
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		address, ticket, err := k.ParseUnsubscribeToken(token)
		if err == nil && k.UnsubscribeToken(address, ticket) != token {
			t.Errorf("%q is another spelling", token)
		}
	})
}
