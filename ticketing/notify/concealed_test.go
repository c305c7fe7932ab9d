package notify

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"ticketgate/ticketing"
)

// What becomes internal while its mails are being written, or while an answer
// that quotes it is, stands in none of them.
func TestConcealedWhileWritten(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		which int // message that is concealed
		want  []string
		text  string
	}{
		"the message":       {1, nil, ""},
		"the one it quotes": {0, []string{"anna@customer.example", "bo@customer.example"}, "ANSWER"},
	} {
		w := newWorld(t)
		k := w.ticket()
		list := []*ticketing.Message{
			w.add(k, ticketing.Message{Author: by("otto", "Otto", "otto@staff.example"), Direction: "out", Visibility: "public"}, rawMail("otto@staff.example", "SECRET-0", "")),
			w.add(k, ticketing.Message{Author: by("otto", "Otto", "otto@staff.example"), Direction: "out", Visibility: "public"}, rawMail("otto@staff.example", "ANSWER", "")),
		}
		w.put("public_message", k, list[1])
		w.desk.onThread = sync.OnceFunc(func() { list[c.which].Visibility = "internal" })
		w.tell()
		var to []string
		for _, p := range w.sent() {
			if p.To != "anna@customer.example" && p.To != "bo@customer.example" {
				continue
			}
			to = append(to, p.To)
			if text := words(p.mail.Text()); !strings.Contains(text, c.text) || strings.Contains(text, "SECRET-0") {
				t.Errorf("%s: %s reads %q", name, p.To, text)
			}
		}
		if slices.Sort(to); !slices.Equal(to, c.want) {
			t.Errorf("%s: told %v, want %v", name, to, c.want)
		}
		if w.pending() != 0 {
			t.Errorf("%s: %d notices are left: %s", name, w.pending(), w.log)
		}
	}
}
