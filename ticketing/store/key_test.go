package store_test

import (
	"bytes"
	"cmp"
	"errors"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ticketgate/ticketing/store"
)

// element is one element of a tuple: string, []byte, uint64, time.Time or bool.
type element any

func build(elements []element) (k store.Key) {
	for _, e := range elements {
		switch e := e.(type) {
		case string:
			k = k.Str(e)
		case []byte:
			k = k.Bytes(e)
		case uint64:
			k = k.Uint(e)
		case time.Time:
			k = k.Time(e)
		case bool:
			k = k.Bool(e)
		}
	}
	return k
}

// rank is the order of kinds in one column; a column of a table has one kind
// only, so this only has to be some order.
func rank(e element) int {
	switch e.(type) {
	case []byte:
		return 0
	case string:
		return 1
	case uint64:
		return 2
	case time.Time:
		return 3
	}
	return 4
}

func compareElements(a, b element) int {
	if r := cmp.Compare(rank(a), rank(b)); r != 0 {
		return r
	}
	switch a := a.(type) {
	case string:
		return cmp.Compare(a, b.(string))
	case []byte:
		return bytes.Compare(a, b.([]byte))
	case uint64:
		return cmp.Compare(a, b.(uint64))
	case time.Time:
		return a.Compare(b.(time.Time))
	case bool:
		return cmp.Compare(map[bool]int{true: 1}[a], map[bool]int{true: 1}[b.(bool)])
	}
	panic("no such kind")
}

func compareTuples(a, b []element) int {
	for i := range min(len(a), len(b)) {
		if c := compareElements(a[i], b[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// Few letters, among them those of the encoding, so that tuples often agree in
// their beginnings.
var (
	drawString  = rapid.StringOfN(rapid.RuneFrom([]rune{0, 1, 0x10, 0x12, 'a', 'b', 0xff, 0x10ffff}), 0, 4, -1)
	drawBytes   = rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x10, 0x12, 'a', 0xfe, 0xff}), 0, 4)
	drawElement = rapid.OneOf(
		rapid.Map(drawString, func(s string) element { return s }),
		rapid.Map(drawBytes, func(b []byte) element { return b }),
		rapid.Map(rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 3)), func(n uint64) element { return n }),
		rapid.Map(rapid.Int64Range(-1<<55, 1<<55), func(n int64) element { return time.UnixMicro(n).UTC() }),
		rapid.Map(rapid.Bool(), func(b bool) element { return b }),
	)
	drawTuple = rapid.SliceOfN(drawElement, 0, 4)
)

func TestKeyOrderIsTupleOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawTuple.Draw(t, "a"), drawTuple.Draw(t, "b")
		if rapid.Bool().Draw(t, "same beginning") {
			n := rapid.IntRange(0, len(a)).Draw(t, "n")
			b = append(append([]element{}, a[:n]...), b...)
		}
		if got, want := bytes.Compare(build(a), build(b)), compareTuples(a, b); got != want {
			t.Fatalf("keys of %#v and %#v compare %d, the tuples %d", a, b, got, want)
		}
	})
}

func TestKeyRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tuple := drawTuple.Draw(t, "tuple")
		got, err := build(tuple).Elements()
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(tuple) {
			t.Fatalf("%#v came back as %#v", tuple, got)
		}
		for i := range got {
			if want := tuple[i]; !reflect.DeepEqual(got[i], want) {
				t.Fatalf("element %d: %#v came back as %#v", i, want, got[i])
			}
		}
	})
}

// A key is a prefix of another exactly when its tuple is.
func TestKeyPrefix(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawTuple.Draw(t, "a"), drawTuple.Draw(t, "b")
		want := len(a) <= len(b) && compareTuples(a, b[:min(len(a), len(b))]) == 0
		if got := bytes.HasPrefix(build(b), build(a)); got != want {
			t.Fatalf("prefix %v, want %v", got, want)
		}
		if joined := build(a).Clip().Join(build(b)); !bytes.Equal(joined, build(append(append([]element{}, a...), b...))) {
			t.Fatalf("Join: %x", []byte(joined))
		}
	})
}

func TestPrefixEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ key, want store.Key }{
		{nil, nil}, {store.Key{}, nil}, {store.Key{0xff, 0xff}, nil},
		{store.Key{1}, store.Key{2}}, {store.Key{1, 0xff}, store.Key{2}}, {store.Key{1, 2}, store.Key{1, 3}},
	} {
		if got := c.key.PrefixEnd(); !bytes.Equal(got, c.want) {
			t.Errorf("PrefixEnd(%x) = %x, want %x", []byte(c.key), []byte(got), []byte(c.want))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		k := store.Key(rapid.SliceOfN(rapid.Byte(), 1, 4).Draw(t, "k"))
		other := store.Key(rapid.SliceOfN(rapid.Byte(), 0, 6).Draw(t, "other"))
		if rapid.Bool().Draw(t, "extend") {
			other = k.Clip().Join(other)
		}
		end := k.PrefixEnd()
		inside := bytes.Compare(other, k) >= 0 && (end == nil || bytes.Compare(other, end) < 0)
		if inside != bytes.HasPrefix(other, k) {
			t.Fatalf("%x in [%x, %x): %v", []byte(other), []byte(k), []byte(end), inside)
		}
	})
}

func TestClipKeepsKeysApart(t *testing.T) {
	t.Parallel()
	base := make(store.Key, 0, 64).Str("queue").Clip()
	a, b := base.Uint(1), base.Uint(2)
	if bytes.Equal(a, b) {
		t.Error("two keys extended from one clipped base share memory")
	}
}

// Bytes that are not UTF-8 count as U+FFFD each, which is what they become in a
// stored document.
func TestStrOfBadUTF8(t *testing.T) {
	t.Parallel()
	for bad, good := range map[string]string{
		"\xff": "\ufffd", "a\xc3": "a\ufffd", "\xed\xa0\x80": "\ufffd\ufffd\ufffd", "\ufffd": "\ufffd", "ä\x00": "ä\x00",
	} {
		if got, want := (store.Key{}).Str(bad), (store.Key{}).Str(good); !bytes.Equal(got, want) {
			t.Errorf("Str(%q) = %x, want %x", bad, []byte(got), []byte(want))
		}
	}
}

func TestElementsOfNoTuple(t *testing.T) {
	t.Parallel()
	for _, k := range []store.Key{
		{0x00}, {0x11}, {0x12}, {0x12, 'a'}, {0x12, 'a', 0x00}, {0x12, 0x00, 0x02}, {0x20, 0, 0}, {0x28}, {0x10, 0x00, 0xff},
	} {
		if got, err := k.Elements(); !errors.Is(err, store.ErrKey) {
			t.Errorf("Elements(%x) = %v, %v", []byte(k), got, err)
		}
	}
}

// What decodes encodes again to the same bytes: there is one key for a tuple.
func FuzzElements(f *testing.F) {
	f.Add([]byte(store.Key{}.Str("a\x00b").Bytes([]byte{0}).Uint(1).Time(time.Unix(0, 0)).Bool(true)))
	f.Add([]byte{0x12, 0x00})
	f.Fuzz(func(t *testing.T, data []byte) {
		elements, err := store.Key(data).Elements()
		if err != nil {
			if !errors.Is(err, store.ErrKey) {
				t.Errorf("unexpected error %v", err)
			}
			return
		}
		tuple := make([]element, len(elements))
		for i, e := range elements {
			if s, ok := e.(string); ok && string([]rune(s)) != s {
				return // bytes no Str has written
			}
			tuple[i] = e
		}
		if got := build(tuple); !bytes.Equal(got, data) {
			t.Errorf("%x decodes to %#v, which encodes to %x", data, elements, []byte(got))
		}
	})
}
