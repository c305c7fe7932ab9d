package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"ticketgate/ticketing/message"
)

// story is one support conversation, played through SMTP and verified at the
// API and at the receiving mail server.
type story struct {
	*demo
	out   io.Writer
	steps int
	seen  map[string]int // per address: mails of the sink already looked at

	ticket  uint64
	toAnna  sunkMail // the answer Anna got
	toBo    sunkMail
	toAgent sunkMail // the agent's notification of the new ticket
}

const (
	anna  = "anna@customer.example"
	bo    = "bo@customer.example"
	carol = "carol@elsewhere.example"
	otto  = "otto@staff.example"
	desk  = "support@help.example"
)

// patience bounds each wait for a mail; on an idle machine all arrive within
// milliseconds.
const patience = time.Minute

func (s *story) play(ctx context.Context) error {
	for _, step := range []struct {
		title string
		run   func(context.Context) error
	}{
		{"Anna writes to " + desk + ", Bo in copy", s.customerWrites},
		{"Otto answers everybody from his own mail client", s.agentAnswers},
		{"Bo answers all", s.ccAnswers},
		{"Otto replies to the gateway alone", s.agentNotes},
		{"Carol, whom nobody knows, replies with Anna's token", s.strangerReplies},
		{"The last mail is delivered again", s.redelivery},
		{"Mail for an unknown address is refused", s.unknownRecipient},
		{"Nothing left this machine, and everything accepted is there", s.account},
	} {
		s.steps++
		fmt.Fprintf(s.out, "%d. %s\n", s.steps, step.title)
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("step %d (%s): %w", s.steps, step.title, err)
		}
	}
	return nil
}

func (s *story) say(format string, args ...any) { fmt.Fprintf(s.out, "   "+format+"\n", args...) }

func (s *story) customerWrites(ctx context.Context) error {
	answer, err := s.send(anna, []string{desk}, mailText("Anna Kunde <"+anna+">", desk, bo,
		"Drucker brennt / printer on fire", "<a1@customer.example>", nil,
		"Hello,\r\n\r\nthe printer on floor 3 is on fire. Grüße, Anna\r\n"))
	if err != nil {
		return err
	}
	receipt, err := s.receipt(ctx, answer)
	if err != nil {
		return err
	}
	if receipt.outcome != "new_ticket" {
		return fmt.Errorf("outcome is %q, want new_ticket", receipt.outcome)
	}
	s.ticket = receipt.ticket
	s.say("250 with %s: new ticket #%d", receipt.id, s.ticket)

	ack, err := s.await(ctx, anna)
	if err != nil {
		return err
	}
	if ack.from != "" {
		return fmt.Errorf("the acknowledgement has return path %q, want the null one", ack.from)
	}
	if got := header(ack).Get("Auto-Submitted"); got != "auto-replied" {
		return fmt.Errorf("the acknowledgement has Auto-Submitted %q", got)
	}
	if err := s.signed(ack); err != nil {
		return err
	}
	s.say("Anna got an acknowledgement, null return path, DKIM signatures verify")

	s.toAgent, err = s.await(ctx, otto)
	if err != nil {
		return err
	}
	h := header(s.toAgent)
	for _, name := range []string{"From", "Reply-To", "To", "Cc"} {
		for _, a := range h.Addresses(name) {
			if !strings.HasSuffix(a.Addr, "@help.example") {
				return fmt.Errorf("the agent's mail has %s in %s instead of an alias", a.Addr, name)
			}
		}
	}
	s.say("Otto got it; Anna and Bo stand in it as aliases, Anna as %s", h.Addresses("To")[0].Addr)
	return nil
}

func (s *story) agentAnswers(ctx context.Context) error {
	h := header(s.toAgent)
	recipients := replyAll(h, otto)
	answer, err := s.send(otto, recipients, mailText("Otto <"+otto+">", strings.Join(recipients[:1], ", "), strings.Join(recipients[1:], ", "),
		"Re: "+h.Text("Subject"), "<o1@staff.example>", []string{h.Get("Message-ID")},
		"Please leave the building. We are on our way.\r\n\r\nOtto\r\n"))
	if err != nil {
		return err
	}
	m, err := s.newest(ctx, answer, "public", "agent")
	if err != nil {
		return err
	}
	s.say("%s is public, threaded by %s, although the mail went to %d gateway addresses", m.ID, m.MatchedBy, len(recipients))
	if s.toAnna, err = s.await(ctx, anna); err != nil {
		return err
	}
	if s.toBo, err = s.await(ctx, bo); err != nil {
		return err
	}
	for _, got := range []sunkMail{s.toAnna, s.toBo} {
		if bytes.Contains(bytes.ToLower(got.raw), []byte(otto)) {
			return fmt.Errorf("Otto's own address is in the mail to %s", got.to)
		}
		if err := s.signed(got); err != nil {
			return err
		}
	}
	s.say("Anna and Bo each got one signed mail from %s; Otto's address is in no byte of it", header(s.toAnna).Addresses("From")[0].String())
	return nil
}

func (s *story) ccAnswers(ctx context.Context) error {
	h := header(s.toBo)
	recipients := replyAll(h, bo)
	answer, err := s.send(bo, onlyGateway(recipients), mailText("Bo <"+bo+">", strings.Join(recipients, ", "), "",
		"AW: "+h.Text("Subject"), "<b1@customer.example>", []string{h.Get("Message-ID")},
		"We are all outside.\r\n\r\nAm 21.11.2026 schrieb Otto:\r\n> Please leave the building.\r\n"))
	if err != nil {
		return err
	}
	m, err := s.newest(ctx, answer, "public", "cc")
	if err != nil {
		return err
	}
	if strings.Contains(m.Visible, "Please leave") {
		return fmt.Errorf("the quotation was not folded: %q", m.Visible)
	}
	s.say("%s from the CC is public, threaded by %s, quotation folded", m.ID, m.MatchedBy)
	s.toAgent, err = s.await(ctx, otto)
	return err
}

func (s *story) agentNotes(ctx context.Context) error {
	h := header(s.toAgent)
	to := h.Addresses("Reply-To")[0].Addr
	answer, err := s.send(otto, []string{to}, mailText("Otto <"+otto+">", to, "",
		"Re: "+h.Text("Subject"), "<o2@staff.example>", []string{h.Get("Message-ID")},
		"Note to self: order a new printer.\r\n"))
	if err != nil {
		return err
	}
	m, err := s.newest(ctx, answer, "internal", "agent")
	if err != nil {
		return err
	}
	s.say("%s is an internal note: Reply is private, Reply-all is public", m.ID)
	return nil
}

// carolReplies sends the stranger's mail, the same each time.
func (s *story) carolReplies() (string, error) {
	h := header(s.toAnna)
	to := h.Addresses("Reply-To")[0].Addr
	return s.send(carol, []string{to}, mailText("Carol <"+carol+">", to, "",
		"Re: "+h.Text("Subject"), "<c1@elsewhere.example>", []string{h.Get("Message-ID")},
		"Anna forwarded me this. I have a fire extinguisher.\r\n"))
}

func (s *story) strangerReplies(ctx context.Context) error {
	answer, err := s.carolReplies()
	if err != nil {
		return err
	}
	m, err := s.newest(ctx, answer, "internal", "third_party")
	if err != nil {
		return err
	}
	if !slices.Contains(m.Flags, "third_party") {
		return fmt.Errorf("the message is not flagged: %v", m.Flags)
	}
	var t ticketJSON
	if _, err := s.api.get(ctx, fmt.Sprintf("/tickets/%d", s.ticket), nil, &t); err != nil {
		return err
	}
	if !slices.Contains(t.Flags, "third_party_pending") {
		return fmt.Errorf("the ticket is not flagged: %v", t.Flags)
	}
	s.say("%s is stored, internal and flagged; a token finds a ticket but gives no rights", m.ID)
	if _, err := s.await(ctx, otto); err != nil {
		return err
	}
	s.say("Otto was told; Anna and Bo were not")
	return nil
}

func (s *story) redelivery(ctx context.Context) error {
	answer, err := s.carolReplies()
	if err != nil {
		return err
	}
	r, err := s.receipt(ctx, answer)
	if err != nil {
		return err
	}
	if r.outcome != "duplicate" {
		return fmt.Errorf("outcome is %q, want duplicate", r.outcome)
	}
	s.say("250, outcome duplicate, nothing new")
	return nil
}

func (s *story) unknownRecipient(context.Context) error {
	_, err := s.send(anna, []string{"sales@help.example"}, mailText(anna, "sales@help.example", "", "hello", "<a9@customer.example>", nil, "x\r\n"))
	if err == nil || !strings.HasPrefix(err.Error(), "550") {
		return fmt.Errorf("want a 550 at RCPT, got %v", err)
	}
	s.say("%v", err)
	return nil
}

// account waits until the outbound queue is empty, then checks that customers
// got exactly the mails they should, and asks the daemon to reconcile.
func (s *story) account(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		var list struct{ Items []parcelJSON }
		if _, err := s.api.get(ctx, "/outbound", nil, &list); err != nil {
			return err
		}
		if len(list.Items) == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d mails are still waiting: %s", len(list.Items), list.Items[0].Why)
		case <-time.After(20 * time.Millisecond):
		}
	}
	counts := map[string]int{}
	for _, m := range s.world.sink.All() {
		counts[m.to]++
		if !strings.HasSuffix(m.to, "@staff.example") && bytes.Contains(m.raw, []byte("order a new printer")) {
			return fmt.Errorf("the internal note reached %s", m.to)
		}
	}
	for who, want := range map[string]int{anna: 2, bo: 1, carol: 0} {
		if counts[who] != want {
			return fmt.Errorf("%s got %d mails, want %d", who, counts[who], want)
		}
	}
	s.say("Anna got %d mails, Bo %d, Carol none, Otto %d", counts[anna], counts[bo], counts[otto])

	if _, err := s.world.Dial(ctx, "tcp", "192.0.2.1:25"); err == nil {
		return fmt.Errorf("a connection to 192.0.2.1 was possible")
	}
	if refused := s.world.Refused(); len(refused) != 1 {
		return fmt.Errorf("the daemon tried to reach %v", refused[:len(refused)-1])
	}
	var r struct {
		Receipts, Messages int
		Problems           []string
	}
	if _, err := s.api.get(ctx, "/reconcile", nil, &r); err != nil {
		return err
	}
	if len(r.Problems) > 0 {
		return fmt.Errorf("reconciliation: %s", strings.Join(r.Problems, "; "))
	}
	s.say("no dial outside loopback; %d receipts and %d messages reconcile", r.Receipts, r.Messages)
	return nil
}

func (s *story) send(from string, to []string, raw string) (string, error) {
	return sendMail(s.program.addr("smtp"), from, to, raw)
}

// sendMail speaks SMTP to the daemon and returns its answer to DATA.
func sendMail(addr, from string, to []string, raw string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return "", err
	}
	conn.SetDeadline(time.Now().Add(patience))
	c, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.Hello("mx.sink.example"); err != nil {
		return "", err
	}
	if err := c.Mail(from); err != nil {
		return "", err
	}
	for _, rcpt := range to {
		if err := c.Rcpt(rcpt); err != nil {
			return "", err
		}
	}
	if err := c.Text.PrintfLine("DATA"); err != nil {
		return "", err
	}
	if _, _, err := c.Text.ReadResponse(354); err != nil {
		return "", err
	}
	w := c.Text.DotWriter()
	if _, err := io.WriteString(w, raw); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	_, answer, err := c.Text.ReadResponse(250)
	if err != nil {
		return "", err
	}
	return answer, c.Quit()
}

var receiptID = regexp.MustCompile(`rcpt_[0-9A-Z]{26}`)

type demoReceipt struct {
	id, outcome, message string
	ticket               uint64
}

func (s *story) receipt(ctx context.Context, answer string) (demoReceipt, error) {
	id := receiptID.FindString(answer)
	var r struct {
		Outcomes []struct {
			Outcome, Message string
			Ticket           uint64
		}
	}
	if _, err := s.api.get(ctx, "/receipts/"+url.PathEscape(id), nil, &r); err != nil {
		return demoReceipt{}, fmt.Errorf("receipt %q: %w", answer, err)
	}
	if len(r.Outcomes) == 0 {
		return demoReceipt{}, fmt.Errorf("receipt %s has no outcome", id)
	}
	o := r.Outcomes[0]
	return demoReceipt{id, o.Outcome, o.Message, o.Ticket}, nil
}

type demoMessage struct {
	ID         string
	Visibility string
	Visible    string `json:"visible_text"`
	MatchedBy  string `json:"matched_by"`
	Flags      []string
	Author     struct{ Role string }
}

// newest checks that the mail just accepted joined the ticket as expected.
func (s *story) newest(ctx context.Context, answer, visibility, role string) (demoMessage, error) {
	var m demoMessage
	r, err := s.receipt(ctx, answer)
	if err != nil {
		return m, err
	}
	if r.ticket != s.ticket {
		return m, fmt.Errorf("the mail went to ticket #%d (%s), want #%d", r.ticket, r.outcome, s.ticket)
	}
	if _, err := s.api.get(ctx, "/messages/"+url.PathEscape(r.message), nil, &m); err != nil {
		return m, err
	}
	if m.Visibility != visibility || m.Author.Role != role {
		return m, fmt.Errorf("the message is %s by %s, want %s by %s", m.Visibility, m.Author.Role, visibility, role)
	}
	return m, nil
}

// await returns the next mail to an address.
func (s *story) await(ctx context.Context, to string) (sunkMail, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, i, err := s.world.sink.Await(ctx, s.seen[to], func(m sunkMail) bool { return m.to == to })
	if err != nil {
		return m, fmt.Errorf("waiting for a mail to %s: %w", to, err)
	}
	s.seen[to] = i + 1
	return m, nil
}

// signed verifies every DKIM signature of a mail against the stub DNS.
func (s *story) signed(m sunkMail) error {
	verifications, err := dkim.VerifyWithOptions(bytes.NewReader(m.raw), &dkim.VerifyOptions{LookupTXT: s.world.names.LookupTXT})
	if err != nil {
		return fmt.Errorf("DKIM of the mail to %s: %w", m.to, err)
	}
	if len(verifications) < 2 {
		return fmt.Errorf("the mail to %s has %d DKIM signatures, want RSA and Ed25519", m.to, len(verifications))
	}
	for _, v := range verifications {
		if v.Err != nil || v.Domain != "help.example" {
			return fmt.Errorf("DKIM of the mail to %s by %s: %w", m.to, v.Domain, v.Err)
		}
	}
	return nil
}

func mailText(from, to, cc, subject, id string, references []string, body string) string {
	var b strings.Builder
	field := func(name, value string) {
		if value != "" {
			b.WriteString(name + ": " + value + "\r\n")
		}
	}
	field("From", from)
	field("To", to)
	field("Cc", cc)
	field("Subject", subject)
	field("Message-ID", id)
	field("In-Reply-To", strings.Join(references, " "))
	field("References", strings.Join(references, "\r\n "))
	field("Date", "Sat, 21 Nov 2026 12:00:00 +0000")
	field("MIME-Version", "1.0")
	field("Content-Type", "text/plain; charset=utf-8")
	field("Content-Transfer-Encoding", "8bit")
	return b.String() + "\r\n" + body
}

func header(m sunkMail) message.Header {
	mail, err := message.Parse(bytes.NewReader(m.raw), int64(len(m.raw)), message.DefaultLimits())
	if err != nil {
		return nil // a bytes.Reader does not fail
	}
	return mail.Header
}

// replyAll is what a mail client puts in To and Cc: Reply-To, then everybody
// else of the mail but oneself.
func replyAll(h message.Header, self string) []string {
	var out []string
	for _, name := range []string{"Reply-To", "To", "Cc"} {
		for _, a := range h.Addresses(name) {
			if a.Addr != self && !slices.Contains(out, a.Addr) {
				out = append(out, a.Addr)
			}
		}
	}
	return out
}

// onlyGateway keeps the recipients whose mail our sender's server would bring
// to us; the rest goes elsewhere.
func onlyGateway(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(a string) bool { return !strings.HasSuffix(a, "@help.example") })
}
