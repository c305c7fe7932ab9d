package notify

import (
	"bytes"
	"cmp"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

func corpora(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("TICKETGATE_CORPORA"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		found := filepath.Join(dir, "shared", "corpora")
		if i, err := os.Stat(found); err == nil && i.IsDir() {
			return found
		}
	}
	t.Fatal("the corpora are missing; set TICKETGATE_CORPORA")
	return ""
}

// Every mail anybody published can be told: its text and each byte of its files
// reach the customer in a mail that is whole.
func TestCorpora(t *testing.T) {
	t.Parallel()
	root := corpora(t)
	w := newWorld(t)
	paths := map[uint64]string{}
	for _, folder := range []string{"mime", "mails"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if ext := filepath.Ext(path); err != nil || d.IsDir() || ext != ".eml" && ext != ".raw" && ext != ".msg" {
				return err
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			k := w.ticket()
			k.CCs, k.Assignee, paths[k.Number] = nil, "ada", path
			m := w.add(k, ticketing.Message{Author: by("otto", "Otto", "otto@staff.example")}, "")
			w.update(func(tx store.Tx) (err error) {
				m.Raw, err = w.blobs.Put(tx, raw)
				return err
			})
			w.put("public_message", k, m)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	w.tell()
	if w.pending() != 0 || w.log.Len() != 0 {
		t.Errorf("%d notices wait: %s", w.pending(), w.log)
	}
	told := 0
	for _, s := range w.sent() {
		if s.To != "anna@customer.example" {
			continue
		}
		told++
		m := w.desk.messages[s.Ticket][0]
		raw, err := w.blobs.ReadAll(t.Context(), m.Raw.SHA256, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		original, err := message.Parse(bytes.NewReader(raw), int64(len(raw)), message.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		newly := message.WithoutMarkers(original.Reply().Visible)
		got, want := words(message.WithoutMarkers(s.mail.Text())), cmp.Or(words(newly), noText)
		if got != want {
			t.Errorf("%s: the text is\n%.500q\nwant\n%.500q", paths[s.Ticket], got, want)
		}
		compareFiles(t, paths[s.Ticket], original, s.mail)
	}
	if told != len(paths) || told < 200 {
		t.Errorf("%d of %d mails were told", told, len(paths))
	}
}

func words(s string) string { return strings.Join(strings.Fields(s), " ") }

func compareFiles(t *testing.T, path string, original, copied *message.Mail) {
	t.Helper()
	was, is := original.Attachments(), copied.Attachments()
	if len(was) != len(is) {
		t.Errorf("%s: %d files, had %d", path, len(is), len(was))
		return
	}
	for i := range was {
		a, err := io.ReadAll(original.Open(was[i]))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(copied.Open(is[i]))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s: file %d (%s) has %d bytes, had %d", path, i, was[i].Type, len(b), len(a))
		}
	}
}
