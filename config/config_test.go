package config

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestBad: one file per mistake, with the words a person gets to read.
func TestBad(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, problems := Parse("ticketgate.toml", data)
			if c != nil || len(problems.Errors()) == 0 {
				t.Fatalf("accepted: %v", problems)
			}
			var b strings.Builder
			if err := problems.Print(&b); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(b.String(), "hunter2") {
				t.Errorf("a secret is shown:\n%s", b.String())
			}
			want := strings.TrimSuffix(file, ".toml") + ".want"
			if *update {
				if err := os.WriteFile(want, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			golden, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(golden), b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSample: the file that outside checks use.
func TestSample(t *testing.T) {
	t.Parallel()
	c, problems := Load("testdata/sample.toml")
	if c == nil {
		t.Fatal(problems)
	}
	var warnings []string
	for _, p := range problems {
		warnings = append(warnings, p.Key+": "+p.Text)
	}
	if diff := cmp.Diff([]string{
		"listen.imap: listen.imap is not served by this version",
	}, warnings); diff != "" {
		t.Error(diff)
	}
	want := Default()
	want.Hostname, want.Admin = "mail.help.example", "ada@help.example"
	want.PublicURL = "https://mail.help.example"
	want.Resolver = "127.0.0.1:5353"
	want.Listen = Listen{SMTP: "127.0.0.1:2525", Submission: "127.0.0.1:2587", IMAP: "127.0.0.1:2143", HTTP: "127.0.0.1:8025", Admin: "127.0.0.1:9464"}
	want.Store.Dir = "testdata/data"
	want.Outbound.Smarthost = "127.0.0.1:2526"
	want.Outbound.Retry = []Duration{second, 2 * second, 5 * second}
	want.Outbound.Expire = hour
	want.Domains = map[string]*Domain{"help.example": {}}
	want.Agents = map[string]*Agent{"otto": {Name: "Otto", Addresses: []Address{"otto@help.example"}, Role: "full"}}
	want.Queues = map[string]*Queue{"support": {
		Address: "support@help.example", Name: "support", Agents: []string{"otto"}, From: From{As: "author"}, ReplyTo: ReplyTo{Plus: true}, SubjectTag: true,
		CC: CC{Allow: "all", Max: 48, Staff: "follower"}, AutoAck: AutoAck{Enabled: true},
		TrustedForwarders: []Forwarder{{Network: Network{netip.MustParsePrefix("127.0.0.9/32")}}},
		Hold:              Hold{Spam: true, Recipients: 200}, ReopenWindow: 7 * day, ReplyAll: "queue", Language: "en",
	}}
	if !reflect.DeepEqual(want, c) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// TestDefaults: the smallest file, and what it means.
func TestDefaults(t *testing.T) {
	t.Parallel()
	c, problems := Parse("/etc/ticketgate/ticketgate.toml", []byte(Example(false)))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if c.Store.Dir != "/var/lib/ticketgate" || c.Limits.MessageSize != 35_000_000 || c.Outbound.Expire.Std() != 96*time.Hour {
		t.Errorf("%+v", c)
	}
	if q := c.Queues["support"]; !q.AutoAck.Enabled || q.CC.Allow != "participants" || q.Name != "support" {
		t.Errorf("%+v", q)
	}
}

func TestExampleFull(t *testing.T) {
	t.Parallel()
	full := Example(true)
	if _, problems := Parse("t.toml", []byte(full)); len(problems) > 0 {
		t.Errorf("as printed: %v\n%s", problems, full)
	}
	// Every commented key is a key, and its example a good value. What cannot
	// stand together says so in a sentence of its own.
	var lines []string
	for l := range strings.Lines(full) {
		if strings.HasPrefix(l, "#") && !strings.HasPrefix(l, "# ") {
			l = l[1:]
		}
		lines = append(lines, l)
	}
	_, problems := Parse("t.toml", []byte(strings.Join(lines, "")))
	apart := []string{
		"store.url", "tls.cert", "tls.key", "metrics.token_file", "tls.acme_email", "outbound.smarthost", "route.relay.password_file",
		"route.relay.oauth", "route.relay.oauth.client_secret_file", "route.relay.oauth.refresh_token_file", "route.relay.oauth.token_url",
	}
	for _, p := range problems.Errors() {
		if !slices.Contains(apart, p.Key) {
			t.Errorf("with every key: %v\n%s", p, p.Excerpt)
		}
	}
	for _, key := range []string{"cc.allow", "auto_ack.enabled", "trusted_forwarders", "[domain.\"help.example\"]", "per_destination_rate"} {
		if !strings.Contains(full, key) {
			t.Errorf("%s is missing", key)
		}
	}
}

// TestReferenceDoc: the page people read is what the program says.
func TestReferenceDoc(t *testing.T) {
	t.Parallel()
	const page = "../docs/configuration.md"
	if *update {
		if err := os.MkdirAll("../docs", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(page, []byte(Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), Reference()); diff != "" {
		t.Errorf("docs/configuration.md is out of date; go test ./config -update\n%s", diff)
	}
}

// TestEveryKeyIsDocumented: a key without words cannot be added.
func TestEveryKeyIsDocumented(t *testing.T) {
	t.Parallel()
	var walk func(typ reflect.Type)
	walk = func(typ reflect.Type) {
		for _, f := range fieldsOf(typ) {
			if f.key == "" || f.Tag.Get("doc") == "" {
				t.Errorf("%s.%s has no key or no words", typ, f.Name)
			}
			if f.Type.Kind() == reflect.Map {
				walk(f.Type.Elem().Elem())
			} else if isSection(f.Type) {
				walk(f.Type)
			} else if isList(f.Type) {
				walk(f.Type.Elem())
			}
			if f.Type.Kind() == reflect.Int && f.Tag.Get("max") == "" {
				t.Errorf("%s.%s has no bounds", typ, f.Name)
			}
		}
	}
	walk(reflect.TypeFor[Config]())
}

// TestFiles: what only Load can see.
func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode fs.FileMode) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	certificate, key := pair(t)
	write("key.pem", key, 0o644)
	write("cert.pem", certificate, 0o644)
	file := write("t.toml", Example(false)+"\n[tls]\nmode = \"files\"\ncert = \"cert.pem\"\nkey = \"key.pem\"\n[metrics]\ntoken_file = \"gone\"\n", 0o600)
	c, problems := Load(file)
	if c != nil || len(problems) != 2 ||
		problems[0].Text != "key "+filepath.Join(dir, "key.pem")+" is open to everybody (0644)" || problems[0].Suggestion != "chmod 640" ||
		problems[1].Text != "token_file names "+filepath.Join(dir, "gone")+", which does not exist" {
		t.Errorf("%v", problems)
	}
	write("key.pem", key, 0o640)
	write("gone", "x", 0o600)
	if c, problems = Load(file); c == nil || c.TLS.Key != Path(filepath.Join(dir, "key.pem")) {
		t.Errorf("%v", problems)
	}
	for _, bad := range []string{filepath.Join(dir, "none.toml"), dir} {
		if c, problems := Load(bad); c != nil || len(problems) != 1 || problems[0].Line != 0 {
			t.Errorf("%s: %v", bad, problems)
		}
	}
	huge := write("huge.toml", strings.Repeat("#\n", MaxFile), 0o600)
	if _, problems := Load(huge); len(problems) != 1 || !strings.Contains(problems[0].Text, "larger than") {
		t.Errorf("%v", problems)
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	env := map[string]string{"TOKEN": "from-env", "CREDENTIALS_DIRECTORY": "/run/cred"}
	getenv := func(n string) string { return env[n] }
	read := func(n string) ([]byte, error) {
		if n == "/run/cred/metrics" {
			return []byte("from-cred\n"), nil
		}
		return nil, errors.New("no such file")
	}
	for _, x := range []struct{ source, want, err string }{
		{"literal", "literal", ""},
		{"env:TOKEN", "from-env", ""},
		{"env:NONE", "", "environment variable NONE is empty or not set"},
		{"cred:metrics", "from-cred", ""},
		{"cred:other", "", "credential other: no such file"},
	} {
		var s Secret
		if err := s.UnmarshalText([]byte(x.source)); err != nil {
			t.Fatal(err)
		}
		got, err := s.Reveal(getenv, read)
		if got != x.want || fmt.Sprint(err) != x.err && !(err == nil && x.err == "") {
			t.Errorf("%s: %q, %v", x.source, got, err)
		}
		if text := fmt.Sprintf("%v %+v %#v %s", s, s, s, s); strings.Contains(text, x.source) {
			t.Errorf("shown: %s", text)
		}
	}
	for _, bad := range []string{"cred:../etc/shadow", "env:", "cred:"} {
		if err := new(Secret).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%s accepted", bad)
		}
	}
	var none Secret
	if _, err := (Secret{source: "cred:x"}).Reveal(func(string) string { return "" }, read); err == nil || !none.IsZero() {
		t.Errorf("credentials without a directory: %v", err)
	}
}

// TestValues: each type's good forms, and bad ones it must refuse.
func TestValues(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		value interface{ UnmarshalText([]byte) error }
		good  map[string]string
		bad   []string
	}{
		{new(Duration), map[string]string{"90s": "1m30s", "1h30m": "1h30m", "4d": "4d", "1w": "7d", "1500ms": "1s500ms", "0s": "0s"},
			[]string{"", "5", "-5m", "1.5h", "5 m", "m", "9999999999999w", "1d1", "106751d24h"}},
		{new(Size), map[string]string{"35MB": "35MB", "64KiB": "64KiB", "1 GB": "1GB", "0B": "0B", "1000KB": "1MB", "1025B": "1025B"},
			[]string{"", "35", "-1MB", "MB", "1.5GB", "9999999999999GB", "35mb"}},
		{new(Rate), map[string]string{"20/s": "20/s", "300/m": "300/m", "5000/d": "5000/d", "unlimited": "unlimited"},
			[]string{"", "20", "0/s", "20/w", "20/5s", "-1/s", "a/s"}},
		{new(Burst), map[string]string{"20/10m": "20/10m", "1/1s": "1/1s", "5/60m": "5/1h", "off": "off"},
			[]string{"", "20", "0/10m", "20/10", "20/500ms", "-1/m", "20/m", "a/1m", "20/-1m", "99999999999/1m"}},
		{new(Hostname), map[string]string{"Mail.Example": "mail.example", "bücher.example": "xn--bcher-kva.example"},
			[]string{"", "mail", "a..b", "-a.b", "a_b.c", "192.0.2.1", "[::1]", "a.1", strings.Repeat("a", 64) + ".b", strings.Repeat("a.", 130) + "b"}},
		{new(Address), map[string]string{"Otto@Help.Example": "Otto@help.example", "müller@bücher.example": "müller@xn--bcher-kva.example"},
			[]string{"", "otto", "@a.b", "otto@", "otto@localhost", "a b@c.d", "a..b@c.d", "<a@b.c>", "a,b@c.d", "a\x00@b.c", strings.Repeat("a", 65) + "@b.c"}},
		{new(ListenAddr), map[string]string{":25": ":25", "[::1]:25": "[::1]:25", "localhost:0": "localhost:0", "": ""},
			[]string{"25", "1.2.3.4", "mail.example:25", ":http", "::1:25:", ":70000"}},
		{new(Resolver), map[string]string{"192.0.2.1": "192.0.2.1:53", "::1": "[::1]:53", "[::1]:5353": "[::1]:5353", "": ""},
			[]string{"dns.example", "192.0.2.1:0", "192.0.2.1:x"}},
		{new(HostPort), map[string]string{"relay.example": "relay.example:25", "192.0.2.1": "192.0.2.1:25", "[::1]:587": "[::1]:587", "localhost:2526": "localhost:2526"},
			[]string{"relay", "relay.example:0", "a b.example", ":25", "relay.example:smtp"}},
		{new(Network), map[string]string{"192.0.2.1": "192.0.2.1/32", "2001:db8::/32": "2001:db8::/32", "::ffff:192.0.2.1": "192.0.2.1/32"},
			[]string{"", "0.0.0.0/0", "10.0.0.1/8", "mx.example", "10.0.0.0/33", "fe80::1%eth0"}},
		{new(Forwarder), map[string]string{"192.0.2.1": "192.0.2.1/32", "2001:db8::/32": "2001:db8::/32", "login:exchange": "login:exchange", "dkim:Bücher.Example": "dkim:xn--bcher-kva.example",
			"cert:" + strings.Repeat("AB:", 31) + "cd": "cert:" + strings.Repeat("ab", 31) + "cd"},
			[]string{"", "0.0.0.0/0", "login:", "login:two words", "dkim:", "dkim:example", "dkim:192.0.2.1", "cert:", "cert:abcd", "cert:" + strings.Repeat("x", 64), "header:x"}},
	} {
		name := reflect.TypeOf(x.value).Elem().Name()
		for in, want := range x.good {
			if err := x.value.UnmarshalText([]byte(in)); err != nil {
				t.Errorf("%s %q: %v", name, in, err)
			} else if got := fmt.Sprint(reflect.ValueOf(x.value).Elem().Interface()); got != want {
				t.Errorf("%s %q = %q, want %q", name, in, got, want)
			}
		}
		for _, in := range x.bad {
			if err := x.value.UnmarshalText([]byte(in)); err == nil {
				t.Errorf("%s %q accepted", name, in)
			}
		}
	}
}

func TestDurationRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(rapid.Int64Range(0, 1<<52).Draw(t, "ms")) / 1000 * Duration(time.Millisecond)
		var back Duration
		if err := back.UnmarshalText([]byte(d.String())); err != nil || back != d {
			t.Fatalf("%d: %s: %d, %v", d, d, back, err)
		}
		s := Size(rapid.Int64Range(0, 1<<62).Draw(t, "size"))
		var size Size
		if err := size.UnmarshalText([]byte(s.String())); err != nil || size != s {
			t.Fatalf("%d: %s: %d, %v", s, s, size, err)
		}
	})
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"adress", "address", 1}, {"adderss", "address", 1}, {"queue", "", 5}, {"kitten", "sitting", 3}, {"ü", "u", 1}} {
		if got := distance(x.a, x.b); got != x.want || distance(x.b, x.a) != x.want {
			t.Errorf("%s %s: %d", x.a, x.b, got)
		}
	}
	if got := nearest("zzz", []string{"address", "name"}); got != "" {
		t.Errorf("nearest guessed %q", got)
	}
}

// FuzzParse: any bytes give a configuration or problems at a place that exists.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/bad/*.toml")
	for _, file := range append(files, "testdata/sample.toml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, problems := Parse("t.toml", data)
		if (c == nil) != (len(problems.Errors()) > 0) {
			t.Fatalf("config %v with %v", c, problems)
		}
		lines := strings.Count(string(data), "\n") + 1
		for _, p := range problems {
			if p.Line < 1 || p.Line > lines || p.Col < 1 || p.Text == "" {
				t.Fatalf("%+v in %d lines", p, lines)
			}
		}
	})
}

// TestSocketAddr: a place for LMTP is an address or a socket.
func TestSocketAddr(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{
		"unix:/run/lmtp.sock": {"unix", "/run/lmtp.sock"}, "127.0.0.1:24": {"tcp", "127.0.0.1:24"}, ":24": {"tcp", ":24"}, "[::1]:24": {"tcp", "[::1]:24"},
	} {
		var s SocketAddr
		if err := s.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if network, address := s.Split(); network != want[0] || address != want[1] {
			t.Errorf("%s: %s %s", text, network, address)
		}
	}
	for _, bad := range []string{"unix:", "unix:lmtp.sock", "unix:/a\x00b", "unix:/" + strings.Repeat("a", 107), "lmtp.sock", "24", "mail.help.example:24"} {
		var s SocketAddr
		if err := s.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
