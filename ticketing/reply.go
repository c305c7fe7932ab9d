package ticketing

import (
	"context"
	"sync"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// What a message is compared with when its quotations are looked for.
const (
	earlierMessages = 6        // of its ticket, the latest before it
	earlierText     = 32 << 10 // bytes of each
	keptTexts       = 128      // in memory
)

// Reply splits a message's text into what its author newly wrote and the rest.
// mail is the message, parsed. The latest earlier messages of the ticket help to
// know copies of them; without them, should they be unreadable, the mail's own
// marks decide. What was posted here has no mail program's additions: every
// line of it was meant.
func (d *Desk) Reply(ctx context.Context, m *Message, mail *message.Mail) (message.Reply, error) {
	if m.Direction != "in" {
		text := mail.Text()
		return message.Reply{Text: text, Visible: text}, nil
	}
	held, err := d.earlier(ctx, m)
	if err != nil {
		return message.Reply{}, err
	}
	return mail.Reply(held...), nil
}

// earlier returns the texts of the messages before m, newest first.
func (d *Desk) earlier(ctx context.Context, m *Message) (texts []string, err error) {
	if m.Seq <= 1 {
		return nil, nil
	}
	var list []*Message
	err = d.db.View(ctx, func(r store.Reader) (err error) {
		list, err = d.messagesAfter(r, m.Ticket, max(m.Seq-1-earlierMessages, 0), earlierMessages)
		return err
	})
	if err != nil {
		return nil, failure(err)
	}
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Seq >= m.Seq {
			continue
		}
		text, err := d.textOf(ctx, list[i])
		if ctx.Err() != nil {
			return nil, failure(ctx.Err())
		}
		if err != nil {
			d.log.Warn("an earlier message cannot be read", "message", list[i].ID, "err", err)
			continue
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// textOf is the beginning of a message's text.
func (d *Desk) textOf(ctx context.Context, m *Message) (string, error) {
	if text, ok := d.texts.get(m.Raw.SHA256); ok {
		return text, nil
	}
	mail, err := d.parsed(ctx, m)
	if err != nil {
		return "", err
	}
	text := cut(mail.Text(), earlierText)
	d.texts.put(m.Raw.SHA256, text)
	return text, nil
}

// texts keeps the texts of the mails that were asked for last, by the hash of
// their bytes. A thread is read message by message, and each asks for those
// before it. The zero value is ready.
type texts struct {
	mu    sync.Mutex
	text  map[string]string
	order []string // oldest first
}

func (t *texts) get(hash string) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text, ok := t.text[hash]
	return text, ok
}

func (t *texts) put(hash, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.text[hash]; ok {
		return
	}
	if t.text == nil {
		t.text = map[string]string{}
	}
	if len(t.order) == keptTexts {
		delete(t.text, t.order[0])
		t.order = append(t.order[:0], t.order[1:]...)
	}
	t.text[hash] = text
	t.order = append(t.order, hash)
}
