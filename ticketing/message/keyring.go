package message

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// secretLen is the length of a Secret's key in bytes.
const secretLen = 32

// Secret is one epoch's key. It prints and logs without the key; only its JSON,
// which the store keeps, has it.
type Secret struct {
	Epoch   uint8     `json:"epoch"`
	Key     []byte    `json:"key"` // 32 bytes
	Created time.Time `json:"created"`
}

// NewSecret makes an epoch's key from random. It fails only if random does.
func NewSecret(epoch uint8, created time.Time, random io.Reader) (Secret, error) {
	key := make([]byte, secretLen)
	if _, err := io.ReadFull(random, key); err != nil {
		return Secret{}, fmt.Errorf("message: random source: %w", err)
	}
	return Secret{Epoch: epoch, Key: key, Created: created}, nil
}

// String names the epoch and hides the key.
func (s Secret) String() string { return fmt.Sprintf("secret of epoch %d", s.Epoch) }

// GoString is String, so that %#v hides the key too.
func (s Secret) GoString() string { return s.String() }

// LogValue is String as a log value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Keyring signs with the newest epoch and accepts all it holds. Address tokens
// and Message-IDs have independent secrets. It is immutable and may be shared.
type Keyring struct {
	addresses, ids ring
}

// ring holds secrets of one sort, oldest first.
type ring []signer

type signer struct {
	epoch   uint8
	created time.Time
	key     []byte
}

// NewKeyring needs at least one secret of each sort. The newest is the one
// created last, the higher epoch where two are equally old. It refuses keys
// that are not 32 bytes and two secrets of one sort with the same epoch.
func NewKeyring(addresses, ids []Secret) (*Keyring, error) {
	a, err := newRing(addresses)
	if err != nil {
		return nil, fmt.Errorf("message: secrets of address tokens: %w", err)
	}
	i, err := newRing(ids)
	if err != nil {
		return nil, fmt.Errorf("message: secrets of Message-IDs: %w", err)
	}
	return &Keyring{addresses: a, ids: i}, nil
}

func newRing(secrets []Secret) (ring, error) {
	if len(secrets) == 0 {
		return nil, errors.New("there is none")
	}
	var r ring
	for _, s := range secrets {
		if len(s.Key) != secretLen {
			return nil, fmt.Errorf("epoch %d has a key of %d bytes, want %d", s.Epoch, len(s.Key), secretLen)
		}
		if r.find(s.Epoch) != nil {
			return nil, fmt.Errorf("epoch %d appears twice", s.Epoch)
		}
		at := len(r)
		for at > 0 && r[at-1].newer(s) {
			at--
		}
		r = append(r, signer{})
		copy(r[at+1:], r[at:])
		r[at] = signer{epoch: s.Epoch, created: s.Created, key: append([]byte(nil), s.Key...)}
	}
	return r, nil
}

func (s *signer) newer(other Secret) bool {
	if s.created.Equal(other.Created) {
		return s.epoch > other.Epoch
	}
	return s.created.After(other.Created)
}

func (r ring) newest() *signer { return &r[len(r)-1] }

func (r ring) find(epoch uint8) *signer {
	for i := range r {
		if r[i].epoch == epoch {
			return &r[i]
		}
	}
	return nil
}

// String names the epochs and hides the keys.
func (k Keyring) String() string {
	return "keyring of address epochs " + k.addresses.String() + " and Message-ID epochs " + k.ids.String()
}

// GoString is String, so that %#v hides the keys too.
func (k Keyring) GoString() string { return k.String() }

func (r ring) String() string {
	var epochs []string
	for i := range r {
		epochs = append(epochs, fmt.Sprint(r[i].epoch))
	}
	return strings.Join(epochs, ", ")
}
