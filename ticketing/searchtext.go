package ticketing

import (
	"context"
	"slices"

	"ticketgate/ticketing/message"
)

// SearchText returns what a message is found by. It is made from the stored
// mail each time, so an index can be lost and made again.
func (d *Desk) SearchText(ctx context.Context, m *Message) (message.SearchText, error) {
	people := slices.Concat([]message.Address{{Name: m.Author.Name, Addr: m.Author.Address}}, m.From, m.To, m.Cc, m.ReplyTo)
	if m.Raw.SHA256 == "" {
		return message.NewSearchText(m.Subject, people, "", "", nil), nil
	}
	mail, err := d.parsed(ctx, m)
	if err != nil {
		return message.SearchText{}, err
	}
	r, err := d.Reply(ctx, m, mail)
	if err != nil {
		return message.SearchText{}, err
	}
	var files []string
	for _, p := range mail.Attachments() {
		files = append(files, p.Filename, mail.Note(p))
	}
	return message.NewSearchText(m.Subject, people, r.Visible, r.Quoted, files), nil
}
