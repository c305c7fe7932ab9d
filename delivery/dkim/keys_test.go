package dkim

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"ticketgate/ticketing/store"
)

func TestEnsureMakesKeysOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openStore(t)
	open := func() *Keys {
		return New(Options{DB: db, Random: rand.Reader, Now: func() time.Time { return signTime }})
	}
	k := open()
	if _, err := k.Sign(ctx, testDomain, strings.NewReader(sampleMail)); !errors.Is(err, ErrNoKey) {
		t.Fatalf("signing before there is a key: %v", err)
	}
	if _, err := k.Records(ctx, testDomain); !errors.Is(err, ErrNoKey) {
		t.Fatalf("records before there is a key: %v", err)
	}

	// Two starts at once agree on one pair.
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if err := open().Ensure(ctx, "HELP.example."); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()

	first, err := k.Records(ctx, testDomain)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := k.Sign(ctx, testDomain, strings.NewReader(sampleMail))
	if err != nil {
		t.Fatal(err)
	}
	restarted := open()
	if err := restarted.Ensure(ctx, testDomain); err != nil {
		t.Fatal(err)
	}
	second, err := restarted.Records(ctx, testDomain)
	if err != nil || fmt.Sprint(first) != fmt.Sprint(second) {
		t.Errorf("records changed over a restart: %v, %v, %v", err, first, second)
	}
	if have, good, errs := verify(t, restarted, string(fields)+sampleMail); have != 2 || good != 2 {
		t.Errorf("a signature from before the restart: %v", errs)
	}
	if _, err := k.Sign(ctx, "other.example", strings.NewReader(sampleMail)); !errors.Is(err, ErrNoKey) {
		t.Errorf("signing for a domain without keys: %v", err)
	}
}

func TestDomains(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"Help.Example.": "help.example", "kühlschrank.example": "xn--khlschrank-9db.example"} {
		if got, err := normal(in); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, bad := range []string{"", ".", "a b", "a\r\nb", "a;b.example", "-a.example", strings.Repeat("a.", 130) + "b", strings.Repeat("a", 64) + ".b"} {
		if got, err := normal(bad); err == nil {
			t.Errorf("%q is a domain: %q", bad, got)
		}
		if err := New(Options{}).Ensure(context.Background(), bad); err == nil {
			t.Errorf("%q got keys", bad)
		}
	}
}

// A key that is damaged is an error that holds mail back, it is not replaced,
// and it does not show.
func TestUnreadableKeys(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	rows, err := sharedRows()
	if err != nil {
		t.Fatal(err)
	}
	byAlgorithm := map[algorithm]row{}
	for _, r := range rows {
		byAlgorithm[r.Algorithm] = r
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string][]row{
		"no RSA key":     {byAlgorithm[algEd25519]},
		"no Ed25519 key": {byAlgorithm[algRSA]},
		"cut off":        {byAlgorithm[algEd25519], with(byAlgorithm[algRSA], func(r *row) { r.Private = r.Private[:100] })},
		"empty":          {byAlgorithm[algRSA], with(byAlgorithm[algEd25519], func(r *row) { r.Private = nil })},
		"swapped": {with(byAlgorithm[algRSA], func(r *row) { r.Private = byAlgorithm[algEd25519].Private }),
			with(byAlgorithm[algEd25519], func(r *row) { r.Private = byAlgorithm[algRSA].Private })},
		"short RSA key": {byAlgorithm[algEd25519], with(byAlgorithm[algRSA], func(r *row) { r.Private = pkcs8(t, weak) })},
	}
	for name, rows := range tests {
		k := New(Options{DB: openStore(t), Random: rand.Reader, Now: time.Now})
		err := k.db.Update(ctx, func(tx store.Tx) error {
			for _, r := range rows {
				if err := k.table.Put(tx, &r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		fields, err := k.Sign(ctx, testDomain, strings.NewReader(sampleMail))
		if !errors.Is(err, ErrNoKey) || fields != nil {
			t.Errorf("%s: %q, %v", name, fields, err)
		}
		for _, r := range rows {
			if len(r.Private) > 0 && strings.Contains(fmt.Sprint(err), base64.StdEncoding.EncodeToString(r.Private[:12])) {
				t.Errorf("%s: the key shows in %v", name, err)
			}
		}
		if len(rows) == 2 {
			if err := k.Ensure(ctx, testDomain); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := k.Sign(ctx, testDomain, strings.NewReader(sampleMail)); !errors.Is(err, ErrNoKey) {
				t.Errorf("%s: Ensure replaced a key that is published: %v", name, err)
			}
		}
	}
}

func with(r row, change func(*row)) row {
	change(&r)
	return r
}

func TestEnsureNeedsRandomness(t *testing.T) {
	t.Parallel()
	k := New(Options{DB: openStore(t), Random: strings.NewReader("dry"), Now: time.Now})
	if err := k.Ensure(context.Background(), testDomain); err == nil {
		t.Error("keys were made of nothing")
	}
}

// What can be printed of keys is public.
func TestKeysDoNotPrint(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	records, err := k.Records(context.Background(), testDomain)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	rows, _ := sharedRows()
	for _, r := range rows {
		for _, out := range []string{string(doc), fmt.Sprintf("%v %+v %#v %s", r, r, r, r)} {
			if strings.Contains(out, base64.StdEncoding.EncodeToString(r.Private)[:40]) || strings.Contains(out, fmt.Sprint(r.Private[:8])) {
				t.Errorf("the key shows in %s", out)
			}
		}
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	records, err := testKeys(t).Records(context.Background(), "Help.example")
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 2 || records[0].Name != "tg1r._domainkey.help.example" || records[1].Name != "tg1e._domainkey.help.example" {
		t.Fatalf("%v", records)
	}
	for _, r := range records {
		if r.Type != "TXT" || !strings.HasPrefix(r.Text, "v=DKIM1; k=") {
			t.Errorf("%+v", r)
		}
		strs := strings.Split(strings.Trim(r.Value, `"`), `" "`)
		if strings.Join(strs, "") != r.Text {
			t.Errorf("%s does not say %s", r.Value, r.Text)
		}
		for _, s := range strs {
			if len(s) > 255 {
				t.Errorf("a string of %d octets", len(s))
			}
		}
	}
}

func pkcs8(t *testing.T, key *rsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
