package blob_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/store/storetest"
)

// BenchmarkUpload is a mail on its way in: create, write, seal, link.
func BenchmarkUpload(b *testing.B) {
	for _, size := range []int{5 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			clk := &clock{t: start}
			db := storetest.OpenAt(b, clk.now)
			s := blob.New(db, random(1))
			content := text(1, size)
			ctx := context.Background()
			b.SetBytes(int64(size))
			n := uint64(0)
			for b.Loop() {
				n++
				binary.BigEndian.PutUint64(content, n) // every mail is another
				w := s.Create(ctx)
				if _, err := w.Write(content); err != nil {
					b.Fatal(err)
				}
				sealed, err := w.Seal()
				if err != nil {
					b.Fatal(err)
				}
				if err := db.Update(ctx, sealed.Link); err != nil {
					b.Fatal(err)
				}
				w.Discard()
			}
		})
	}
}
