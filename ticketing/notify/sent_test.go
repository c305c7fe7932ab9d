package notify

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// sent is a parcel with its mail.
type sent struct {
	message.Outbound
	raw  string
	mail *message.Mail
}

func (s sent) header(name string) string { return s.mail.Header.Text(name) }

// all of the parcel that somebody could read: header, text and files decoded.
func (s sent) everything(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(s.From + "\n" + s.To + "\n" + s.raw)
	for _, f := range s.mail.Header {
		b.WriteString(f.Name + ": " + message.DecodeWords(f.Value) + "\n")
	}
	b.WriteString(s.mail.Text() + s.mail.HTML())
	for _, p := range s.mail.Attachments() {
		content, err := io.ReadAll(s.mail.Open(p))
		if err != nil {
			t.Fatal(err)
		}
		b.Write(content)
	}
	return b.String()
}

// sent returns all parcels by recipient, and in one recipient's in the order of
// their mails.
func (w *world) sent() []sent { return w.sentAbout(0) }

// sentAbout is sent for one ticket; 0 means all.
func (w *world) sentAbout(ticket uint64) []sent {
	w.t.Helper()
	var out []sent
	ctx := context.Background()
	err := w.db.View(ctx, func(r store.Reader) error {
		out = nil
		for p, err := range w.outbox.parcels.Scan(r, store.Query{}) {
			if err != nil {
				return err
			}
			if ticket == 0 || p.Ticket == ticket {
				out = append(out, sent{Outbound: *p})
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range out {
		raw, err := w.blobs.ReadAll(ctx, out[i].SHA256, 1<<30)
		if err != nil {
			w.t.Fatalf("the bytes of the mail to %s: %v", out[i].To, err)
		}
		out[i].raw = string(raw)
		if out[i].mail, err = message.Parse(bytes.NewReader(raw), int64(len(raw)), message.DefaultLimits()); err != nil {
			w.t.Fatal(err)
		}
		if len(out[i].mail.Problems) > 0 {
			w.t.Errorf("the mail to %s is damaged: %v", out[i].To, out[i].mail.Problems)
		}
	}
	slices.SortStableFunc(out, func(a, b sent) int {
		return cmp.Or(strings.Compare(a.To, b.To), strings.Compare(a.Message, b.Message))
	})
	return out
}

func (w *world) only(to string) sent {
	w.t.Helper()
	var found []sent
	for _, s := range w.sent() {
		if s.To == to {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		w.t.Fatalf("%d mails to %s, want one", len(found), to)
	}
	return found[0]
}

func recipients(list []sent) (out []string) {
	for _, s := range list {
		out = append(out, s.To)
	}
	return out
}
