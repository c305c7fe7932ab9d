package dkim

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ticketgate/ticketing/store"
)

// zone is DNS as a test writes it.
type zone struct {
	texts map[string][]string
	err   error
}

func (z *zone) lookup(_ context.Context, name string) ([]string, error) {
	if z.err != nil {
		return nil, z.err
	}
	if t, ok := z.texts[name]; ok {
		return t, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (z *zone) publish(infos ...Info) {
	for _, i := range infos {
		z.texts[i.Record.Name] = []string{i.Record.Text}
	}
}

// lab is a domain with keys, a zone, a clock and mails that wait.
type lab struct {
	*Keys
	zone    *zone
	at      time.Time
	waiting map[string]int // by selector
}

func newLab(t testing.TB) *lab {
	l := &lab{zone: &zone{texts: map[string][]string{}}, at: signTime, waiting: map[string]int{}}
	l.Keys = New(Options{
		DB: openStore(t), Random: rand.Reader, Now: func() time.Time { return l.at }, LookupTXT: l.zone.lookup,
		Used: func(_ context.Context, domain, selector string) (int, error) { return l.waiting[selector], nil },
	})
	rows, err := sharedRows()
	if err != nil {
		t.Fatal(err)
	}
	err = l.db.Update(context.Background(), func(tx store.Tx) error {
		for _, r := range rows {
			if err := l.table.Put(tx, &r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func phases(t testing.TB, k *Keys) string {
	t.Helper()
	infos, err := k.List(context.Background(), testDomain)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range infos {
		out = append(out, i.Selector+" "+string(i.Phase))
	}
	return strings.Join(out, ", ")
}

// The whole life of a pair of keys: nothing moves before its time.
func TestRotation(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l := newLab(t)
	expect := func(what, want string) {
		t.Helper()
		if got := phases(t, l.Keys); got != want {
			t.Fatalf("%s: %s, want %s", what, got, want)
		}
	}
	selectors := func() string {
		mail := signed(t, l.Keys, sampleMail)
		_, s, _ := strings.Cut(mail, " s=")
		return s[:strings.IndexByte(s, ';')]
	}
	expect("at first", "tg1r active, tg1e active")
	if _, err := l.Activate(ctx, testDomain); !errors.Is(err, ErrNothing) {
		t.Errorf("activate without a prepared pair: %v", err)
	}
	if _, err := l.Retire(ctx, testDomain, true); !errors.Is(err, ErrNothing) {
		t.Errorf("retire without a replaced pair: %v", err)
	}
	if _, err := l.Prepare(ctx, "other.example"); !errors.Is(err, ErrDomain) {
		t.Errorf("prepare for another domain: %v", err)
	}

	made, err := l.Prepare(ctx, testDomain)
	if err != nil || len(made) != 2 {
		t.Fatal(made, err)
	}
	again, err := l.Prepare(ctx, testDomain)
	if err != nil || fmt.Sprint(again) == "" || again[0].Record.Text != made[0].Record.Text {
		t.Errorf("preparing twice made another pair: %v", err)
	}
	expect("prepared", "tg1r active, tg1e active, tg2r prepared, tg2e prepared")
	if s := selectors(); s != "tg1r" {
		t.Errorf("signed with %s", s)
	}
	if records, err := l.Records(ctx, testDomain); err != nil || len(records) != 4 {
		t.Errorf("%d records, %v", len(records), err)
	}

	// One record is not enough.
	l.zone.publish(made[0])
	checks, err := l.Activate(ctx, testDomain)
	if !errors.Is(err, ErrUnpublished) || len(checks) != 2 || checks[0].Status != OK || checks[1].Status != Fail {
		t.Fatalf("%+v, %v", checks, err)
	}
	expect("half published", "tg1r active, tg1e active, tg2r prepared, tg2e prepared")
	l.zone.err = errors.New("timeout")
	l.zone.publish(made[1])
	if _, err := l.Activate(ctx, testDomain); !errors.Is(err, ErrUnpublished) {
		t.Errorf("activated while DNS is silent: %v", err)
	}
	l.zone.err = nil
	if _, err := l.Activate(ctx, testDomain); err != nil {
		t.Fatal(err)
	}
	expect("activated", "tg2r active, tg2e active, tg1r retiring, tg1e retiring")
	if s := selectors(); s != "tg2r" {
		t.Errorf("signed with %s", s)
	}
	if err := l.Ensure(ctx, testDomain); err != nil {
		t.Fatal(err)
	}
	expect("after a restart", "tg2r active, tg2e active, tg1r retiring, tg1e retiring")

	// The old pair goes when its time is over and no mail needs it.
	if _, err := l.Retire(ctx, testDomain, false); !errors.Is(err, ErrNeeded) {
		t.Errorf("retired at once: %v", err)
	}
	l.at = l.at.Add(8 * 24 * time.Hour)
	l.waiting["tg1e"] = 3
	for _, now := range []bool{false, true} {
		if _, err := l.Retire(ctx, testDomain, now); !errors.Is(err, ErrNeeded) || !strings.Contains(err.Error(), "3 mails wait") {
			t.Errorf("retired with mail waiting: %v", err)
		}
	}
	l.waiting["tg1e"] = 0
	gone, err := l.Retire(ctx, testDomain, false)
	if err != nil || len(gone) != 2 {
		t.Fatal(gone, err)
	}
	expect("retired", "tg2r active, tg2e active, tg1r retired, tg1e retired")
	err = l.db.View(ctx, func(r store.Reader) error {
		for v, err := range l.table.Scan(r, store.Query{Prefix: store.Key{}.Str(testDomain)}) {
			if err != nil || v.phase() == Retired && len(v.Private) > 0 {
				t.Errorf("%v: the private half is still there, %v", v, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	// What is left behind in DNS gets a hint; selectors are never used again.
	l.zone.publish(gone[0])
	checks, err = l.Check(ctx, testDomain)
	if err != nil || len(checks) != 3 || checks[2].Status != Warn || checks[2].Fix != "remove the record" {
		t.Errorf("%+v, %v", checks, err)
	}
	if made, err = l.Prepare(ctx, testDomain); err != nil || made[0].Selector != "tg3r" {
		t.Errorf("%v %v", made, err)
	}
}

// What a published record may look like.
func TestCheckRecords(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	infos, err := l.List(context.Background(), testDomain)
	if err != nil {
		t.Fatal(err)
	}
	rsa, name := infos[0], infos[0].Record.Name
	l.zone.publish(infos...)
	p := strings.TrimPrefix(rsa.Record.Text, "v=DKIM1; k=rsa; p=")
	for what, c := range map[string]struct {
		texts  []string
		status string
		words  string
	}{
		"as we print it":        {[]string{rsa.Record.Text}, OK, "published"},
		"other spacing":         {[]string{"v=DKIM1;k=rsa;p=" + p + ";"}, OK, "published"},
		"folded key":            {[]string{"v=DKIM1; k=rsa; p=" + p[:100] + " " + p[100:]}, OK, "published"},
		"defaults left out":     {[]string{"p=" + p}, OK, "published"},
		"notes, services":       {[]string{"v=DKIM1; n=hello; s=email:x; h=sha1:sha256; t=s; p=" + p}, OK, "published"},
		"beside other texts":    {[]string{"hello", rsa.Record.Text}, OK, "published"},
		"nothing":               {nil, Fail, "no such record"},
		"another text":          {[]string{"v=spf1 -all"}, Fail, "no such record"},
		"twice":                 {[]string{rsa.Record.Text, rsa.Record.Text}, Fail, "2 key records"},
		"revoked":               {[]string{"v=DKIM1; k=rsa; p="}, Fail, "revokes"},
		"cut off":               {[]string{"v=DKIM1; k=rsa; p=" + p[:200]}, Fail, "cut off"},
		"another key":           {[]string{"v=DKIM1; k=rsa; p=AAAA" + p[4:]}, Fail, "another key"},
		"another algorithm":     {[]string{"v=DKIM1; k=ed25519; p=" + p}, Fail, "for a ed25519 key"},
		"not base64":            {[]string{"v=DKIM1; k=rsa; p=" + p[:50] + "\"" + p[50:]}, Fail, "not base64"},
		"only sha1":             {[]string{"v=DKIM1; h=sha1; p=" + p}, Fail, "sha256"},
		"not for mail":          {[]string{"v=DKIM1; s=tlsrpt; p=" + p}, Fail, "s="},
		"testing":               {[]string{"v=DKIM1; t=y:s; p=" + p}, Fail, "testing"},
		"a version of tomorrow": {[]string{"v=DKIM2; p=" + p}, Fail, "version DKIM2"},
		"a tag twice":           {[]string{"v=DKIM1; k=rsa; k=rsa; p=" + p}, Fail, "no such record"},
	} {
		l.zone.texts[name] = c.texts
		checks, err := l.Check(context.Background(), testDomain)
		if err != nil || checks[0].Status != c.status || !strings.Contains(checks[0].Detail, c.words) {
			t.Errorf("%s: %+v, %v", what, checks[0], err)
		}
		if (checks[0].Fix == "") != (c.status == OK) {
			t.Errorf("%s: fix %q", what, checks[0].Fix)
		}
		if len(checks) > 1 && checks[1].Status != OK {
			t.Errorf("%s: the other key: %+v", what, checks[1])
		}
	}
}

// Whatever people do in whatever order, a domain always signs with one pair,
// that pair was seen in DNS (or is the first), and no used selector comes back.
func TestLifeProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		l := newLab(t)
		first, _ := l.List(ctx, testDomain)
		l.zone.publish(first...)
		steps := rapid.SliceOfN(rapid.SampledFrom([]string{"prepare", "publish", "unpublish", "activate", "retire", "retire now", "wait", "mail", "sent"}), 1, 25).Draw(rt, "steps")
		prepared := 0
		for _, step := range steps {
			infos, err := l.List(ctx, testDomain)
			if err != nil {
				rt.Fatal(err)
			}
			switch step {
			case "prepare":
				if prepared++; prepared > 2 {
					continue // RSA keys take their time
				}
				l.Prepare(ctx, testDomain)
			case "publish":
				for _, i := range infos {
					if i.Phase == Prepared {
						l.zone.publish(i)
					}
				}
			case "unpublish":
				for _, i := range infos {
					if i.Phase == Prepared {
						delete(l.zone.texts, i.Record.Name)
					}
				}
			case "activate":
				shown := !slices.ContainsFunc(infos, func(i Info) bool {
					return i.Phase == Prepared && len(l.zone.texts[i.Record.Name]) == 0
				})
				if _, err := l.Activate(ctx, testDomain); err == nil && !shown {
					rt.Fatal("activated what DNS does not show")
				}
			case "retire", "retire now":
				_, err := l.Retire(ctx, testDomain, step == "retire now")
				for _, i := range infos {
					if err == nil && i.Phase == Retiring && l.waiting[i.Selector] > 0 {
						rt.Fatal("retired what a mail needs")
					}
				}
			case "wait":
				l.at = l.at.Add(4 * 24 * time.Hour)
			case "mail":
				for _, i := range infos {
					if i.Phase == Active {
						l.waiting[i.Selector]++
					}
				}
			case "sent":
				clear(l.waiting)
			}
			active := map[string]int{}
			infos, _ = l.List(ctx, testDomain)
			for _, i := range infos {
				if i.Phase == Active {
					active[i.Algorithm]++
					if len(l.zone.texts[i.Record.Name]) == 0 {
						rt.Fatalf("%s signs and was never published", i.Selector)
					}
				}
			}
			if active["rsa"] != 1 || active["ed25519"] != 1 {
				rt.Fatalf("%v sign after %s", active, step)
			}
			if err := l.Usable(ctx, testDomain); err != nil {
				rt.Fatal(err)
			}
		}
	})
}

func FuzzTags(f *testing.F) {
	for _, s := range []string{"v=DKIM1; k=rsa; p=abc", "p=", ";;", "=", "v=DKIM1; p=a b\tc; p=", strings.Repeat("a=b;", 100)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tags, err := tagsOf(text)
		if err != nil && tags != nil {
			t.Error("tags of what cannot be read")
		}
		for _, v := range tags {
			if strings.ContainsAny(v, " \t\r\n") {
				t.Errorf("white space in %q", v)
			}
		}
		_ = looksLikeKey(text)
	})
}
