package ticketing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// Raw opens the exact bytes of a message.
func (d *Desk) Raw(ctx context.Context, m *Message) (*blob.Reader, error) {
	r, err := d.blobs.Open(ctx, m.Raw.SHA256)
	if errors.Is(err, store.ErrNotFound) {
		return nil, failure(fmt.Errorf("message %s has lost its bytes: %w", m.ID, err))
	}
	return r, failure(err)
}

func (d *Desk) parsed(ctx context.Context, m *Message) (*message.Mail, error) {
	raw, err := d.Raw(ctx, m)
	if err != nil {
		return nil, err
	}
	mail, err := message.Parse(raw, raw.Size(), d.limits)
	return mail, failure(err)
}

// Content parses a message's raw bytes.
func (d *Desk) Content(ctx context.Context, m *Message) (*Content, error) {
	mail, err := d.parsed(ctx, m)
	if err != nil {
		return nil, err
	}
	r, err := d.Reply(ctx, m, mail)
	if err != nil {
		return nil, err
	}
	c := &Content{Text: r.Text, VisibleText: r.Visible, QuotedText: r.Quoted}
	if html := mail.HTML(); html != "" {
		c.HTML = message.SanitizeHTML(html)
	}
	c.Text, c.VisibleText, c.HTML = message.HideCommands(c.Text, c.VisibleText, c.HTML, m.CommandLines)
	for i, p := range mail.Attachments() {
		a, err := attachment(mail, m, p, i)
		if err != nil {
			return nil, failure(err)
		}
		c.Attachments = append(c.Attachments, *a)
	}
	return c, nil
}

// attachment describes a part; its decoded size and hash are found by reading.
func attachment(mail *message.Mail, m *Message, p *message.Part, n int) (*Attachment, error) {
	h := sha256.New()
	size, err := io.Copy(h, mail.Open(p))
	if err != nil {
		return nil, fmt.Errorf("attachment %d of %s: %w", n, m.ID, err)
	}
	return &Attachment{
		ID: attachmentID(m, n), Filename: p.Filename, ContentType: p.Type, Size: size, SHA256: hex.EncodeToString(h.Sum(nil)),
		ContentID: p.ContentID, Inline: p.Disposition == "inline" || p.Disposition == "" && p.ContentID != "",
	}, nil
}

func attachmentID(m *Message, n int) string {
	return "att_" + strings.TrimPrefix(m.ID, "msg_") + "_" + strconv.Itoa(n)
}

// OpenAttachment opens one attachment by id, decoded.
func (d *Desk) OpenAttachment(ctx context.Context, id string) (*Attachment, io.Reader, error) {
	unknown := &Error{Kind: Unknown, Text: "there is no such attachment"}
	rest, ok := strings.CutPrefix(id, "att_")
	name, number, found := cutLast(rest, '_')
	n, err := strconv.Atoi(number)
	if !ok || !found || err != nil || n < 0 || strconv.Itoa(n) != number {
		return nil, nil, unknown
	}
	m, err := d.Message(ctx, "msg_"+name)
	if KindOf(err) == Unknown && err != nil {
		return nil, nil, unknown
	}
	if err != nil {
		return nil, nil, err
	}
	mail, err := d.parsed(ctx, m)
	if err != nil {
		return nil, nil, err
	}
	parts := mail.Attachments()
	if n >= len(parts) {
		return nil, nil, unknown
	}
	a, err := attachment(mail, m, parts[n], n)
	if err != nil {
		return nil, nil, failure(err)
	}
	return a, mail.Open(parts[n]), nil
}
