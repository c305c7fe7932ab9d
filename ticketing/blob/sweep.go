package blob

import (
	"context"
	"fmt"
	"slices"

	"ticketgate/ticketing/store"
)

// Sizes of Sweep's steps: ids looked at in one view, orphans removed in one
// transaction. An orphan can have some hundred chunks.
const (
	sweepLook   = 512
	sweepRemove = 16
)

// Sweep removes chunks older than a day that no blob refers to. It works in
// small transactions and returns how many ids it removed. It seeks from id to
// id, and a later Sweep of the same Store goes on where this one ended.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	s.sweepMu.Lock()
	defer s.sweepMu.Unlock()
	removed := 0
	for {
		orphans, next, err := s.look(ctx, s.swept)
		if err != nil {
			return removed, fmt.Errorf("blob: sweep: %w", err)
		}
		for batch := range slices.Chunk(orphans, sweepRemove) {
			n, err := s.remove(ctx, batch)
			removed += n
			if err != nil {
				return removed, fmt.Errorf("blob: sweep: %w", err)
			}
		}
		if next == nil {
			return removed, nil
		}
		s.swept = next
	}
}

// look returns the orphans among the next ids after from that are old enough,
// and the last id it looked at; nil if there was none.
func (s *Store) look(ctx context.Context, from store.Key) (orphans []store.Key, next store.Key, err error) {
	err = s.db.View(ctx, func(r store.Reader) error {
		orphans, next = nil, nil
		limit := r.Now().Add(-sweepAge)
		if from != nil && string(from) > string(store.Key{}.Time(limit)) {
			from = nil // the clock was set back: uploads may have begun behind us
		}
		seen := 0
		for id, err := range r.ChunkIDs(from) {
			if err != nil {
				return err
			}
			if string(id) == string(from) {
				continue
			}
			if seen == sweepLook {
				break
			}
			seen++
			started, err := idTime(id)
			if err == nil && !started.Before(limit) {
				break
			}
			next = id
			if err != nil {
				continue // not ours
			}
			linked, err := s.linked(r, id)
			if err != nil {
				return err
			}
			if !linked {
				orphans = append(orphans, id)
			}
		}
		return nil
	})
	return orphans, next, err
}

func (s *Store) remove(ctx context.Context, ids []store.Key) (removed int, err error) {
	err = s.db.Update(ctx, func(tx store.Tx) error {
		removed = 0
		limit := tx.Now().Add(-sweepAge)
		for _, id := range ids {
			if started, err := idTime(id); err != nil || !started.Before(limit) {
				continue
			}
			linked, err := s.linked(tx, id)
			if err != nil {
				return err
			}
			if linked {
				continue
			}
			if err := tx.DeleteChunks(id); err != nil {
				return err
			}
			removed++
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}
