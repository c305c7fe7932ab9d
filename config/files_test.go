package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pair returns a certificate and its key in PEM.
func pair(t *testing.T) (certificate, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

// TestUnusableFiles: each file that cannot be what its key says is one problem
// at the place of the key, before anything is started. Commands that only talk
// to the daemon do not look.
func TestUnusableFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	certificate, key := pair(t)
	_, other := pair(t)
	write("cert.pem", certificate)
	write("key.pem", key)
	write("other.pem", other)
	write("empty", "")
	write("text", "no PEM")
	if err := os.Symlink("round", filepath.Join(dir, "round")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		add, key, text string
		warning        bool
	}{
		"a key of another certificate": {"[tls]\nmode = \"files\"\ncert = \"cert.pem\"\nkey = \"other.pem\"", "tls.cert", "private key does not match public key", false},
		"key and certificate swapped":  {"[tls]\nmode = \"files\"\ncert = \"key.pem\"\nkey = \"cert.pem\"", "tls.cert", "are no certificate with its key", false},
		"an empty certificate":         {"[tls]\nmode = \"files\"\ncert = \"empty\"\nkey = \"key.pem\"", "tls.cert", "are no certificate with its key", false},
		"a link to itself":             {"[tls]\nmode = \"files\"\ncert = \"round\"\nkey = \"key.pem\"", "tls.cert", "cannot be read", false},
		"a directory":                  {"[metrics]\ntoken_file = \".\"", "metrics.token_file", "is not a file", false},
		"authorities that are none":    {"[route.relay]\nhost = \"relay.example:25\"\nca = \"text\"", "route.relay.ca", "has no certificate in PEM", false},
		"a file as the store":          {"[store]\ndir = \"text\"", "store.dir", "which is a file", false},
		"a store below a file":         {"[store]\ndir = \"text/data\"", "store.dir", "cannot be used: not a directory", false},
		"a store too deep":             {"[store]\ndir = \"" + strings.Repeat("d", 120) + "\"", "store.dir", "at most 107 are possible", false},
		"a secret nobody set":          {"[metrics]\ntoken = \"env:TICKETGATE_TEST_NO_SUCH\"", "metrics.token", "TICKETGATE_TEST_NO_SUCH is empty or not set", true},
	} {
		file := filepath.Join(dir, "t.toml")
		write("t.toml", Example(false)+"\n"+c.add+"\n")
		_, problems := Load(file)
		if len(problems) != 1 || problems[0].Key != c.key || !strings.Contains(problems[0].Text, c.text) || problems[0].Line < 2 || problems[0].Warning != c.warning {
			t.Errorf("%s: %v", name, problems)
		}
		if cfg, problems := Read(file); cfg == nil {
			t.Errorf("%s: read without a look: %v", name, problems)
		}
	}
}

// TestOverlap: one port of one interface has one listener.
func TestOverlap(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		both bool
	}{
		{":25", "127.0.0.1:25", true}, {"0.0.0.0:25", "127.0.0.1:25", true}, {"[::]:25", "127.0.0.1:25", true}, {":25", "[::1]:25", true},
		{"localhost:25", "127.0.0.1:25", true}, {":25", "0.0.0.0:25", true},
		{"0.0.0.0:25", "[::1]:25", false}, {"127.0.0.1:25", "127.0.0.2:25", false}, {":25", ":26", false}, {"127.0.0.1:25", "[::1]:25", false},
		{"unix:/run/a", "unix:/run/a", true}, {"unix:/run/a", ":25", false},
	} {
		if overlap(c.a, c.b) != c.both || overlap(c.b, c.a) != c.both {
			t.Errorf("%s and %s: not %v", c.a, c.b, c.both)
		}
	}
}
