package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Key is a tuple in an encoding whose byte order is the tuples' order, element
// by element, and from which the elements can be read back. A key built from
// fewer elements is a prefix of one built from the same elements and more.
//
//	string, bytes  tag, then the bytes with 00 written as 00 FF, then 00 01
//	uint           tag, 8 bytes big-endian
//	time           tag, microseconds since 1970 as 8 bytes, sign bit flipped
//	bool           tag for false, another for true
//
// The zero Key is the empty tuple. Methods append and return the longer key:
//
//	k := store.Key{}.Str("support").Uint(1001)
//
// A key must not be extended twice from the same base unless the base came
// from Clip: as with append, the two could share memory.
type Key []byte

const (
	tagBytes  = 0x10
	tagString = 0x12
	tagUint   = 0x20
	tagTime   = 0x28
	tagFalse  = 0x30
	tagTrue   = 0x31

	escape     = 0x00
	escapedNul = 0xff
	terminator = 0x01
)

// Str appends a string element. A byte that is not UTF-8 counts as U+FFFD, just
// as it does in a stored document: the keys of a record are the same before it
// is stored and after it has been read, and what is sought is found. Use Bytes
// where every byte matters.
func (k Key) Str(s string) Key {
	if !utf8.ValidString(s) {
		s = string([]rune(s))
	}
	k = append(k, tagString)
	for i := 0; i < len(s); i++ {
		if s[i] == escape {
			k = append(k, escape, escapedNul)
			continue
		}
		k = append(k, s[i])
	}
	return append(k, escape, terminator)
}

// Bytes appends a byte-string element.
func (k Key) Bytes(b []byte) Key {
	k = append(k, tagBytes)
	for _, c := range b {
		if c == escape {
			k = append(k, escape, escapedNul)
			continue
		}
		k = append(k, c)
	}
	return append(k, escape, terminator)
}

// Uint appends an unsigned integer element.
func (k Key) Uint(n uint64) Key {
	return binary.BigEndian.AppendUint64(append(k, tagUint), n)
}

// Time appends a time element with microsecond precision.
func (k Key) Time(t time.Time) Key {
	return binary.BigEndian.AppendUint64(append(k, tagTime), uint64(t.UnixMicro())^(1<<63))
}

// Bool appends a boolean element; false sorts before true.
func (k Key) Bool(b bool) Key {
	if b {
		return append(k, tagTrue)
	}
	return append(k, tagFalse)
}

// Join appends the elements of another key.
func (k Key) Join(other Key) Key { return append(k, other...) }

// Clip returns the key with no spare capacity, safe to extend several times.
func (k Key) Clip() Key { return k[:len(k):len(k)] }

// ErrKey says that bytes are not a tuple.
var ErrKey = errors.New("store: malformed key")

// Elements decodes the tuple into string, []byte, uint64, time.Time and bool
// values.
func (k Key) Elements() ([]any, error) {
	var out []any
	for len(k) > 0 {
		tag := k[0]
		k = k[1:]
		switch tag {
		case tagString, tagBytes:
			b, rest, err := unescape(k)
			if err != nil {
				return nil, err
			}
			k = rest
			if tag == tagString {
				out = append(out, string(b))
			} else {
				out = append(out, b)
			}
		case tagUint, tagTime:
			if len(k) < 8 {
				return nil, ErrKey
			}
			n := binary.BigEndian.Uint64(k)
			k = k[8:]
			if tag == tagUint {
				out = append(out, n)
			} else {
				out = append(out, time.UnixMicro(int64(n^(1<<63))).UTC())
			}
		case tagFalse, tagTrue:
			out = append(out, tag == tagTrue)
		default:
			return nil, fmt.Errorf("%w: tag %#x", ErrKey, tag)
		}
	}
	return out, nil
}

func unescape(k Key) (b, rest []byte, err error) {
	b = []byte{}
	for i := 0; i < len(k); i++ {
		if k[i] != escape {
			b = append(b, k[i])
			continue
		}
		if i+1 >= len(k) {
			break
		}
		switch k[i+1] {
		case escapedNul:
			b = append(b, escape)
			i++
		case terminator:
			return b, k[i+2:], nil
		default:
			return nil, nil, ErrKey
		}
	}
	return nil, nil, fmt.Errorf("%w: unterminated", ErrKey)
}

// PrefixEnd returns the smallest key after every key that starts with k, or
// nil if there is none.
func (k Key) PrefixEnd() Key {
	end := append(Key(nil), k...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}
