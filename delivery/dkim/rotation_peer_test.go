package dkim

import (
	"context"
	"testing"
	"time"

	"ticketgate/test/peers"
)

// While keys change, other people's verifiers accept every mail we signed, as
// long as DNS shows what we ask for: the old pair's mails until it is retired,
// the new pair's from its first on.
func TestPeersFollowRotation(t *testing.T) {
	if testing.Short() {
		t.Skip("-short leaves out real peers")
	}
	t.Parallel()
	ctx := context.Background()
	l := newLab(t)
	published := map[string]string{}
	publish := func() {
		t.Helper()
		records, err := l.Records(ctx, testDomain)
		if err != nil {
			t.Fatal(err)
		}
		clear(published)
		for _, r := range records {
			published[r.Name] = r.Text
			l.zone.texts[r.Name] = []string{r.Text}
		}
	}
	publish()
	accepts := func(what string, mails map[string]bool) {
		t.Helper()
		port := peers.ServeTXT(t, published)
		for name, judge := range map[string]peers.Verifier{"opendkim-testmsg": peers.OpenDKIM(t, port), "dkimverify": peers.Dkimpy(t, port)} {
			for mail, want := range mails {
				if ok, out := judge.Accepts(t, mail); ok != want {
					t.Errorf("%s: %s accepts: %v\n%s", what, name, ok, out)
				}
			}
		}
	}
	old := signed(t, l.Keys, sampleMail)
	if _, err := l.Prepare(ctx, testDomain); err != nil {
		t.Fatal(err)
	}
	publish()
	if _, err := l.Activate(ctx, testDomain); err != nil {
		t.Fatal(err)
	}
	fresh := signed(t, l.Keys, sampleMail)
	if fresh == old {
		t.Fatal("nothing changed")
	}
	accepts("both pairs published", map[string]bool{old: true, fresh: true})
	l.at = l.at.Add(30 * 24 * time.Hour)
	if _, err := l.Retire(ctx, testDomain, false); err != nil {
		t.Fatal(err)
	}
	publish()
	accepts("the old pair removed", map[string]bool{old: false, fresh: true})
}
