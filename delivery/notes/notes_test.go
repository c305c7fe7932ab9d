package notes

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"ticketgate/ticketing/store/storetest"
)

func TestNotes(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	a, b := New(db, "policy", time.Hour), New(db, "token", 0)
	load := func(n *Notes, name, want string) {
		t.Helper()
		got, err := n.Load(t.Context(), name)
		if err != nil || string(got) != want || (got == nil) != (want == "") {
			t.Errorf("%s/%s is %q, %v", n.kind, name, got, err)
		}
	}
	load(a, "x", "")
	for _, n := range []*Notes{a, b} {
		for _, v := range []string{"old", n.kind} {
			if err := n.Save(t.Context(), "x", []byte(v)); err != nil {
				t.Fatal(err)
			}
		}
	}
	load(a, "x", "policy")
	load(b, "x", "token")
	if err := a.Save(t.Context(), "", []byte("x")); err == nil {
		t.Error("a note without a name")
	}
	if err := a.Save(t.Context(), "y", bytes.Repeat([]byte("x"), maxValue+1)); err == nil {
		t.Error("a note without bounds")
	}
	if err := a.Save(t.Context(), "y", bytes.Repeat([]byte{0xff}, maxValue)); err != nil {
		t.Error(err)
	}
	if s := fmt.Sprintf("%v %#v", row{Kind: "token", Name: "x", Value: []byte("secret")}, row{}); bytes.Contains([]byte(s), []byte("secret")) {
		t.Error(s)
	}
}

// Old notes are none, and Sweep removes them; notes without an end stay.
func TestOldNotes(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	old, other := New(db, "policy", time.Nanosecond), New(db, "token", 0)
	for i := range sweepPage + 7 {
		if err := old.Save(t.Context(), fmt.Sprint(i), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Save(t.Context(), "x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Microsecond)
	if v, err := old.Load(t.Context(), "1"); v != nil || err != nil {
		t.Errorf("%q %v", v, err)
	}
	if n, err := New(db, "policy", time.Hour).Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("swept %d young notes, %v", n, err)
	}
	if n, err := old.Sweep(t.Context()); n != sweepPage+7 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if n, err := other.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if v, err := other.Load(t.Context(), "x"); string(v) != "x" || err != nil {
		t.Errorf("%q %v", v, err)
	}
}

// All names what is not too old, within a limit; Forget removes one.
func TestAllNotes(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	a, b := New(db, "host", time.Hour), New(db, "token", 0)
	before := time.Now().Add(-time.Minute)
	for _, n := range []*Notes{a, b} {
		for _, name := range []string{"x", "y", "z"} {
			if err := n.Save(t.Context(), name+n.kind, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.Forget(t.Context(), "yhost"); err != nil {
		t.Fatal(err)
	}
	if err := a.Forget(t.Context(), "never"); err != nil {
		t.Error(err)
	}
	all, err := a.All(t.Context(), 10)
	if err != nil || len(all) != 2 || all["xhost"].Before(before) || all["zhost"].IsZero() {
		t.Errorf("%v, %v", all, err)
	}
	if some, err := b.All(t.Context(), 2); err != nil || len(some) != 2 {
		t.Errorf("%v, %v", some, err)
	}
	if none, err := New(db, "host", time.Nanosecond).All(t.Context(), 10); err != nil || len(none) != 0 {
		t.Errorf("%v, %v", none, err)
	}
}
