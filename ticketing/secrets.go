package ticketing

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// Secret describes one epoch of the keyring, without its key.
type Secret struct {
	Sort    string // address (tokens in addresses) or id (Message-IDs)
	Epoch   uint8
	Created time.Time
	Revoked time.Time // zero while what it signed is believed
	Newest  bool      // signs what is sent now
}

// maxEpoch is the last epoch a token can name.
const maxEpoch = 255

// Secrets lists the epochs of both sorts, oldest first.
func (d *Desk) Secrets(ctx context.Context) ([]Secret, error) {
	var out []Secret
	err := d.db.View(ctx, func(r store.Reader) error {
		out = nil
		for _, sort := range []string{sortAddress, sortID} {
			rows, err := d.secretsOf(r, sort)
			if err != nil {
				return err
			}
			newest := newestSecret(rows)
			for _, row := range rows {
				out = append(out, Secret{Sort: sort, Epoch: row.Epoch, Created: row.Created, Revoked: row.Revoked, Newest: row == newest})
			}
		}
		return nil
	})
	return out, failure(err)
}

func (d *Desk) secretsOf(r store.Reader, sort string) (rows []*secretRow, err error) {
	for row, err := range d.secrets.Scan(r, store.Query{Prefix: store.Key{}.Str(sort)}) {
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// newestSecret is the one that signs, nil if there is none.
func newestSecret(rows []*secretRow) *secretRow {
	var newest *secretRow
	for _, row := range rows {
		if row.Revoked.IsZero() && (newest == nil || !row.Created.Before(newest.Created)) {
			newest = row
		}
	}
	return newest
}

// Rotate begins a new epoch of a sort of secrets, address or id: what is sent
// from now on is signed with a new key, and what was sent before stays
// readable. Only the system and integrations may.
func (d *Desk) Rotate(ctx context.Context, by Actor, sort string) (*Secret, error) {
	if err := d.mayGuard(by, sort); err != nil {
		return nil, err
	}
	fresh, err := message.NewSecret(0, time.Time{}, d.random)
	if err != nil {
		return nil, failure(err)
	}
	var made secretRow
	err = d.guard(ctx, sort, func(tx store.Tx, rows []*secretRow) error {
		var epoch int
		for _, row := range rows {
			epoch = max(epoch, int(row.Epoch))
		}
		if epoch >= maxEpoch {
			return &Error{Kind: Refused, Text: "all epochs are used up"}
		}
		made = secretRow{Sort: sort, Secret: message.Secret{Epoch: uint8(epoch + 1), Key: fresh.Key, Created: tx.Now()}}
		return d.secrets.Put(tx, &made)
	})
	if err != nil {
		return nil, err
	}
	d.log.Info("a new secret signs", "sort", sort, "epoch", made.Epoch, "by", by.label())
	return &Secret{Sort: sort, Epoch: made.Epoch, Created: made.Created, Newest: true}, nil
}

// Revoke ends an epoch: nothing its key signed is believed any more. Mail to
// its addresses is refused as to unknown ones, and its Message-IDs are those of
// strangers. The epoch that signs now cannot be revoked: Rotate first.
func (d *Desk) Revoke(ctx context.Context, by Actor, sort string, epoch uint8) (*Secret, error) {
	if err := d.mayGuard(by, sort); err != nil {
		return nil, err
	}
	var out Secret
	err := d.guard(ctx, sort, func(tx store.Tx, rows []*secretRow) error {
		i := slices.IndexFunc(rows, func(r *secretRow) bool { return r.Epoch == epoch })
		switch {
		case i < 0:
			return &Error{Kind: Unknown, Text: "there is no such epoch"}
		case rows[i] == newestSecret(rows):
			return &Error{Kind: Conflict, Text: "this epoch signs what is sent now; rotate first"}
		}
		row := rows[i]
		if row.Revoked.IsZero() {
			row.Revoked = tx.Now()
		}
		out = Secret{Sort: sort, Epoch: epoch, Created: row.Created, Revoked: row.Revoked}
		return d.secrets.Put(tx, row)
	})
	if err != nil {
		return nil, err
	}
	d.log.Warn("a secret is revoked", "sort", sort, "epoch", epoch, "by", by.label())
	return &out, nil
}

func (d *Desk) mayGuard(by Actor, sort string) error {
	switch {
	case sort != sortAddress && sort != sortID:
		return &Error{Kind: Invalid, Text: "sort is none of address, id"}
	case by.Agent != "" || by.Kind != "system" && by.Kind != "token":
		return &Error{Kind: Denied, Text: "this is for the administrator"}
	}
	return nil
}

// guard changes the secrets of a sort and puts the new keyring in force.
func (d *Desk) guard(ctx context.Context, sort string, change func(store.Tx, []*secretRow) error) error {
	d.secrecy.Lock()
	defer d.secrecy.Unlock()
	err := d.db.Update(ctx, func(tx store.Tx) error {
		// One row stands for all: two rotations at once become two epochs.
		if err := d.secrets.Lock(tx, store.Key{}.Str(sort).Uint(0)); err != nil {
			return err
		}
		rows, err := d.secretsOf(tx, sort)
		if err != nil {
			return err
		}
		return change(tx, rows)
	})
	if err != nil {
		return failure(err)
	}
	keyring, err := d.usable(ctx)
	if err != nil {
		return failure(fmt.Errorf("ticketing: secrets: %w", err))
	}
	d.keyring.Store(keyring)
	return nil
}
