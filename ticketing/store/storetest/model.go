package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ticketgate/ticketing/store"
)

// modelTest runs random transactions against the store and against a map, and
// compares everything that can be read: inside the transactions, after the
// ones that were committed, and after the ones that were given up.
func modelTest(t *testing.T, b *bench) {
	rapid.Check(t, func(rt *rapid.T) {
		b.update(wipe)
		m := newModel()
		for range rapid.IntRange(1, 6).Draw(rt, "transactions") {
			draft := m.clone()
			commit := rapid.IntRange(0, 3).Draw(rt, "fate") > 0
			err := b.db.Update(context.Background(), func(tx store.Tx) error {
				for range rapid.IntRange(0, 8).Draw(rt, "operations") {
					draft.step(rt, tx)
				}
				draft.compare(rt, tx)
				if !commit {
					return errOnPurpose
				}
				return nil
			})
			if commit && err != nil || !commit && !errors.Is(err, errOnPurpose) {
				rt.Fatalf("Update: %v", err)
			}
			if commit {
				m = draft
			}
			if err := b.db.View(context.Background(), func(r store.Reader) error {
				m.compare(rt, r)
				return things.Verify(r)
			}); err != nil {
				rt.Fatal(err)
			}
		}
	})
}

var modelCounters = []store.Key{str("a"), str("b")}

// wipe empties the store through the port, so that every run starts on the
// remains of the earlier ones.
func wipe(tx store.Tx) error {
	for v, err := range things.Scan(tx, store.Query{}) {
		if err != nil {
			return err
		}
		if err := things.Delete(tx, str(v.ID)); err != nil {
			return err
		}
	}
	for id, err := range tx.ChunkIDs(nil) {
		if err != nil {
			return err
		}
		if err := tx.DeleteChunks(id); err != nil {
			return err
		}
	}
	for _, name := range modelCounters {
		n, err := tx.Counter(name)
		if err != nil {
			return err
		}
		if _, err := tx.Count(name, -n); err != nil { // modulo 2⁶⁴
			return err
		}
	}
	return nil
}

// model is the store as maps.
type model struct {
	rows     map[string]thing
	counters map[string]uint64
	chunks   map[string]map[uint32][]byte
}

func newModel() *model {
	return &model{rows: map[string]thing{}, counters: map[string]uint64{}, chunks: map[string]map[uint32][]byte{}}
}

func (m *model) clone() *model {
	out := &model{rows: maps.Clone(m.rows), counters: maps.Clone(m.counters), chunks: map[string]map[uint32][]byte{}}
	for id, chunks := range m.chunks {
		out.chunks[id] = maps.Clone(chunks)
	}
	return out
}

var (
	drawID    = rapid.SampledFrom([]string{"", "a", "b", "a\x00", "ab", "\u00ff", "long-identifier"})
	drawWord  = rapid.SampledFrom([]string{"", "x", "y", "x\x00y", "\x01", "\u00ff\u00ff"})
	drawTime  = rapid.Map(rapid.Int64Range(-3, 3), func(n int64) time.Time { return time.UnixMicro(n).UTC() })
	drawChunk = rapid.SampledFrom([]store.Key{str("c"), str("c").Uint(0), store.Key{}.Uint(7)})
)

func (m *model) step(rt *rapid.T, tx store.Tx) {
	switch rapid.IntRange(0, 9).Draw(rt, "operation") {
	case 0, 1, 2, 3:
		m.put(rt, tx)
	case 4:
		id := drawID.Draw(rt, "delete")
		check(rt, things.Delete(tx, str(id)))
		delete(m.rows, id)
	case 5:
		name, delta := rapid.SampledFrom(modelCounters).Draw(rt, "counter"), rapid.Uint64Range(0, 5).Draw(rt, "delta")
		m.counters[string(name)] += delta
		if n, err := tx.Count(name, delta); err != nil || n != m.counters[string(name)] {
			rt.Fatalf("Count: %d, %v, want %d", n, err, m.counters[string(name)])
		}
	case 6:
		id, n := drawChunk.Draw(rt, "chunk"), rapid.Uint32Range(0, 3).Draw(rt, "n")
		data := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(rt, "data")
		check(rt, tx.PutChunk(id, n, data))
		if m.chunks[string(id)] == nil {
			m.chunks[string(id)] = map[uint32][]byte{}
		}
		m.chunks[string(id)][n] = data
	case 7:
		id := drawChunk.Draw(rt, "chunk")
		check(rt, tx.DeleteChunks(id))
		delete(m.chunks, string(id))
	default:
		m.scan(rt, tx)
	}
}

func (m *model) put(rt *rapid.T, tx store.Tx) {
	v := thing{
		ID: drawID.Draw(rt, "id"), Group: drawWord.Draw(rt, "group"), At: drawTime.Draw(rt, "at"),
		Tags:  rapid.SliceOfN(drawWord, 0, 3).Draw(rt, "tags"),
		Email: rapid.SampledFrom([]string{"", "e", "f"}).Draw(rt, "email"),
		N:     rapid.Uint64().Draw(rt, "n"),
	}
	err := things.Put(tx, &v)
	for _, other := range m.rows {
		if v.Email != "" && other.Email == v.Email && other.ID != v.ID {
			if !errors.Is(err, store.ErrExists) {
				rt.Fatalf("Put of a taken unique key: %v", err)
			}
			return
		}
	}
	check(rt, err)
	m.rows[v.ID] = v
}

// scan compares one random range, page by page, in either direction.
func (m *model) scan(rt *rapid.T, r store.Reader) {
	index := rapid.SampledFrom([]string{"", "group", "tag", "email"}).Draw(rt, "index")
	key := func(name string) store.Key {
		switch k := str(drawWord.Draw(rt, name)); rapid.IntRange(0, 2).Draw(rt, name+" is") {
		case 0:
			return nil
		case 1:
			return k
		default:
			return k.Time(drawTime.Draw(rt, name))
		}
	}
	q := store.Query{Index: index, Prefix: key("prefix"), From: key("from"), To: key("to"),
		Limit: rapid.IntRange(0, 4).Draw(rt, "limit"), Reverse: rapid.Bool().Draw(rt, "reverse")}
	want := m.query(q)
	for {
		page := want
		if q.Limit > 0 && len(page) > q.Limit {
			page = page[:q.Limit]
		}
		want = want[len(page):]
		var got, keys []string
		for row, err := range r.Scan(things.Schema(), q) {
			check(rt, err)
			q.After = row.Pos
			got = append(got, string(row.Key))
		}
		for _, e := range page {
			keys = append(keys, string(str(e.id)))
		}
		if !slices.Equal(got, keys) {
			rt.Fatalf("%s: %q, want %q", describe(q), got, keys)
		}
		if len(got) == 0 || q.Limit == 0 {
			return
		}
	}
}

// entry is one entry of an index, or of the primary key with tuple == key.
type entry struct {
	tuple store.Key
	id    string
}

func (e entry) compare(o entry) int {
	return cmp.Or(bytes.Compare(e.tuple, o.tuple), bytes.Compare(str(e.id), str(o.id)))
}

func (m *model) entries(index string) (out []entry) {
	for id, v := range m.rows {
		switch index {
		case "":
			out = append(out, entry{str(id), id})
		case "group":
			out = append(out, entry{str(v.Group).Time(v.At), id})
		case "tag":
			seen := map[string]bool{}
			for _, tag := range v.Tags {
				if !seen[tag] {
					out = append(out, entry{str(tag), id})
				}
				seen[tag] = true
			}
		case "email":
			if v.Email != "" {
				out = append(out, entry{str(v.Email), id})
			}
		}
	}
	slices.SortFunc(out, entry.compare)
	return out
}

// query is the range of q without cursor and limit.
func (m *model) query(q store.Query) []entry {
	var out []entry
	for _, e := range m.entries(q.Index) {
		if bytes.HasPrefix(e.tuple, q.Prefix) && (q.From == nil || bytes.Compare(e.tuple, q.From) >= 0) && (q.To == nil || bytes.Compare(e.tuple, q.To) < 0) {
			out = append(out, e)
		}
	}
	if q.Reverse {
		slices.Reverse(out)
	}
	return out
}

// compare reads everything and compares it with the model.
func (m *model) compare(rt *rapid.T, r store.Reader) {
	for _, index := range []string{"", "group", "tag", "email"} {
		var got, want []string
		for v, err := range things.Scan(r, store.Query{Index: index}) {
			check(rt, err)
			got = append(got, fmt.Sprintf("%+v", *v))
		}
		for _, e := range m.entries(index) {
			v := m.rows[e.id]
			if len(v.Tags) == 0 {
				v.Tags = nil
			}
			want = append(want, fmt.Sprintf("%+v", v))
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("by %q: %v, want %v", index, got, want)
		}
	}
	for _, name := range modelCounters {
		if n, err := r.Counter(name); err != nil || n != m.counters[string(name)] {
			rt.Fatalf("counter %x: %d, %v, want %d", []byte(name), n, err, m.counters[string(name)])
		}
	}
	var chunkIDs []string
	for id, err := range r.ChunkIDs(nil) {
		check(rt, err)
		chunkIDs = append(chunkIDs, string(id))
		for n := range uint32(4) {
			got, err := r.Chunk(id, n)
			want, ok := m.chunks[string(id)][n]
			if ok != (err == nil) || !bytes.Equal(got, want) {
				rt.Fatalf("chunk %d of %x: %x, %v, want %x", n, []byte(id), got, err, want)
			}
		}
	}
	if want := slices.Sorted(maps.Keys(m.chunks)); !slices.Equal(chunkIDs, want) {
		rt.Fatalf("chunk ids %q, want %q", chunkIDs, want)
	}
}

func check(rt *rapid.T, err error) {
	if err != nil {
		rt.Fatal(err)
	}
}
