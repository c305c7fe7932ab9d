package store

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// idEncoding is Crockford's alphabet, whose order is the bytes' order.
var idEncoding = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// NewID returns prefix and 26 characters that sort by time and cannot be
// guessed: 48 bits of milliseconds, 80 bits from random, so "msg_01J…". It
// fails only if random does.
func NewID(prefix string, now time.Time, random io.Reader) (string, error) {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	if _, err := io.ReadFull(random, b[6:]); err != nil {
		return "", fmt.Errorf("store: random source: %w", err)
	}
	return prefix + idEncoding.EncodeToString(b[:]), nil
}
