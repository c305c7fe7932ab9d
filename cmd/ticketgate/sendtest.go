package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ticketgate/delivery"
	"ticketgate/gateway/api"
	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// witness passes reports on and remembers the last one of each test mail, which
// belongs to no ticket that would. It keeps the latest few.
type witness struct {
	delivery.Ledger
	mu    sync.Mutex
	order []string
	last  map[string]message.Report
}

const testsKept = 100

func newWitness(l delivery.Ledger) *witness {
	return &witness{Ledger: l, last: map[string]message.Report{}}
}

// watch remembers a parcel from now on.
func (w *witness) watch(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.order = append(w.order, id); len(w.order) > testsKept {
		delete(w.last, w.order[0])
		w.order = w.order[1:]
	}
	w.last[id] = message.Report{Parcel: id, State: "queued"}
}

// Settled implements delivery.Ledger.
func (w *witness) Settled(tx store.Tx, r message.Report) error {
	w.mu.Lock()
	_, watched := w.last[r.Parcel]
	w.mu.Unlock()
	if watched {
		tx.OnCommit(func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if _, still := w.last[r.Parcel]; still {
				w.last[r.Parcel] = r
			}
		})
	}
	return w.Ledger.Settled(tx, r)
}

func (w *witness) saw(id string) (message.Report, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, ok := w.last[id]
	return r, ok
}

// SendTest implements api.House. The mail is signed and travels like any other;
// its return path is null, so that a report about it opens no ticket.
func (h house) SendTest(ctx context.Context, to, from, by string) (string, error) {
	names := slices.Sorted(maps.Keys(h.p.cfg.Queues))
	if from == "" && len(names) > 0 {
		from = names[0]
	}
	q, ok := h.p.desk.Queue(from)
	if !ok {
		return "", &ticketing.Error{Kind: ticketing.Invalid, Text: "there is no such queue to send from"}
	}
	address, err := message.ParseAddress(to)
	if err != nil || address.Domain() == "" {
		return "", &ticketing.Error{Kind: ticketing.Invalid, Text: "that is no mail address", Err: err}
	}
	now := h.p.world.now()
	id, err := store.NewID("out_", now, h.p.world.random)
	if err != nil {
		return "", err
	}
	domain := message.Address{Addr: q.Address}.Domain()
	host := string(h.p.cfg.Hostname)
	draft := message.Draft{
		From: message.Address{Name: "Ticketgate", Addr: q.Address}, To: []message.Address{address},
		Subject: "Test mail from " + host, Date: now, MessageID: "<" + strings.ToLower(id) + "@" + domain + ">",
		Extra: []message.Field{{Name: "Auto-Submitted", Value: "auto-generated"}, {Name: "X-Auto-Response-Suppress", Value: "All"}},
		Text: fmt.Sprintf("This is a test mail from %s, sent for %s at %s.\n\nIf you can read this, mail from %s reaches you. Look at the full header: the signatures (DKIM), the sender's server (SPF) and the policy (DMARC) should have passed.\n",
			host, by, now.UTC().Format(time.RFC1123Z), domain),
	}
	w := h.p.blobs.Create(ctx)
	defer w.Discard() // removes what was not linked
	if err := message.Compose(w, draft, []byte(id)); err != nil {
		return "", &ticketing.Error{Kind: ticketing.Invalid, Text: "no mail can be written to that address", Err: err}
	}
	sealed, err := w.Seal()
	if err != nil {
		return "", err
	}
	h.p.witness.watch(id)
	return id, h.p.db.Update(ctx, func(tx store.Tx) error {
		if err := sealed.Link(tx); err != nil {
			return err
		}
		return submitError(h.p.outbound.Submit(tx, message.Outbound{
			ID: id, Class: "notification", To: address.Addr, SHA256: sealed.Ref().SHA256, Size: sealed.Ref().Size,
			Domain: domain, Queue: q.Name, UTF8: draft.NeedsUTF8(),
		}))
	})
}

// TestResult implements api.House.
func (h house) TestResult(_ context.Context, id string) (*api.TestResult, error) {
	r, ok := h.p.witness.saw(id)
	if !ok {
		return nil, &ticketing.Error{Kind: ticketing.Unknown, Text: "there is no such test mail, or it was long ago"}
	}
	return &api.TestResult{ID: id, State: r.State, Attempts: r.Attempts, Code: r.Code, Enhanced: stringOrNull(r.Enhanced), Text: stringOrNull(r.Text), MX: stringOrNull(r.MX)}, nil
}

func sendTestCommand(o *options) *cobra.Command {
	var queue string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "send-test ADDRESS",
		Short: "Send a signed test mail and say what became of it",
		Long:  "Send a signed test mail. With --wait, say what became of it: exit code 0 if a server took it, 1 if it was refused or is held, 75 if it is still being tried.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			var made struct{ ID string }
			raw, err := c.send(cmd.Context(), http.MethodPost, "/send-test", map[string]string{"to": args[0], "queue": queue}, &made)
			if err != nil {
				return err
			}
			if wait <= 0 {
				return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
					fmt.Fprintf(w, "%s is on its way; see: ticketgate outbound show %s\n", made.ID, made.ID)
				})
			}
			return o.awaitTest(cmd, c, made.ID, wait)
		},
	}
	cmd.Flags().StringVar(&queue, "queue", "", "whose address it comes from (default: the first queue)")
	cmd.Flags().DurationVar(&wait, "wait", 0, "wait this long for what becomes of it")
	return cmd
}

func (o *options) awaitTest(cmd *cobra.Command, c *client, id string, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	var r struct {
		State          string
		Attempts, Code int
		Enhanced, Text *string
		MX             *string
	}
	for {
		raw, err := c.get(cmd.Context(), "/send-test/"+url.PathEscape(id), nil, &r)
		if err != nil {
			return err
		}
		over := r.State != "queued" && r.State != "deferred"
		if !over && time.Now().Before(deadline) {
			select {
			case <-cmd.Context().Done():
				return cmd.Context().Err()
			case <-time.After(200 * time.Millisecond):
			}
			continue
		}
		words := strings.Join(strings.Fields(fmt.Sprintf("%d %s %s", r.Code, deref(r.Enhanced), deref(r.Text))), " ")
		words = strings.TrimPrefix(words, "0 ")
		if err := o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
			fmt.Fprintf(w, "%s\t%s after %d tries%s\t%s\n", id, r.State, r.Attempts, prefixed(", ", deref(r.MX)), orWord(words, "–"))
		}); err != nil {
			return err
		}
		switch {
		case r.State == "sent":
			return nil
		case over:
			return exitWith(exitFailed, "the test mail was not taken")
		}
		return exitWith(exitTemporary, "the test mail is still being tried")
	}
}
