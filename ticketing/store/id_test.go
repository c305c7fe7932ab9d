package store_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"ticketgate/ticketing/store"
)

func TestNewID(t *testing.T) {
	t.Parallel()
	id, err := store.NewID("msg_", time.UnixMilli(1<<47), bytes.NewReader(bytes.Repeat([]byte{0xff}, 10)))
	if want := "msg_G0000000" + "03ZZZZZZZZZZZZZZZW"; err != nil || id != want || len(id) != 4+26 {
		t.Errorf("NewID: %q (%d characters), %v, want %q", id, len(id), err, want)
	}
	broken := errors.New("no entropy")
	if id, err := store.NewID("x", time.Now(), iotest.ErrReader(broken)); !errors.Is(err, broken) || id != "" {
		t.Errorf("with a broken source: %q, %v", id, err)
	}
	if _, err := store.NewID("x", time.Now(), strings.NewReader("short")); err == nil {
		t.Error("a source that ends early was accepted")
	}
}

func TestIDsSortByTime(t *testing.T) {
	t.Parallel()
	draw := rapid.Int64Range(0, 1<<48-1)
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		idA, errA := store.NewID("t_", time.UnixMilli(a), rand.Reader)
		idB, errB := store.NewID("t_", time.UnixMilli(b), rand.Reader)
		if errA != nil || errB != nil || len(idA) != len(idB) {
			t.Fatal(idA, idB, errA, errB)
		}
		if a < b && idA >= idB || a > b && idA <= idB {
			t.Fatalf("%d → %s, %d → %s", a, idA, b, idB)
		}
		if idA == idB {
			t.Fatal("the same id twice")
		}
	})
}
