package peers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Postfix is a running Postfix of our own.
type Postfix struct {
	Addr   string // SMTP, host:port on loopback
	dir    string
	tool   string
	policy *policy
}

// PostfixOptions say what the instance does beyond listening.
type PostfixOptions struct {
	Relay   string            // host:port all mail goes on to; "" = none
	Domains []string          // delivered into maildirs here
	Discard bool              // everything accepted is thrown away
	Access  map[string]string // recipient → what RCPT answers instead of OK
	Main    []string          // further main.cf lines
}

// StartPostfix starts an instance and stops it when the test ends. It needs
// root, as Postfix does.
func StartPostfix(t testing.TB, o PostfixOptions) *Postfix {
	t.Helper()
	p := &Postfix{Addr: FreeAddr(t), dir: Dir(t), tool: Tool(t, "postfix", "postfix")}
	if os.Getuid() != 0 {
		t.Fatal("Postfix can only be started as root; the tests need it")
	}
	for _, d := range []string{"conf", "spool", "data", "mail"} {
		if err := os.Mkdir(filepath.Join(p.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.chown(t, "data", "postfix:postfix")
	p.chown(t, "mail", "nobody:nogroup")
	if o.Access != nil {
		p.policy = startPolicy(t, o.Access)
	}
	p.write(t, "conf/main.cf", p.mainCF(o))
	p.write(t, "conf/master.cf", p.masterCF(o))
	if out, err := p.command("start"); err != nil {
		t.Fatalf("postfix start: %v\n%s%s", err, out, p.Log())
	}
	t.Cleanup(func() {
		if out, err := p.command("stop"); err != nil {
			t.Logf("postfix stop: %v\n%s", err, out)
		}
		if t.Failed() {
			t.Logf("Postfix log:\n%s", tail(p.Log(), 60))
		}
	})
	WaitListen(t, p.Addr, "Postfix")
	return p
}

func (p *Postfix) mainCF(o PostfixOptions) string {
	lines := []string{
		"compatibility_level = 3.6",
		"myhostname = mx.postfix.example",
		"mydestination =",
		"mynetworks = 127.0.0.0/8",
		"inet_interfaces = 127.0.0.1",
		"inet_protocols = ipv4",
		"queue_directory = " + filepath.Join(p.dir, "spool"),
		"data_directory = " + filepath.Join(p.dir, "data"),
		"maillog_file = " + filepath.Join(p.dir, "log"),
		"maillog_file_prefixes = " + p.dir,
		"alias_maps =",
		"alias_database =",
		"local_recipient_maps =",
		"smtputf8_enable = yes",
		"message_size_limit = 40000000",
		"mailbox_size_limit = 0",
		"virtual_mailbox_limit = 0",
		"disable_dns_lookups = yes",
		"smtp_dns_support_level = disabled",
		"smtp_host_lookup = native",
		"default_destination_concurrency_limit = 20",
		"initial_destination_concurrency = 20",
		"minimal_backoff_time = 1s",
		"maximal_backoff_time = 3s",
		"queue_run_delay = 1s",
	}
	restrictions := "permit_mynetworks, reject"
	if p.policy != nil {
		restrictions = "check_policy_service inet:" + p.policy.addr + ", " + restrictions
	}
	lines = append(lines, "smtpd_recipient_restrictions = "+restrictions)
	if o.Relay != "" {
		host, port, _ := net.SplitHostPort(o.Relay)
		lines = append(lines, fmt.Sprintf("relayhost = [%s]:%s", host, port))
	}
	if len(o.Domains) > 0 {
		lines = append(lines,
			"virtual_mailbox_domains = "+strings.Join(o.Domains, " "),
			"virtual_mailbox_base = "+filepath.Join(p.dir, "mail"),
			"virtual_mailbox_maps = static:all/",
			"virtual_uid_maps = static:65534",
			"virtual_gid_maps = static:65534",
		)
	}
	return strings.Join(append(lines, o.Main...), "\n") + "\n"
}

func (p *Postfix) masterCF(o PostfixOptions) string {
	smtpd := p.Addr + "      inet  n       -       n       -       100     smtpd\n"
	if o.Discard {
		smtpd += "    -o content_filter=discard:\n"
	}
	return smtpd + `pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
local     unix  -       n       n       -       -       local
virtual   unix  -       n       n       -       -       virtual
lmtp      unix  -       -       n       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
`
}

// SetAccess replaces the recipients that get another answer than OK.
func (p *Postfix) SetAccess(table map[string]string) { p.policy.set(table) }

// Mail returns the files delivered into the maildir.
func (p *Postfix) Mail(t testing.TB) [][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.dir, "mail/all/new/*"))
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// Log returns what the instance logged.
func (p *Postfix) Log() string {
	b, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	return string(b)
}

func (p *Postfix) command(verb string) (string, error) {
	out, err := exec.Command(p.tool, "-c", filepath.Join(p.dir, "conf"), verb).CombinedOutput()
	return string(out), err
}

func (p *Postfix) write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (p *Postfix) chown(t testing.TB, name, owner string) {
	t.Helper()
	if out, err := exec.Command("chown", owner, filepath.Join(p.dir, name)).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v\n%s", err, out)
	}
}

func tail(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
