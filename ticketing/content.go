package ticketing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
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
	c.Labels = mail.Labels()
	if m.ForwardedBy != nil {
		if f := message.Forward(mail); f != nil {
			visible, quoted := message.VisibleText(f.Text)
			remark := message.SkipCommands(f.Remark, m.CommandLines)
			c.VisibleText, c.QuotedText = visible, strings.TrimSpace(remark+"\n\n"+quoted)
		}
	}
	for _, p := range mail.Attachments() {
		a, err := attachment(mail, m, p)
		if err != nil {
			return nil, failure(err)
		}
		c.Attachments = append(c.Attachments, *a)
	}
	return c, nil
}

// attachment describes a part; its decoded size and hash are found by reading.
func attachment(mail *message.Mail, m *Message, p *message.Part) (*Attachment, error) {
	h := sha256.New()
	size, err := io.Copy(h, mail.Open(p))
	if err != nil {
		return nil, fmt.Errorf("attachment %s of %s: %w", p.ID, m.ID, err)
	}
	return &Attachment{
		ID: attachmentID(m, p), Filename: p.Filename, ContentType: p.Type, Size: size, SHA256: hex.EncodeToString(h.Sum(nil)),
		ContentID: p.ContentID, Inline: p.Disposition == "inline" || p.Disposition == "" && p.ContentID != "",
		Note: mail.Note(p),
	}, nil
}

// attachmentID names a part by the place it has in the mail, so that the ID
// stays what it is whatever else is read out of the mail later.
func attachmentID(m *Message, p *message.Part) string {
	return "att_" + strings.TrimPrefix(m.ID, "msg_") + "_" + p.ID
}

// OpenAttachment opens one attachment by id, decoded.
func (d *Desk) OpenAttachment(ctx context.Context, id string) (*Attachment, io.Reader, error) {
	unknown := &Error{Kind: Unknown, Text: "there is no such attachment"}
	rest, ok := strings.CutPrefix(id, "att_")
	name, part, found := cutLast(rest, '_')
	if !ok || !found {
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
	p := mail.Attachment(part)
	if p == nil {
		return nil, nil, unknown
	}
	a, err := attachment(mail, m, p)
	if err != nil {
		return nil, nil, failure(err)
	}
	return a, mail.Open(p), nil
}
