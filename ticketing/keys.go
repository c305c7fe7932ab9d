package ticketing

import (
	"context"
	"fmt"
	"io"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// Sorts of secrets.
const (
	sortAddress = "address"
	sortID      = "id"
)

// loadKeyring reads the secrets and makes the first ones if there are none.
// Two processes that start at once agree: the second finds what the first
// stored.
func loadKeyring(ctx context.Context, db store.DB, t *tables, random io.Reader) (*message.Keyring, error) {
	have, err := readSecrets(ctx, db, t)
	if err != nil {
		return nil, fmt.Errorf("ticketing: secrets: %w", err)
	}
	for _, sort := range []string{sortAddress, sortID} {
		if len(have[sort]) > 0 {
			continue
		}
		if err := makeSecret(ctx, db, t, random, sort); err != nil {
			return nil, fmt.Errorf("ticketing: first secret: %w", err)
		}
		if have, err = readSecrets(ctx, db, t); err != nil {
			return nil, fmt.Errorf("ticketing: secrets: %w", err)
		}
	}
	return message.NewKeyring(have[sortAddress], have[sortID])
}

// usable reads the keyring as it stands in the store.
func (d *Desk) usable(ctx context.Context) (*message.Keyring, error) {
	have, err := readSecrets(ctx, d.db, &d.tables)
	if err != nil {
		return nil, err
	}
	return message.NewKeyring(have[sortAddress], have[sortID])
}

func readSecrets(ctx context.Context, db store.DB, t *tables) (map[string][]message.Secret, error) {
	var have map[string][]message.Secret
	err := db.View(ctx, func(r store.Reader) error {
		have = map[string][]message.Secret{}
		for row, err := range t.secrets.Scan(r, store.Query{}) {
			if err != nil {
				return err
			}
			if row.Revoked.IsZero() {
				have[row.Sort] = append(have[row.Sort], row.Secret)
			}
		}
		return nil
	})
	return have, err
}

func makeSecret(ctx context.Context, db store.DB, t *tables, random io.Reader, sort string) error {
	var key [32]byte
	if _, err := io.ReadFull(random, key[:]); err != nil {
		return fmt.Errorf("random source: %w", err)
	}
	return db.Update(ctx, func(tx store.Tx) error {
		at := store.Key{}.Str(sort).Uint(1)
		if err := t.secrets.Lock(tx, at); err != nil {
			return err
		}
		old, err := t.secrets.Find(tx, at)
		if err != nil || old != nil {
			return err
		}
		return t.secrets.Put(tx, &secretRow{Sort: sort, Secret: message.Secret{Epoch: 1, Key: key[:], Created: tx.Now()}})
	})
}
