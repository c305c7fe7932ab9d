package ticketing_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ticketgate/ticketing"
)

// corpora finds the folder of published mails.
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
		if found := filepath.Join(dir, "shared", "corpora"); isDir(found) {
			return found
		}
	}
	t.Fatal("the corpora are missing; set TICKETGATE_CORPORA")
	return ""
}

func isDir(path string) bool {
	i, err := os.Stat(path)
	return err == nil && i.IsDir()
}

// Every mail anybody published becomes a ticket, a message of one, or a
// duplicate, with its bytes untouched and its content readable.
func TestCorpora(t *testing.T) {
	t.Parallel()
	b := open(t)
	ctx := context.Background()
	n := 0
	root := corpora(t)
	for _, folder := range []string{"mime", "mails", "bounces", "arf", "dkim"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			switch filepath.Ext(path) {
			case ".eml", ".raw", ".msg":
			default:
				return nil
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			n++
			w := b.blobs.Create(ctx)
			if _, err := w.Write(raw); err != nil {
				return err
			}
			sealed, err := w.Seal()
			if err != nil {
				return err
			}
			from := "sender@outside.example"
			if folder == "bounces" || folder == "arf" {
				from = ""
			}
			r, err := b.desk.Receive(ctx, ticketing.Arrival{Source: "smtp", EnvelopeFrom: from, Recipients: []string{helpdsk}, Raw: sealed})
			if err != nil {
				t.Errorf("%s: %v", path, err)
				return nil
			}
			m := b.message(r.Outcomes[0].Message)
			reader, err := b.desk.Raw(ctx, m)
			if err != nil {
				return err
			}
			kept, err := io.ReadAll(reader)
			if r.Outcomes[0].Outcome != "duplicate" && (err != nil || !bytes.Equal(kept, raw)) {
				t.Errorf("%s: the bytes have changed, %v", path, err)
			}
			c, err := b.desk.Content(ctx, m)
			if err != nil {
				t.Errorf("%s: content: %v", path, err)
				return nil
			}
			if strings.TrimSpace(c.Text) == "" && len(c.Attachments) == 0 && len(bytes.TrimSpace(raw)) > 2000 {
				t.Errorf("%s: %d bytes and nothing to read", path, len(raw))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n < 500 {
		t.Errorf("only %d mails", n)
	}
	b.checkAll()
}
