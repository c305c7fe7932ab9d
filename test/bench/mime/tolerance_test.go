package mime

import (
	"bytes"
	"crypto/sha256"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jhillyerd/enmime/v2"

	"ticketgate/ticketing/message"
)

// TestAtLeastAsTolerant reads the published mails with both readers: what the
// other one reads we read, every file it finds we have byte for byte, and of
// its text no word is missing in ours.
func TestAtLeastAsTolerant(t *testing.T) {
	root := os.Getenv("TICKETGATE_CORPORA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "corpora")
	}
	var mails, refused, files, lostFiles, words, lostWords int
	for _, folder := range []string{"mails", "mime", "bounces", "quotations"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(p string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(p, ".eml") && !strings.HasSuffix(p, ".raw") {
				return err
			}
			raw, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			mails++
			name := strings.TrimPrefix(p, root)
			m, err := message.Parse(bytes.NewReader(raw), int64(len(raw)), message.DefaultLimits())
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return nil
			}
			other, err := enmime.ReadEnvelope(bytes.NewReader(raw))
			if err != nil {
				refused++
				return nil
			}
			have, texts := contents(t, m)
			for _, list := range [][]*enmime.Part{other.Attachments, other.Inlines, other.OtherParts} {
				for _, f := range list {
					if len(bytes.TrimSpace(f.Content)) == 0 {
						continue
					}
					files++
					if !have[sum(f.Content)] && !strings.HasPrefix(f.ContentType, "text/") {
						lostFiles++
						t.Logf("%s: %s %q (%d bytes) is not among ours", name, f.ContentType, f.FileName, len(f.Content))
					}
				}
			}
			if bytes.Contains(bytes.ToLower(raw), []byte("utf-7")) {
				return nil // which we leave undecoded on purpose
			}
			ours := map[string]bool{}
			for _, w := range strings.Fields(letters(texts)) {
				ours[w] = true
			}
			for _, w := range strings.Fields(letters(other.Text)) {
				if words++; !ours[w] {
					lostWords++
					t.Logf("%s: the word %q is missing", name, w)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatalf("the corpora are not there (set TICKETGATE_CORPORA): %v", err)
		}
	}
	t.Logf("%d mails, of which the other reader refuses %d and we none; %d files, %d missing; %d words, %d missing", mails, refused, files, lostFiles, words, lostWords)
	if mails < 400 || lostFiles*50 > files || lostWords*50 > words {
		t.Errorf("less tolerant than the other reader")
	}
}

// contents holds a hash of every part's content, and all that can be read.
func contents(t *testing.T, m *message.Mail) (map[[32]byte]bool, string) {
	have := map[[32]byte]bool{}
	var texts strings.Builder
	texts.WriteString(m.Text() + "\n" + message.HTMLToText(m.HTML()) + "\n")
	var down func(p *message.Part)
	down = func(p *message.Part) {
		b, err := io.ReadAll(m.Open(p))
		if err != nil {
			t.Errorf("a part cannot be read: %v", err)
		}
		have[sum(b)] = true
		if strings.HasPrefix(p.Type, "text/") || strings.HasPrefix(p.Type, "message/") {
			texts.WriteString(m.PartText(p) + "\n")
		}
		for _, c := range p.Parts {
			down(c)
		}
	}
	down(m.Root)
	for _, p := range m.Attachments() {
		down(p)
	}
	return have, texts.String()
}

// sum leaves out line ends: the two disagree about whose the last one is.
func sum(b []byte) [32]byte {
	return sha256.Sum256(bytes.TrimRight(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), "\n"))
}

func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r >= 0xc0 && r != '\uFFFD' {
			return r
		}
		return ' '
	}, s)
}
