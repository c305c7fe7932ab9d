package mtasts

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const good = "version: STSv1\r\nmode: enforce\r\nmx: mx1.customer.example\r\nmx: *.mail.example.\r\nmax_age: 604800\r\n"

func TestRecord(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		texts []string
		want  string
	}{
		{[]string{"v=STSv1; id=20160831085700Z;"}, "20160831085700Z"},
		{[]string{"v=STSv1;id=1"}, "1"},
		{[]string{"v=STSv1 ; future=yes; id=abc ; id=def"}, "abc"},
		{[]string{"v=spf1 -all", "v=STSv1; id=1;"}, "1"},
		{[]string{"v=STSv1; id=1;", "v=STSv1; id=2;"}, ""},
		{[]string{"v=STSv1; id=1;", "v=STSv1;"}, ""},
		{[]string{"v=STSv1;"}, ""},
		{[]string{"v=STSv1; id=a-b"}, ""},
		{[]string{"v=STSv1; id=" + strings.Repeat("a", 33)}, ""},
		{[]string{"v=STSv10; id=1"}, ""},
		{[]string{"V=stsv1; id=1"}, ""},
		{nil, ""},
	} {
		if got, err := parseRecord(tc.texts); got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%q: %q, %v", tc.texts, got, err)
		}
	}
}

func TestPolicyFile(t *testing.T) {
	t.Parallel()
	p, err := parsePolicy([]byte(good))
	if err != nil || p.Mode != Enforce || p.MaxAge != 7*24*time.Hour || !slices.Equal(p.MX, []string{"mx1.customer.example", "*.mail.example"}) {
		t.Errorf("%+v %v", p, err)
	}
	for name, file := range map[string]string{
		"LF":            strings.ReplaceAll(good, "\r", ""),
		"unknown keys":  good + "shoe_size: 43\n: nothing\nnothing\n",
		"first counts":  good + "mode: none\nmax_age: 1\n",
		"none, no mx":   "version: STSv1\nmode: none\nmax_age: 0\n",
		"much too long": strings.Replace(good, "604800", "99999999999", 1),
	} {
		if _, err := parsePolicy([]byte(file)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, file := range map[string]string{
		"empty":         "",
		"no version":    strings.Replace(good, "STSv1", "STSv2", 1),
		"no mode":       strings.Replace(good, "enforce", "maybe", 1),
		"no mx":         "version: STSv1\nmode: enforce\nmax_age: 1\n",
		"negative age":  strings.Replace(good, "604800", "-1", 1),
		"no age":        strings.Replace(good, "max_age", "min_age", 1),
		"bad mx":        strings.Replace(good, "mx1.customer.example", "mx1 customer", 1),
		"star in mx":    strings.Replace(good, "mx1.customer.example", "mx*.customer.example", 1),
		"thousands":     good + strings.Repeat("mx: a.example\n", 2000),
		"html":          "<html><body>Not found</body></html>",
		"lone wildcard": strings.Replace(good, "*.mail.example.", "*.", 1),
	} {
		if p, err := parsePolicy([]byte(file)); err == nil {
			t.Errorf("%s was read as %+v", name, p)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(good), "v=STSv1; id=1;")
	f.Add([]byte("mx:\n"), "v=STSv1;id")
	f.Fuzz(func(t *testing.T, file []byte, record string) {
		if p, err := parsePolicy(file); err == nil {
			if p.Mode != None && len(p.MX) == 0 || len(p.MX) > maxMX || p.MaxAge < 0 || p.MaxAge > maxAge*time.Second {
				t.Errorf("%+v", p)
			}
		}
		if id, err := parseRecord([]string{record}); err == nil && (id == "" || len(id) > maxID) {
			t.Errorf("%q", id)
		}
	})
}

// world is a domain with a record, a web server and a clock.
type world struct {
	t       *testing.T
	p       *Policies
	now     time.Time
	texts   []string
	dnsErr  error
	ip      string
	serve   http.HandlerFunc
	fetched int
	kept    map[string][]byte
	mu      sync.Mutex
	pool    *x509.CertPool
	addr    string
}

func (w *world) LookupTXT(_ context.Context, name string) ([]string, error) {
	if name != "_mta-sts.example.com." {
		return nil, &net.DNSError{IsNotFound: true}
	}
	return w.texts, w.dnsErr
}
func (w *world) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if host != "mta-sts.example.com." {
		return nil, &net.DNSError{IsNotFound: true}
	}
	return []netip.Addr{netip.MustParseAddr(w.ip)}, nil
}
func (w *world) Load(_ context.Context, domain string) ([]byte, error) { return w.kept[domain], nil }
func (w *world) Save(_ context.Context, domain string, value []byte) error {
	w.kept[domain] = value
	return nil
}

// newWorld serves the policy as mta-sts.example.com: the test server's
// certificate is for *.example.com too.
func newWorld(t *testing.T) *world {
	w := &world{t: t, now: time.Now(), texts: []string{"v=STSv1; id=1;"}, ip: "192.0.2.80", kept: map[string][]byte{}}
	w.serve = func(rw http.ResponseWriter, _ *http.Request) { w.answer(rw, "text/plain", good) }
	srv := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.fetched++
		w.mu.Unlock()
		if r.Host != "mta-sts.example.com" || r.URL.Path != "/.well-known/mta-sts.txt" {
			http.NotFound(rw, r)
			return
		}
		w.serve(rw, r)
	}))
	t.Cleanup(srv.Close)
	w.pool = x509.NewCertPool()
	w.pool.AddCert(srv.Certificate())
	w.addr = srv.Listener.Addr().String()
	w.restart()
	return w
}

func (w *world) answer(rw http.ResponseWriter, media, text string) {
	rw.Header().Set("Content-Type", media)
	fmt.Fprint(rw, text)
}

func (w *world) restart() {
	w.t.Helper()
	p, err := New(Options{
		Resolver: w, Cache: w, Now: func() time.Time { return w.now }, Roots: w.pool, Timeout: 5 * time.Second,
		Allow: func(ip netip.Addr) bool { return !ip.IsPrivate() && !ip.IsLoopback() },
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != "192.0.2.80:443" {
				return nil, errors.New("dialled " + addr)
			}
			return (&net.Dialer{}).DialContext(ctx, network, w.addr)
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.p = p
}

func (w *world) expect(when, mode string, fetched int) {
	w.t.Helper()
	p, ok := w.p.Policy(w.t.Context(), "example.com")
	if ok != (mode != "") || string(p.Mode) != mode {
		w.t.Errorf("%s: policy %+v, %v, want mode %q", when, p, ok, mode)
	}
	if w.fetched != fetched {
		w.t.Errorf("%s: fetched %d times, want %d", when, w.fetched, fetched)
	}
}

// The life of a policy: fetched once, kept over a restart, fetched again when
// its id changes, in force while nobody can be asked, and forgotten in the end.
func TestLifeOfAPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.expect("first", "enforce", 1)
	w.expect("again", "enforce", 1)
	w.restart()
	w.expect("after a restart", "enforce", 1)

	w.texts = []string{"v=STSv1; id=2;"}
	w.serve = func(rw http.ResponseWriter, _ *http.Request) {
		w.answer(rw, "text/plain; charset=utf-8", strings.Replace(good, "enforce", "testing", 1))
	}
	w.expect("new id", "testing", 2)
	w.serve = func(rw http.ResponseWriter, r *http.Request) { http.Error(rw, "out of order", 500) }
	w.texts = []string{"v=STSv1; id=3;"}
	w.expect("the web server is out of order", "testing", 3)
	w.expect("and is left alone", "testing", 3)
	w.now = w.now.Add(retryAfter)
	w.expect("for a while", "testing", 4)

	w.texts, w.dnsErr = nil, &net.DNSError{Err: "timeout", IsTimeout: true}
	w.now = w.now.Add(24 * time.Hour)
	w.expect("DNS is out of order too", "testing", 4)
	w.dnsErr = &net.DNSError{Err: "no such host", IsNotFound: true}
	w.expect("the record is gone", "testing", 4)
	w.now = w.now.Add(6 * 24 * time.Hour)
	w.expect("too old", "", 4)
}

// A domain takes its policy back with mode none; a policy is fetched again
// before it is half its age.
func TestRefresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.expect("first", "enforce", 1)
	w.now = w.now.Add(23 * time.Hour)
	w.expect("within a day", "enforce", 1)
	w.now = w.now.Add(2 * time.Hour)
	w.expect("after a day", "enforce", 2)
	w.texts = []string{"v=STSv1; id=2;"}
	w.serve = func(rw http.ResponseWriter, _ *http.Request) {
		w.answer(rw, "text/plain", "version: STSv1\nmode: none\nmax_age: 86400\n")
	}
	w.expect("taken back", "", 3)
}

// What is not a policy from the one place it may come from is none.
func TestFetchRefuses(t *testing.T) {
	t.Parallel()
	for name, with := range map[string]func(*world){
		"redirect": func(w *world) {
			w.serve = func(rw http.ResponseWriter, r *http.Request) {
				http.Redirect(rw, r, "https://mta-sts.example.com/elsewhere", http.StatusFound)
			}
		},
		"not found": func(w *world) { w.serve = http.NotFound },
		"html": func(w *world) {
			w.serve = func(rw http.ResponseWriter, _ *http.Request) { w.answer(rw, "text/html", good) }
		},
		"no policy": func(w *world) {
			w.serve = func(rw http.ResponseWriter, _ *http.Request) { w.answer(rw, "text/plain", "hello") }
		},
		"too large": func(w *world) {
			w.serve = func(rw http.ResponseWriter, _ *http.Request) {
				w.answer(rw, "text/plain", good+strings.Repeat("x: y\n", maxFile))
			}
		},
		"unknown authority": func(w *world) { w.pool = x509.NewCertPool(); w.restart() },
		"private address":   func(w *world) { w.ip = "10.0.0.80" },
		"loopback address":  func(w *world) { w.ip = "::ffff:127.0.0.1" },
		"two records":       func(w *world) { w.texts = append(w.texts, "v=STSv1; id=2;") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			with(w)
			if p, ok := w.p.Policy(t.Context(), "example.com"); ok {
				t.Errorf("got %+v", p)
			}
		})
	}
}

// Many who ask at once cost one fetch.
func TestOneFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := make(chan struct{})
	w.serve = func(rw http.ResponseWriter, _ *http.Request) {
		<-release
		w.answer(rw, "text/plain", good)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, ok := w.p.Policy(t.Context(), "example.com"); !ok {
				t.Error("no policy")
			}
		})
	}
	close(release)
	wg.Wait()
	if w.fetched != 1 {
		t.Errorf("fetched %d times", w.fetched)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	if _, err := New(Options{}); err == nil {
		t.Error("nothing was enough")
	}
}
