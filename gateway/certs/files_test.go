package certs

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// source is rand.Reader as a value of its own.
type source struct{}

func (source) Read(p []byte) (int, error) { return rand.Read(p) }

// pair writes a new certificate and its key, and dates them.
func pair(t *testing.T, dir string, at time.Time) Files {
	t.Helper()
	text, err := makeCertificate(hostname, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := Files{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	for _, name := range []string{f.Cert, f.Key} {
		write(t, name, text, at)
	}
	return f
}

func write(t *testing.T, name string, text []byte, at time.Time) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, at, at); err != nil {
		t.Fatal(err)
	}
}

// TestHotSwap: files that are replaced are in use after the next look; halves
// and rubbish are not, and the old certificate stays.
func TestHotSwap(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	var text bytes.Buffer
	f := pair(t, dir, time.Now())
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{Hostname: hostname, Files: &f, Now: time.Now, Log: slog.New(slog.NewTextHandler(&locked{&mu, &text}, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		serial := func() string { return c.current.Load().Leaf.SerialNumber.String() }
		look := func() { time.Sleep(c.o.Poll + time.Second); synctest.Wait() }
		first := serial()
		look()
		if serial() != first {
			t.Error("changed by itself")
		}
		key, err := os.ReadFile(f.Key)
		if err != nil {
			t.Fatal(err)
		}
		pair(t, dir, time.Now())
		fresh, err := os.ReadFile(f.Key)
		if err != nil {
			t.Fatal(err)
		}
		write(t, f.Key, key, time.Now()) // the new certificate with the old key
		look()
		if serial() != first {
			t.Error("a pair that does not fit is in use")
		}
		write(t, f.Key, fresh, time.Now())
		look()
		second := serial()
		if second == first {
			t.Error("not swapped")
		}
		write(t, f.Cert, []byte("rubbish"), time.Now())
		look()
		if err := os.Remove(f.Key); err != nil {
			t.Fatal(err)
		}
		look()
		if serial() != second {
			t.Error("rubbish is in use")
		}
		pair(t, dir, time.Now())
		look()
		if serial() == second {
			t.Error("not healed")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if !strings.Contains(text.String(), "the old certificate stays") || !strings.Contains(text.String(), "have changed") {
		t.Error(text.String())
	}
}

type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// TestNewRefuses: nothing to show is no server.
func TestNewRefuses(t *testing.T) {
	cert := &tls.Certificate{}
	for name, o := range map[string]Options{
		"nothing":        {},
		"no certificate": {Hostname: hostname, Now: time.Now},
		"no name":        {Fallback: cert, Now: time.Now},
		"no clock":       {Hostname: hostname, Fallback: cert},
		"no such files":  {Hostname: hostname, Now: time.Now, Files: &Files{t.TempDir() + "/a", t.TempDir() + "/b"}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestSelfSigned: made once, and again when it does not serve any more.
func TestSelfSigned(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "tls.pem"), time.Now()
	serial := func(name string, at time.Time) string {
		cert, err := SelfSigned(path, name, at, source{})
		if err != nil {
			t.Fatal(err)
		}
		if err := cert.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
		return cert.Leaf.SerialNumber.String()
	}
	first := serial(hostname, now)
	if serial(hostname, now.Add(time.Hour)) != first {
		t.Error("made twice")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error("the key can be read:", info.Mode(), err)
	}
	for name, again := range map[string]func() string{
		"expiring":   func() string { return serial(hostname, now.Add(selfLife)) },
		"other name": func() string { return serial("mx.help.example", now) },
		"rubbish":    func() string { write(t, path, []byte("rubbish"), now); return serial(hostname, now) },
	} {
		if again() == first {
			t.Errorf("%s: the old one is used", name)
		}
	}
	if _, err := SelfSigned(filepath.Join(t.TempDir(), "no", "tls.pem"), hostname, now, source{}); err == nil {
		t.Error("written nowhere")
	}
	if _, err := SelfSigned(path+".x", hostname, now, strings.NewReader("")); err == nil {
		t.Error("made without randomness")
	}
}
