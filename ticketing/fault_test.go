package ticketing_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

var errDisk = errors.New("injected")

// faulty fails the n-th call inside each transaction, n counting down from
// left; with left 0 it fails nothing.
type faulty struct {
	store.DB
	left *int
	with error
}

func (f faulty) Update(ctx context.Context, fn func(store.Tx) error) error {
	return f.DB.Update(ctx, func(tx store.Tx) error { return fn(&faultyTx{tx, f}) })
}

func (f faulty) fail() error {
	if *f.left == 0 {
		return nil
	}
	if *f.left--; *f.left == 0 {
		return f.with
	}
	return nil
}

type faultyTx struct {
	store.Tx
	f faulty
}

func (t *faultyTx) Get(s *store.Schema, key store.Key) ([]byte, error) {
	if err := t.f.fail(); err != nil {
		return nil, err
	}
	return t.Tx.Get(s, key)
}

func (t *faultyTx) Scan(s *store.Schema, q store.Query) iter.Seq2[store.Row, error] {
	if err := t.f.fail(); err != nil {
		return func(yield func(store.Row, error) bool) { yield(store.Row{}, err) }
	}
	return t.Tx.Scan(s, q)
}

func (t *faultyTx) Put(s *store.Schema, key store.Key, doc []byte, add, drop []store.IndexEntry) error {
	if err := t.f.fail(); err != nil {
		return err
	}
	return t.Tx.Put(s, key, doc, add, drop)
}

func (t *faultyTx) Count(name store.Key, delta uint64) (uint64, error) {
	if err := t.f.fail(); err != nil {
		return 0, err
	}
	return t.Tx.Count(name, delta)
}

func (t *faultyTx) PutChunk(id store.Key, n uint32, data []byte) error {
	if err := t.f.fail(); err != nil {
		return err
	}
	return t.Tx.PutChunk(id, n, data)
}

// image is everything a desk shows about a store.
func (b *bench) image() string {
	b.t.Helper()
	out := ""
	list, _, err := b.desk.Tickets(context.Background(), ticketing.Filter{Limit: 100})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, t := range list {
		out += fmt.Sprintf("%+v\n", *t)
		for _, m := range b.messages(t.Number) {
			out += fmt.Sprintf("  %+v\n", *m)
		}
		out += fmt.Sprintf("  %d notices\n", len(b.notices(t.Number)))
	}
	for _, q := range queues() {
		entries, err := b.log.Read(context.Background(), q.Name, 0, 1000)
		if err != nil {
			b.t.Fatal(err)
		}
		out += fmt.Sprintf("%s: %d entries\n", q.Name, len(entries))
	}
	return out
}

// Whichever call into the store fails, nothing has changed, the error is
// temporary, and trying again works.
func TestAllOrNothing(t *testing.T) {
	t.Parallel()
	for _, with := range []error{errDisk, store.ErrNoSpace} {
		c := newClock()
		left := 0
		b := openOn(t, faulty{storetest.OpenAt(t, c.now), &left, with}, c)
		n := b.take(mail{text: write(rAddr, "Printer", toUs, toCC)}).Ticket
		l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
		mails := []mail{
			{to: []string{helpdsk, "sales@help.example"}, text: write(xAddr, "New", toUs, "Cc: "+dAddr)},
			{to: []string{l.replyTo}, text: answer(rAddr, "Printer", l, "To: "+l.replyTo, "Cc: "+dAddr)},
		}
		want := ticketing.Internal
		if with == store.ErrNoSpace {
			want = ticketing.NoSpace
		}
		for _, m := range mails {
			a := b.arrival(m)
			before := b.image()
			failed := 0
			for at := 1; ; at++ {
				left = at
				_, err := b.desk.Receive(context.Background(), a)
				rest := left
				left = 0
				if err == nil {
					if rest == 0 {
						t.Fatalf("call %d failed and nobody noticed", at)
					}
					break
				}
				failed++
				if !errors.Is(err, with) || ticketing.KindOf(err) != want {
					t.Fatalf("call %d: %v of kind %d", at, err, ticketing.KindOf(err))
				}
				if after := b.image(); after != before {
					t.Fatalf("call %d failed and left something:\n%s\nwas\n%s", at, after, before)
				}
			}
			if failed < 15 {
				t.Errorf("only %d calls could fail", failed)
			}
			b.checkAll()
		}
	}
}

// Every receipt that was returned is there after a power failure, with its
// ticket, message and bytes; and the retry of a mail whose 250 was lost gives
// one ticket (scenario 43).
func TestCrash(t *testing.T) {
	t.Parallel()
	c := newClock()
	disk := storetest.OpenCrashable(t, c.now)
	b := openOn(t, disk.DB, c)
	var receipts []*ticketing.Receipt
	var mails []mail
	var last letter
	for i := range 12 {
		m := mail{text: write(rAddr, "Printer", toUs, toCC)}
		if i%3 == 2 {
			m = mail{to: []string{last.replyTo, "sales@help.example"}, text: answer(rAddr, "Printer", last, toUs)}
		}
		r := b.receive(m)
		receipts, mails = append(receipts, r), append(mails, m)
		last = b.mailTo(r.Outcomes[0].Ticket, 1, rAddr, message.RoleRequester, false)
		for _, keep := range []int{0, 50, 100} {
			after := openOn(t, disk.Crash(keep).DB, c)
			after.keys = after.desk.Keyring()
			for _, r := range receipts {
				stored, err := after.desk.Receipt(context.Background(), r.ID)
				if err != nil {
					t.Fatalf("mail %d, %d %%: receipt: %v", i, keep, err)
				}
				for _, o := range stored.Outcomes {
					if m := after.message(o.Message); m.Ticket != o.Ticket {
						t.Errorf("message %+v", m)
					}
					if len(after.notices(o.Ticket)) == 0 {
						t.Errorf("mail %d, %d %%: nobody will hear of ticket %d", i, keep, o.Ticket)
					}
				}
			}
			after.checkAll()
			for k, o := range after.receive(mails[len(mails)-1]).Outcomes {
				if o.Outcome != "duplicate" || o.Message != r.Outcomes[k].Message {
					t.Errorf("mail %d, %d %%: retry: %+v", i, keep, o)
				}
			}
			after.checkAll()
		}
	}
}

// The keyring outlives the process: tokens of yesterday verify today.
func TestKeyringStays(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
	again := openOn(t, b.db, b.clock)
	again.want(again.take(mail{to: []string{l.replyTo}, text: write(rAddr, "Re: x")}), "reply", n)
}
