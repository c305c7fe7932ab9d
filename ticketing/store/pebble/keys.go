package pebble

import (
	"encoding/binary"
	"fmt"

	"ticketgate/ticketing/store"
)

// The layout of the store on disk. A key starts with the prefix byte of its
// table (prefixes.go of package store); what follows depends on the space:
//
//	row             P 00 primary-key                 → document
//	index entry     P i+1 tuple 00 primary-key       → length of tuple (uvarint)
//	unique entry    P i+1 tuple                      → primary key
//	counter         02 name                          → 8 bytes big-endian
//	chunk           03 id 00 n (4 bytes big-endian)  → the chunk
//	format          01 "format"                      → one byte
//
// Every element of a tuple starts with a tag above 00, so the 00 between tuple
// and primary key sorts a tuple before all its extensions, and entries come in
// the order of tuple first and primary key second whatever their lengths.
const (
	rowSpace  = 0x00
	separator = 0x00
	// afterSeparator is the smallest byte that sorts after the separator and
	// before every tag: it ends the chunks of one id.
	afterSeparator = 0x01
	chunkSuffix    = 1 + 4
	maxIndexes     = 0xfe
)

// formatVersion is the version of this layout, kept in the format row.
const formatVersion = 1

func formatKey() []byte { return store.Key{byte(store.PrefixMeta)}.Str("format") }

func appendRowKey(b []byte, s *store.Schema, key store.Key) []byte {
	return append(append(b, byte(s.Prefix), rowSpace), key...)
}

func appendIndexKey(b []byte, s *store.Schema, e store.IndexEntry, primary store.Key) []byte {
	b = append(append(b, byte(s.Prefix), byte(e.Index+1)), e.Key...)
	if s.Indexes[e.Index].Unique {
		return b
	}
	return append(append(b, separator), primary...)
}

func appendChunkKey(b []byte, id store.Key, n uint32) []byte {
	b = append(append(b, byte(store.PrefixChunk)), id...)
	return binary.BigEndian.AppendUint32(append(b, separator), n)
}

func appendCounterKey(b []byte, name store.Key) []byte {
	return append(append(b, byte(store.PrefixCounter)), name...)
}

// splitPosition returns the primary key that ends a position of a non-unique
// index, given the entry's value.
func splitPosition(pos store.Key, value []byte) (store.Key, error) {
	n, used := binary.Uvarint(value)
	if used <= 0 || used != len(value) || n >= uint64(len(pos)) || pos[n] != separator {
		return nil, fmt.Errorf("%w: index entry %x → %x", store.ErrCorrupt, []byte(pos), value)
	}
	return pos[n+1:], nil
}
