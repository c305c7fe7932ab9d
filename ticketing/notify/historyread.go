package notify

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"ticketgate/ticketing"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// HistoryDesk is what the history reads of the domain; *ticketing.Desk fits.
type HistoryDesk interface {
	Queue(name string) (*ticketing.Queue, bool)
	Agent(name string) (*ticketing.Agent, bool)
	Writer(address string) (*ticketing.Agent, bool)
	Ticket(ctx context.Context, number uint64) (*ticketing.Ticket, error)
	Messages(ctx context.Context, ticket uint64, after, limit int) ([]*ticketing.Message, error)
	Message(ctx context.Context, id string) (*ticketing.Message, error)
	Deliveries(ctx context.Context, messageID string) ([]ticketing.Delivery, error)
	OptedOut(ctx context.Context, addresses ...string) (map[string]bool, error)
}

// HistoryOptions are what a History needs from the world.
type HistoryOptions struct {
	DB    store.DB
	Blobs *blob.Store
	Desk  HistoryDesk
	// Waiting says in words why a parcel is still in the outbound queue; ok is
	// false for one that is not.
	Waiting func(ctx context.Context, parcel string) (why string, ok bool, err error)
}

// History reads what notifiers decided, and finds out what became of it.
type History struct {
	o      HistoryOptions
	rows   *store.Table[historyRow]
	unsent *store.Table[unsentRow]
	acks   *store.Table[ackRow]
}

// NewHistory returns the history that the notifiers on o.DB write.
func NewHistory(o HistoryOptions) *History {
	return &History{o: o, rows: historyTable(), unsent: unsentTable(), acks: ackTable()}
}

// States of a notification.
const (
	StateSent       = "sent"       // handed over, and no failure is known
	StateQueued     = "queued"     // in the outbound queue
	StateSuppressed = "suppressed" // not to be sent, or not any more
	StateFailed     = "failed"     // could not be written or delivered
)

// Notification is what was decided about one person, and what became of it.
type Notification struct {
	ID        string
	Event     string // as in ticketing.Notice
	Ticket    uint64 // 0 = none
	Queue     string
	Message   string // id of the message it tells, "" if none
	Letter    string // kind of mail: acknowledgement, public-message …
	Recipient string // address
	Agent     string // whose address it is, "" if no agent's
	Role      string
	State     string
	Reason    string    // of a stable word; what the outbound queue or a server said after it
	At        time.Time // when it was decided
	MailID    string    // Message-ID of the mail, "" if none was written
	Parcel    string    // id of the mail in the outbound queue, "" if there is none

	word, detail string
	sum          []byte
	delivery     *ticketing.Delivery
	ended        time.Time
}

// HistoryFilter selects notifications; zero fields select all.
type HistoryFilter struct {
	Ticket uint64
	To     string // an address; an agent's stands for all that are his
	Event  string
	Limit  int    // 1 to 1000; 0 = 100
	Cursor string // the next of an earlier page
}

// ErrHistoryCursor says that a cursor is not one of List's.
var ErrHistoryCursor = errors.New("notify: not a cursor")

const (
	historyChunk  = 20
	historyBudget = 5000 // rows one page may look at; it may come back short, with a cursor to go on
)

// List returns notifications, the latest notice first, and the cursor of the
// next page, "" at the end.
func (h *History) List(ctx context.Context, f HistoryFilter) (page []*Notification, next string, err error) {
	q := store.Query{Reverse: true}
	person := h.person(f.To)
	switch {
	case f.Ticket != 0:
		q.Index, q.Prefix = historyByTicket, store.Key{}.Uint(f.Ticket)
	case f.To != "":
		q.Index, q.Prefix = historyByPerson, store.Key{}.Str(person)
	}
	from, err := readHistoryCursor(f.Cursor)
	if err != nil {
		return nil, "", err
	}
	f.Limit = cmp.Or(max(f.Limit, 0), 100)
	fits := func(row *historyRow, d *historyDecision) bool {
		return (f.Event == "" || f.Event == row.Event) && (f.To == "" || d.of(person))
	}
	err = h.o.DB.View(ctx, func(r store.Reader) (err error) {
		page, next, err = h.scan(r, q, from, min(f.Limit, 1000), fits)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("notify: history: %w", err)
	}
	return page, next, h.complete(ctx, page)
}

// place is where a page of decisions ends, often within a row: after the row at
// a position, and then after some decisions of the next one. A list that begins
// within a row has no position yet, and names the row: newer ones may have come
// before it.
type place struct {
	After store.Key `json:"a,omitempty"`
	Row   store.Key `json:"r,omitempty"`
	Skip  int       `json:"s,omitempty"`
}

func (p place) cursor() string {
	b, _ := json.Marshal(p) // bytes and a number can always be written
	return base64.RawURLEncoding.EncodeToString(b)
}

func readHistoryCursor(s string) (p place, err error) {
	if s == "" {
		return p, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) > 3<<10 || json.Unmarshal(b, &p) != nil || p.After == nil && p.Row == nil {
		return p, ErrHistoryCursor
	}
	return p, nil
}

// scan collects up to limit decisions from a place on.
func (h *History) scan(r store.Reader, q store.Query, from place, limit int, fits func(*historyRow, *historyDecision) bool) (page []*Notification, next string, err error) {
	q.After = from.After
	for looked := 0; ; looked += historyChunk {
		q.Limit = historyChunk
		rows, following, err := h.rows.Page(r, q)
		if err != nil {
			return nil, "", err
		}
		for i, row := range rows {
			if from.Row != nil && !bytes.Equal(from.Row, historyKey(row.At, row.ID)) {
				continue // newer than the list
			}
			for n := range row.Decisions {
				if from.Skip > n || !fits(row, &row.Decisions[n]) {
					continue
				}
				if len(page) == limit {
					end, err := h.before(r, q, i, row)
					end.Skip = n
					return page, end.cursor(), err
				}
				page = append(page, row.shown(n))
			}
			from = place{}
		}
		if following == nil || looked >= historyBudget {
			if following != nil {
				next = place{following, from.Row, from.Skip}.cursor()
			}
			return page, next, nil
		}
		q.After = following
	}
}

// before is the place before the i-th row of a query's answer.
func (h *History) before(r store.Reader, q store.Query, i int, row *historyRow) (p place, err error) {
	if p.After = q.After; i > 0 {
		q.Limit = i
		_, p.After, err = h.rows.Page(r, q)
	}
	if p.After == nil {
		p.Row = historyKey(row.At, row.ID)
	}
	return p, err
}

// person is the name under which decisions about an address are found.
func (h *History) person(address string) string {
	if agent, is := h.o.Desk.Writer(address); is {
		return agentKey(agent.Name)
	}
	return message.Fold(address)
}

// of reports whether a decision is about a person. Who was an agent when it was
// made is known by his address too.
func (d *historyDecision) of(person string) bool {
	return d.person() == person || message.Fold(d.To) == person
}

// shown is a decision without what became of it.
func (r *historyRow) shown(n int) *Notification {
	d := &r.Decisions[n]
	return &Notification{
		ID:    "ntf_" + strconv.FormatInt(r.At.UnixMicro(), 36) + "_" + r.ID + "." + strconv.Itoa(n+1),
		Event: r.Event, Ticket: r.Ticket, Queue: r.Queue, Message: r.Message,
		Letter: cmp.Or(d.Letter, eventKind(r.Event)), Recipient: d.To, Agent: d.Agent, Role: d.Role,
		At: r.At, Parcel: d.Parcel, word: d.Reason, detail: d.Detail, sum: d.SHA256,
	}
}

// readNotificationID takes the id of shown apart.
func readNotificationID(id string) (at time.Time, notice string, n int, ok bool) {
	rest, ours := strings.CutPrefix(id, "ntf_")
	micros, rest, found := strings.Cut(rest, "_")
	dot := strings.LastIndexByte(rest, '.')
	if !ours || !found || dot < 0 {
		return at, "", 0, false
	}
	us, err1 := strconv.ParseInt(micros, 36, 64)
	n, err2 := strconv.Atoi(rest[dot+1:])
	return time.UnixMicro(us).UTC(), rest[:dot], n - 1, err1 == nil && err2 == nil
}

// Get returns one notification.
func (h *History) Get(ctx context.Context, id string) (*Notification, error) {
	unknown := &ticketing.Error{Kind: ticketing.Unknown, Text: "there is no such notification"}
	at, notice, n, ok := readNotificationID(id)
	if !ok {
		return nil, unknown
	}
	var row *historyRow
	err := h.o.DB.View(ctx, func(r store.Reader) (err error) {
		row, err = h.rows.Find(r, historyKey(at, notice))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("notify: history: %w", err)
	}
	if row == nil || n < 0 || n >= len(row.Decisions) {
		return nil, unknown
	}
	out := row.shown(n)
	return out, h.complete(ctx, []*Notification{out})
}

// Raw opens the bytes of a notification's mail as they were composed, before it
// was signed.
func (h *History) Raw(ctx context.Context, x *Notification) (*blob.Reader, error) {
	if len(x.sum) == 0 {
		return nil, &ticketing.Error{Kind: ticketing.Unknown, Text: "no mail was written for this notification"}
	}
	raw, err := h.o.Blobs.Open(ctx, hex.EncodeToString(x.sum))
	if err != nil {
		return nil, fmt.Errorf("notify: mail of %s: %w", x.ID, err)
	}
	return raw, nil
}

// complete finds what became of notifications.
func (h *History) complete(ctx context.Context, list []*Notification) error {
	deliveries := map[string][]ticketing.Delivery{}
	for _, x := range list {
		if err := h.fate(ctx, x, deliveries); err != nil {
			return fmt.Errorf("notify: history: %w", err)
		}
	}
	return nil
}

func (h *History) fate(ctx context.Context, x *Notification, known map[string][]ticketing.Delivery) (err error) {
	if x.Parcel == "" {
		x.State, x.Reason = StateSuppressed, x.word
		if x.word == notWritable {
			x.State = StateFailed
		}
		return nil
	}
	if x.MailID, err = h.mailID(ctx, x); err != nil {
		return err
	}
	// In this order: a parcel leaves the queue as its end is written down.
	why, waiting, err := h.o.Waiting(ctx, x.Parcel)
	if err != nil {
		return err
	}
	if waiting {
		x.State, x.Reason = StateQueued, why
		return nil
	}
	x.State = StateSent
	if err := h.o.DB.View(ctx, func(r store.Reader) error { return h.ended(r, x) }); err != nil || x.State != StateSent || x.Message == "" {
		return err
	}
	list, read := known[x.Message]
	if !read {
		if list, err = h.o.Desk.Deliveries(ctx, x.Message); err != nil {
			return err
		}
		known[x.Message] = list
	}
	for i := range list {
		if d := &list[i]; d.Parcel == x.Parcel {
			x.delivery = d
			if d.State == "bounced" {
				x.end(StateFailed, endBounced, d.Code, d.Enhanced, d.Text)
				x.ended = d.At
			}
		}
	}
	return nil
}

// ended applies what was written down about a parcel that was not handed over.
func (h *History) ended(r store.Reader, x *Notification) error {
	row, err := h.unsent.Find(r, store.Key{}.Str(x.Parcel))
	if err != nil || row == nil {
		return err
	}
	text := row.Text
	if row.Unsure {
		text += " (an attempt may have delivered it)"
	}
	switch row.State {
	case "suppressed":
		x.end(StateSuppressed, endSuppressed, 0, "", text)
	case "cancelled":
		x.end(StateSuppressed, endCancelled, 0, "", text)
	case "bounced":
		x.end(StateFailed, endBounced, row.Code, row.Enhanced, text)
	default:
		x.end(StateFailed, endFailed, row.Code, row.Enhanced, text)
	}
	x.ended = row.At
	return nil
}

func (x *Notification) end(state, word string, code int, enhanced, text string) {
	said := enhanced + " " + text
	if code != 0 {
		said = strconv.Itoa(code) + " " + said
	}
	x.State, x.word, x.detail, x.Reason = state, word, clipDetail(said), word
	if x.detail != "" {
		x.Reason += ": " + x.detail
	}
}

// mailID reads a mail's Message-ID.
func (h *History) mailID(ctx context.Context, x *Notification) (string, error) {
	raw, err := h.Raw(ctx, x)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil // its bytes are gone, the decision is not
	}
	if err != nil {
		return "", err
	}
	// What ends too early has the fields that were read.
	header, _ := textproto.NewReader(bufio.NewReader(io.LimitReader(raw, 64<<10))).ReadMIMEHeader()
	return strings.TrimSpace(header.Get("Message-ID")), nil
}
