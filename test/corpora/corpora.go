// Package corpora finds and reads the shared corpora: real mails and vectors
// with expected results. They lie beside the checkout, or where
// TICKETGATE_CORPORA says; a test that needs them fails without.
package corpora

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Path is where a file or folder of the corpora is.
func Path(t testing.TB, parts ...string) string {
	t.Helper()
	root := os.Getenv("TICKETGATE_CORPORA")
	if root == "" {
		root = beside(t)
	}
	path := filepath.Join(append([]string{root}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("not in the corpora: %v", err)
	}
	return path
}

// beside walks up from the test's folder to the one that has shared/corpora.
func beside(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		root := filepath.Join(dir, "shared", "corpora")
		if _, err := os.Stat(root); err == nil {
			return root
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no corpora: set TICKETGATE_CORPORA or put shared/corpora beside the checkout")
		}
		dir = filepath.Dir(dir)
	}
}

// Read returns a file's content.
func Read(t testing.TB, parts ...string) string {
	t.Helper()
	b, err := os.ReadFile(Path(t, parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// CRLF ends every line as the wire wants it.
func CRLF(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}
