package oauth

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// authority is a scripted token endpoint.
type authority struct {
	t     *testing.T
	srv   *httptest.Server
	mu    sync.Mutex
	asked []url.Values
	reply func(n int, form url.Values) (int, string)
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.reply = func(n int, _ url.Values) (int, string) { return 200, tokenAnswer(n, 3600, "") }
	a.srv = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		a.mu.Lock()
		a.asked = append(a.asked, r.PostForm)
		n := len(a.asked)
		a.mu.Unlock()
		status, body := a.reply(n, r.PostForm)
		if status == http.StatusFound {
			w.Header().Set("Location", "https://elsewhere.example/")
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(a.srv.Close)
	return a
}

func tokenAnswer(n, life int, refresh string) string {
	s := fmt.Sprintf(`{"access_token":"access-%d","token_type":"Bearer","expires_in":%d`, n, life)
	if refresh != "" {
		s += fmt.Sprintf(`,"refresh_token":%q`, refresh)
	}
	return s + "}"
}

// shelf is a cache in memory.
type shelf struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (s *shelf) Load(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[name], nil
}
func (s *shelf) Save(_ context.Context, name string, v []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[name] = v
	return nil
}

type bench struct {
	*authority
	o   Options
	s   *Source
	now time.Time
	log bytes.Buffer
}

func newBench(t *testing.T) *bench {
	b := &bench{authority: newAuthority(t), now: time.Now()}
	pool := x509.NewCertPool()
	pool.AddCert(b.srv.Certificate())
	b.o = Options{
		Account: Account{Name: "m365", TokenURL: b.srv.URL, Scope: "mail", ClientID: "client", ClientSecret: "hush", RefreshToken: "first"},
		Cache:   &shelf{m: map[string][]byte{}}, Dial: (&net.Dialer{}).DialContext, Random: rand.Reader, Roots: pool,
		Now: func() time.Time { return b.now }, Log: slog.New(slog.NewTextHandler(&b.log, nil)),
	}
	b.start()
	return b
}

func (b *bench) start() {
	b.t.Helper()
	s, err := New(b.o)
	if err != nil {
		b.t.Fatal(err)
	}
	b.s = s
}

// expect asks for a token; "" means that there must be none.
func (b *bench) expect(when, want string, asked int) {
	b.t.Helper()
	got, err := b.s.Token(b.t.Context())
	if got != want || (err == nil) != (want != "") {
		b.t.Errorf("%s: token %q, %v, want %q", when, got, err, want)
	}
	if len(b.asked) != asked {
		b.t.Errorf("%s: asked %d times, want %d", when, len(b.asked), asked)
	}
	if err != nil && (strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "first")) {
		b.t.Errorf("%s: the error tells a secret: %v", when, err)
	}
}

// A token is used for four fifths of its life, over restarts, and renewed with
// the newest refresh token; what is kept cannot be read without the
// configuration.
func TestLifeOfAToken(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.reply = func(n int, _ url.Values) (int, string) { return 200, tokenAnswer(n, 3600, fmt.Sprint("refresh-", n)) }
	b.expect("first", "access-1", 1)
	if f := b.asked[0]; f.Get("grant_type") != "refresh_token" || f.Get("refresh_token") != "first" || f.Get("client_id") != "client" || f.Get("client_secret") != "hush" || f.Get("scope") != "mail" {
		t.Errorf("asked %v", f)
	}
	b.now = b.now.Add(47 * time.Minute)
	b.start()
	b.expect("after a restart", "access-1", 1)
	b.now = b.now.Add(2 * time.Minute)
	b.expect("four fifths over", "access-2", 2)
	if f := b.asked[1]; f.Get("refresh_token") != "refresh-1" {
		t.Errorf("asked with %v", f)
	}
	for _, v := range b.o.Cache.(*shelf).m {
		if bytes.Contains(v, []byte("access")) || bytes.Contains(v, []byte("refresh")) {
			t.Error("tokens are kept in clear")
		}
	}
	b.o.Account.RefreshToken = "second"
	b.start()
	b.expect("other credentials", "access-3", 3)
	if f := b.asked[2]; f.Get("refresh_token") != "second" {
		t.Errorf("asked with %v", f)
	}
}

func TestClientCredentials(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.o.Account.RefreshToken = ""
	b.start()
	b.expect("first", "access-1", 1)
	if f := b.asked[0]; f.Get("grant_type") != "client_credentials" || f.Has("refresh_token") {
		t.Errorf("asked %v", f)
	}
}

// An authority that fails is asked again at growing intervals; the token in
// hand is used to its end; the operator hears of it once.
func TestFailures(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.expect("first", "access-1", 1)
	down := true
	b.reply = func(n int, _ url.Values) (int, string) {
		if down {
			return 400, `{"error":"invalid_grant","error_description":"AADSTS700082: the refresh token has expired"}`
		}
		return 200, tokenAnswer(n, 3600, "")
	}
	b.now = b.now.Add(50 * time.Minute)
	b.expect("still good", "access-1", 2)
	b.expect("left alone", "access-1", 2)
	b.now = b.now.Add(31 * time.Second)
	b.expect("asked again", "access-1", 3)
	b.now = b.now.Add(10 * time.Minute)
	b.expect("expired", "", 4)
	b.expect("left alone without a token", "", 4)
	if n := strings.Count(b.log.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d alarms: %s", n, b.log.String())
	}
	if strings.Contains(b.log.String(), "hush") || !strings.Contains(b.log.String(), "AADSTS700082") {
		t.Error(b.log.String())
	}
	down = false
	b.now = b.now.Add(15 * time.Minute)
	b.expect("healed", "access-5", 5)
	down = true
	b.now = b.now.Add(time.Hour)
	b.expect("broken again", "", 6)
	if n := strings.Count(b.log.String(), "level=ERROR"); n != 2 {
		t.Errorf("%d alarms after the second failure", n)
	}
}

// A kept refresh token that is dead does not stop one that was configured anew.
func TestDeadRefreshToken(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.reply = func(n int, form url.Values) (int, string) {
		if form.Get("refresh_token") == "rotten" {
			return 400, `{"error":"invalid_grant"}`
		}
		return 200, tokenAnswer(n, 3600, "rotten")
	}
	b.expect("first", "access-1", 1)
	b.now = b.now.Add(time.Hour)
	b.expect("with the configured one", "access-3", 3)
}

// A token that a server refuses is not given out again, and one that is
// refused when new does not start a race with the authority.
func TestReject(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.expect("first", "access-1", 1)
	b.s.Reject("some other")
	b.expect("not that one", "access-1", 1)
	b.now = b.now.Add(time.Minute)
	b.s.Reject("access-1")
	b.expect("renewed", "access-2", 2)
	b.s.Reject("access-2")
	b.expect("refused when new", "", 2)
	b.now = b.now.Add(time.Minute)
	b.expect("later", "access-3", 3)
}

func TestStrangeAnswers(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]struct {
		status int
		body   string
	}{
		"redirect":      {302, ""},
		"server error":  {500, "<html>"},
		"not JSON":      {200, "<html>"},
		"no token":      {200, `{"token_type":"Bearer"}`},
		"other type":    {200, `{"access_token":"x","token_type":"mac"}`},
		"line end":      {200, `{"access_token":"x\r\nMAIL FROM:<>","token_type":"bearer"}`},
		"huge token":    {200, `{"access_token":"` + strings.Repeat("x", maxToken+1) + `","token_type":"bearer"}`},
		"huge":          {200, strings.Repeat(" ", maxAnswer) + tokenAnswer(1, 1, "")},
		"control bytes": {401, `{"error":"\u001b[31m"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.reply = func(int, url.Values) (int, string) { return answer.status, answer.body }
			b.expect("strange", "", 1)
			if strings.Contains(b.log.String(), "\x1b") {
				t.Error(b.log.String())
			}
		})
	}
}

// Many who ask at once cost one question.
func TestOneFlight(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	release := make(chan struct{})
	b.reply = func(n int, _ url.Values) (int, string) {
		<-release
		return 200, tokenAnswer(n, 3600, "")
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := b.s.Token(t.Context()); got != "access-1" {
				t.Error(got, err)
			}
		})
	}
	close(release)
	wg.Wait()
	if len(b.asked) != 1 {
		t.Errorf("asked %d times", len(b.asked))
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	reg := prometheus.NewRegistry()
	m, err := NewMetrics(reg, func() time.Time { return b.now })
	if err != nil {
		t.Fatal(err)
	}
	b.o.Metrics = m
	b.start()
	b.expect("first", "access-1", 1)
	b.now = b.now.Add(10 * time.Minute)
	want := `
# HELP ticketgate_oauth_token_expiry_seconds Seconds that the account's OAuth token has left; 0 if there is none.
# TYPE ticketgate_oauth_token_expiry_seconds gauge
ticketgate_oauth_token_expiry_seconds{account="m365"} 3000
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "ticketgate_oauth_token_expiry_seconds"); err != nil {
		t.Error(err)
	}
	if n := testutil.ToFloat64(m.renewed.WithLabelValues("m365", "ok")); n != 1 {
		t.Errorf("%v renewals", n)
	}
}

func TestPresets(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, tenant string
		own          bool
		url          string
	}{
		{"microsoft365", "contoso.onmicrosoft.example", false, "https://login.microsoftonline.com/contoso.onmicrosoft.example/oauth2/v2.0/token"},
		{"microsoft365", "contoso.onmicrosoft.example", true, "https://login.microsoftonline.com/contoso.onmicrosoft.example/oauth2/v2.0/token"},
		{"microsoft365", "../evil", false, ""}, {"microsoft365", "", false, ""},
		{"google", "", false, "https://oauth2.googleapis.com/token"}, {"google", "", true, ""}, {"yahoo", "", false, ""},
	} {
		u, scope, err := Preset(tc.name, tc.tenant, tc.own)
		if u != tc.url || (err == nil) != (tc.url != "") || (scope == "") != (tc.url == "") {
			t.Errorf("%+v: %q %q %v", tc, u, scope, err)
		}
	}
	good := newBench(t).o
	for name, with := range map[string]func(*Options){
		"http":      func(o *Options) { o.Account.TokenURL = "http://login.example/token" },
		"no client": func(o *Options) { o.Account.ClientID = "" },
		"no secret": func(o *Options) { o.Account.ClientSecret, o.Account.RefreshToken = "", "" },
		"no clock":  func(o *Options) { o.Now = nil },
	} {
		o := good
		with(&o)
		if _, err := New(o); err == nil {
			t.Error(name, "was accepted")
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(200, []byte(tokenAnswer(1, 3600, "r")))
	f.Add(400, []byte(`{"error":"invalid_grant"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		got, err := read(status, body, time.Unix(0, 0))
		if err == nil && (got.Access == "" || strings.ContainsAny(got.Access, "\r\n \x00") || !got.To.After(got.From)) {
			t.Errorf("%#v", got)
		}
	})
}
