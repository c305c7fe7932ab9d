package ticketing

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// incoming is a mail as read before its transaction: everything about it that
// does not depend on what is stored. The transaction only reads it, because
// its closure may run again.
type incoming struct {
	arrival Arrival
	mail    *message.Mail

	rewriter message.Address    // the group that passed the mail on in its own name; zero if none did
	flags    []string           // for the message
	forward  *message.Forwarded // the customer's mail that an agent passes on

	author   message.Address // From; Addr is "" if nobody can be named
	folded   string          // of author
	doubtful bool            // not exactly one From with one address: speaks for nobody
	ownFrom  bool            // From is one of our own addresses
	agent    *Agent          // who writes from this address, proven or not

	id      string // Message-ID, derived from the bytes if there is none
	foreign bool   // id is the mail's own and not one of ours
	hash    string // of author and body

	answers   []reference     // In-Reply-To, then References from the newest
	markers   []message.Token // of mails of ours that stand quoted in it, newest first
	addressed map[string]bool
	people    []message.Address // To and Cc, but none of ours
	aliases   []scoped          // verified alias tokens in To and Cc
	cutShort  bool              // To or Cc may have been longer than what was read

	auto      message.Automatic
	bounce    *message.Bounce // of a delivery report or a complaint
	tlsReport *message.TLSReport
	loop      string // why it is a loop, "" if it is none

	subject   string
	tags      []subjectTag
	bareReply bool // an answer by its subject, and it refers to no mail
	thanks    bool // it says thank you and nothing else
	commands  commands

	template Message
	units    []*unit
	entropy  [10]byte
	raw      rawMail
	bit8     bool // has octets over 127; known only if a queue hands the mail on
	utf8     bool // the first of them in the header

	receivedAt time.Time // when it came, if that was not now
}

// rawMail is where a mail's bytes are: on their way in, or in the store.
type rawMail interface {
	io.ReaderAt
	Ref() blob.Ref
}

// reference is a Message-ID the mail refers to.
type reference struct {
	id    string
	where string         // in_reply_to or references
	token *message.Token // set if the id is one of ours
}

// scoped is an address token and the queue it was verified for.
type scoped struct {
	queue string
	token message.Token
}

// unit is the mail's business with one queue.
type unit struct {
	queue      *queue
	recipients []string
	tokens     []message.Token // reply and alias tokens, distinct
	returns    []message.Token // return-path tokens, distinct
	trust      string
	forwarder  bool
	agent      *Agent      // the author, if he is proven to be an agent
	rule       *acceptRule // that decides about the mail; nil if none does
	entropy    [10]byte
}

// read parses an arrival.
func (d *Desk) read(a Arrival) (*incoming, error) {
	if a.Raw == nil || len(a.Recipients) == 0 {
		return nil, &Error{Kind: Invalid, Text: "a mail needs content and a recipient"}
	}
	return d.readMail(a, a.Raw)
}

// readMail reads an arrival whose bytes are raw.
func (d *Desk) readMail(a Arrival, raw rawMail) (*incoming, error) {
	in := &incoming{arrival: a, raw: raw}
	mail, err := message.Parse(raw, raw.Ref().Size, d.limits)
	if err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	in.mail = mail
	if err := d.readRecipients(in); err != nil {
		return nil, err
	}
	d.readAuthor(in)
	d.unrewrite(in)
	if err := d.readIdentity(in); err != nil {
		return nil, fmt.Errorf("hash: %w", err)
	}
	d.readReferences(in)
	d.readPeople(in)
	d.readNature(in)
	d.readReplyTo(in)
	in.readRedirect()
	in.readSubjectRule()
	d.readMarkers(in)
	d.readForward(in)
	d.readThanks(in)
	for _, u := range in.units {
		d.judge(in, u)
		u.rule = d.ruling(in, u)
	}
	if err := in.readWidth(); err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	d.readCommands(in)
	in.template = in.message()
	if _, err := io.ReadFull(d.random, in.entropy[:]); err != nil {
		return nil, fmt.Errorf("random source: %w", err)
	}
	for _, u := range in.units {
		if _, err := io.ReadFull(d.random, u.entropy[:]); err != nil {
			return nil, fmt.Errorf("random source: %w", err)
		}
	}
	return in, nil
}

func (d *Desk) readAuthor(in *incoming) {
	from := in.mail.Header.Addresses("From")
	in.doubtful = len(from) != 1 || len(in.mail.Header.All("From")) != 1
	if len(from) == 0 {
		from = in.mail.Header.Addresses("Sender")
	}
	if len(from) == 0 && in.arrival.EnvelopeFrom != "" {
		if a, err := message.ParseAddress(in.arrival.EnvelopeFrom); err == nil {
			from = []message.Address{a}
		}
	}
	if len(from) == 0 {
		return
	}
	a, ok := clipAddress(from[0])
	in.author = a
	if !ok {
		in.author.Addr = ""
		in.doubtful = true
		return
	}
	in.folded = message.Fold(a.Addr)
	in.ownFrom = d.own(in.folded) != nil
	if !in.doubtful {
		in.agent = d.writer(in.folded)
	}
}

// readIdentity finds what makes the mail itself. The body is hashed together
// with the author, so that nobody can make somebody else's mail a duplicate by
// sending its text first. The header is not hashed: trace fields differ each
// time a mail is carried.
func (d *Desk) readIdentity(in *incoming) error {
	start := int64(0)
	if in.mail.Root != nil && !in.mail.Unparsed {
		start = in.mail.Root.Start
	}
	h := sha256.New()
	io.WriteString(h, in.folded+"\x00")
	if err := hashRange(h, in.raw, start, in.raw.Ref().Size); err != nil {
		return err
	}
	in.hash = hex.EncodeToString(h.Sum(nil)[:16])
	if ids := in.mail.Header.IDs("Message-ID"); len(ids) > 0 {
		in.id = ids[0]
		_, err := d.Keyring().ParseMessageID(in.id)
		in.foreign = err != nil
		return nil
	}
	in.id = "<" + in.raw.Ref().SHA256[:40] + "@no-message-id.invalid>"
	return nil
}

// hashRange feeds bytes start to end of r to h, with no larger a buffer than
// they need: most mails are small.
func hashRange(h io.Writer, r io.ReaderAt, start, end int64) error {
	if start >= end {
		return nil
	}
	buf := make([]byte, min(end-start, 64<<10))
	for start < end {
		n, err := r.ReadAt(buf[:min(end-start, int64(len(buf)))], start)
		h.Write(buf[:n])
		start += int64(n)
		if err == io.EOF && start < end {
			return io.ErrUnexpectedEOF
		}
		if err != nil && err != io.EOF {
			return err
		}
	}
	return nil
}

// readReferences lists the ids the mail answers: those of In-Reply-To, then
// References from the newest; of very long lists the newest and the first.
func (d *Desk) readReferences(in *incoming) {
	seen := map[string]bool{in.id: true}
	add := func(id, where string) {
		if seen[id] {
			return
		}
		seen[id] = true
		r := reference{id: id, where: where}
		if t, err := d.Keyring().ParseMessageID(id); err == nil {
			r.token = &t
		}
		in.answers = append(in.answers, r)
	}
	for i, id := range in.mail.Header.IDs("In-Reply-To") {
		if i == maxInReplyTo {
			break
		}
		add(id, "in_reply_to")
	}
	refs := in.mail.Header.IDs("References")
	for i := len(refs) - 1; i >= 0 && len(refs)-i <= maxReferences; i-- {
		add(refs[i], "references")
	}
	if len(refs) > maxReferences {
		add(refs[0], "references")
	}
}

func (d *Desk) readPeople(in *incoming) {
	in.addressed = map[string]bool{}
	tokens := 0
	for _, field := range []string{"To", "Cc"} {
		list := in.mail.Header.Addresses(field)
		if len(list) >= max(d.limits.Addresses, 1) {
			in.cutShort = true
		}
		for _, a := range list {
			folded := message.Fold(a.Addr)
			if in.addressed[folded] {
				continue
			}
			in.addressed[folded] = true
			q, tag := d.tagged(folded)
			if q == nil {
				if a, ok := clipAddress(a); ok && d.own(folded) == nil {
					in.people = append(in.people, a)
				}
				continue
			}
			if tokens++; tokens > maxTokens || !looksLikeToken(tag) {
				continue
			}
			if t, err := d.Keyring().ParseAddressToken(q.Name, tag); err == nil && t.Kind == message.KindAlias {
				in.aliases = append(in.aliases, scoped{q.Name, t})
			}
		}
	}
}

// readNature finds out what machines say of the mail.
func (d *Desk) readNature(in *incoming) {
	in.auto = message.Classify(in.mail, in.arrival.EnvelopeFrom)
	in.tlsReport = message.ParseTLSReport(in.mail)
	if in.auto.Class == "" {
		in.auto.Class = "none"
	}
	switch in.auto.Class {
	case "bounce", "delayed", "feedback":
		in.bounce = message.ParseBounceFrom(in.mail, in.arrival.EnvelopeFrom)
	}
	if in.ownFrom {
		for _, mark := range in.mail.Header.All(LoopHeader) {
			if d.Keyring().CheckLoopMark(mark) {
				in.loop = loopMark
			}
		}
		if ids := in.mail.Header.IDs("Message-ID"); len(ids) > 0 && !in.foreign {
			in.loop = loopOwnID
		}
	}
	in.readSubject()
}

func (in *incoming) readSubject() {
	in.subject = clip(strings.TrimSpace(in.mail.Header.Text("Subject")), maxSubject)
	in.tags = subjectTags(in.subject)
}

// readRecipients groups the recipients by queue, in the order given.
func (d *Desk) readRecipients(in *incoming) error {
	byQueue := map[string]*unit{}
	tokens := 0
	for _, recipient := range in.arrival.Recipients {
		t, err := d.target(recipient)
		if err != nil {
			return err
		}
		if t.kind == routePostmaster {
			if q := d.meantFor(in); q != nil {
				t.queue = q
			}
		}
		u := byQueue[t.queue.Name]
		if u == nil {
			u = &unit{queue: t.queue}
			byQueue[t.queue.Name] = u
			in.units = append(in.units, u)
		}
		u.recipients = append(u.recipients, recipient)
		if t.tag == "" {
			continue
		}
		if tokens++; tokens > maxTokens {
			continue
		}
		list := &u.tokens
		if t.kind == routeReturnPath {
			list = &u.returns
		}
		if !slices.Contains(*list, t.token) {
			*list = append(*list, t.token)
		}
	}
	return nil
}

// judge says how far the author may be believed in this queue. Only T2 lets a
// mail speak for an agent: a trusted forwarder of the queue brought it, the
// agent himself submitted it after authentication, or the evidence the door
// gathered says so.
func (d *Desk) judge(in *incoming, u *unit) {
	a := &in.arrival
	u.trust = "T0"
	if v := a.Verdict.Trust; v == "T1" || v == "T2" {
		u.trust = v
	}
	if u.queue.vouched(a) {
		u.trust, u.forwarder = "T2", true
	}
	if a.User != "" && in.agent != nil && in.agent.Name == a.User {
		u.trust = "T2"
	}
	if in.rewriter.Addr != "" {
		u.trust = "T1" // the group is proven, whoever wrote to it is not
	}
	if in.doubtful || in.ownFrom {
		u.trust = "T0"
	}
	if u.trust == "T2" {
		u.agent = in.agent
	}
}

// arrived is when the mail came.
func (in *incoming) arrived(now time.Time) time.Time {
	if in.receivedAt.IsZero() {
		return now
	}
	return in.receivedAt
}

// messageID is the id of the unit's message, the same for all runs of a
// transaction.
func (u *unit) messageID(now time.Time) (string, error) {
	return store.NewID("msg_", now, bytes.NewReader(u.entropy[:]))
}

// message fills in what every queue's copy of the mail has in common.
func (in *incoming) message() Message {
	m := Message{
		Direction: "in",
		Author:    Author{Address: in.author.Addr, Name: in.author.Name},
		Subject:   in.subject,
		Envelope: Envelope{
			From: clip(in.arrival.EnvelopeFrom, maxAddress), HELO: clip(in.arrival.HELO, maxHELO),
			To:  clipAll(in.arrival.Recipients, maxEnvelopeTo, maxAddress, maxEnvelopeToBytes),
			TLS: in.arrival.TLS, UTF8: in.arrival.UTF8, Source: clip(in.arrival.Source, 20),
		},
		Auth:      clipVerdict(in.arrival.Verdict),
		Automatic: clipAutomatic(in.auto),
		Bounce:    clipBounce(in.bounce),
		Raw:       in.raw.Ref(),
	}
	if len(in.id) <= maxID && utf8.ValidString(in.id) {
		m.MessageID = in.id
	}
	if ip := in.arrival.RemoteIP; ip.IsValid() {
		m.Envelope.RemoteIP = ip.Unmap().String()
	}
	m.Flags = append(m.Flags, in.flags...)
	m.Auth.User = clip(in.arrival.User, maxName)
	h := in.mail.Header
	m.InReplyTo = clipIDs(h.IDs("In-Reply-To"), maxInReplyTo, maxInReplyTo*maxID)
	refs := h.IDs("References")
	slices.Reverse(refs)
	m.References = clipIDs(refs, maxReferences, maxReferencesBytes)
	slices.Reverse(m.References)
	budget, few := maxShownBytes, maxShownBytes/4
	toWhole, ccWhole := true, true
	m.To, toWhole = clipAddresses(h.Addresses("To"), maxShown, &budget)
	m.Cc, ccWhole = clipAddresses(h.Addresses("Cc"), maxShown, &budget)
	m.From, _ = clipAddresses(h.Addresses("From"), maxFewShown, &few)
	m.ReplyTo, _ = clipAddresses(h.Addresses("Reply-To"), maxFewShown, &few)
	if !toWhole || !ccWhole || in.cutShort {
		m.Flags = append(m.Flags, FlagRecipientsCut)
	}
	if date, ok := h.Date(); ok && date.Year() > 0 && date.Year() < 10000 {
		m.Date = date.UTC()
	}
	if in.mail.Unparsed {
		m.Flags = append(m.Flags, "unparsed")
	}
	if in.doubtful {
		m.Flags = append(m.Flags, "doubtful_from")
	}
	if in.ownFrom {
		m.Flags = append(m.Flags, "from_our_address")
	}
	return m
}
