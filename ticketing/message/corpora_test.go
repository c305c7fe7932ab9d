package message

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// corporaDir finds the corpora beside the checkout.
func corporaDir(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("TICKETGATE_CORPORA"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		c := filepath.Join(dir, "..", "shared", "corpora")
		if _, err := os.Stat(filepath.Join(c, "README.md")); err == nil {
			return c
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no corpora: set TICKETGATE_CORPORA or put shared/corpora beside the checkout")
		}
		dir = up
	}
}

// corpusFiles returns the files below a folder of the corpora that match.
func corpusFiles(t testing.TB, folder string, match func(name string) bool) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(filepath.Join(corporaDir(t), folder), func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && match(d.Name()) {
			files = append(files, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no files in %s", folder)
	}
	return files
}

func isMail(name string) bool {
	return strings.HasSuffix(name, ".eml") || strings.HasSuffix(name, ".raw") || strings.HasSuffix(name, ".msg")
}

func parseFile(t testing.TB, file string) *Mail {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return parseBytes(t, string(b))
}

func parseBytes(t testing.TB, raw string) *Mail {
	t.Helper()
	m, err := Parse(strings.NewReader(raw), int64(len(raw)), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestCorporaNeverFail: whatever the file, there is a tree, a text and safe
// names; ranges lie inside the mail.
func TestCorporaNeverFail(t *testing.T) {
	t.Parallel()
	n := 0
	for _, folder := range []string{"mime", "mails", "bounces", "dkim", "quotations/talon"} {
		for _, file := range corpusFiles(t, folder, isMail) {
			checkMail(t, filepath.Base(file), parseFile(t, file))
			n++
		}
	}
	t.Logf("%d mails", n)
}

func sha256Of(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
