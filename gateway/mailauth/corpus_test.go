package mailauth_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ticketgate/gateway/mailauth"
	"ticketgate/test/corpora"
	"ticketgate/ticketing/message"
)

// TestCorpus: real mails of all kinds, as they are and as the wire carries
// them, while DNS knows nobody. Nothing is believed, everything is explained.
func TestCorpus(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	mails, authors, signatures := 0, 0, 0
	for _, folder := range []string{"mails", "mime", "bounces", "arf"} {
		err := filepath.WalkDir(corpora.Path(t, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".eml" && filepath.Ext(path) != ".raw" {
				return err
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text := string(raw)
			for _, mail := range []string{text, corpora.CRLF(text)} {
				v, e := h.check(t, peer, "mx.example", "a@b.example", mail)
				if v.Trust != "T0" || len(v.Reasons) == 0 || v.SPF.Result != "none" || v.DMARC.Result != "none" || len(e.Lines()) < 5 {
					t.Errorf("%s: %+v", path, v)
				}
				for _, s := range e.DKIM {
					if s.Result == mailauth.Pass || s.Result == mailauth.TempError || s.Reason == "" {
						t.Errorf("%s: %+v", path, s)
					}
				}
				if field := mailauth.AuthenticationResults(ourName, e); !message.Forged(strings.TrimSuffix(field, "\r\n"), ourName) {
					t.Errorf("%s: %q", path, field)
				}
				signatures += len(e.DKIM)
				if e.Author.Domain != "" {
					authors++
				}
			}
			mails++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d mails read twice: %d times an author was named, %d signatures judged", mails, authors, signatures)
	if mails < 450 || authors < mails || signatures == 0 {
		t.Error("the corpus was not read")
	}
}
