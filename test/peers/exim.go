package peers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Exim is a running Exim of our own. Mail for its domains ends as the local
// part says: gone is refused, later put off, returned accepted and then
// bounced; what is larger than 100 KiB is refused; everything else is taken.
type Exim struct {
	Addr string // SMTP, host:port on loopback
	dir  string
}

// StartExim starts an instance that delivers for domains and hands its bounces
// to relay (host:port). It ends with the test. It needs root, as Exim does.
func StartExim(t testing.TB, relay string, domains ...string) *Exim {
	t.Helper()
	e := &Exim{Addr: FreeAddr(t), dir: Dir(t)}
	tool := Tool(t, "exim4", "exim4-daemon-light")
	if os.Getuid() != 0 {
		t.Fatal("Exim can only be started as root; the tests need it")
	}
	owner, err := user.Lookup("Debian-exim")
	if err != nil {
		t.Fatalf("Exim needs its user; run test/install-peers: %v", err)
	}
	for _, d := range []string{"spool", "mail", "log"} {
		sub := filepath.Join(e.dir, d)
		if err := os.Mkdir(sub, 0o750); err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(owner.Uid)
		gid, _ := strconv.Atoi(owner.Gid)
		if err := os.Chown(sub, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(e.dir, "exim.conf")
	if err := os.WriteFile(conf, []byte(e.config(tool, relay, domains)), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tool, "-C", conf, "-bdf", "-q1s")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("Exim log:\n%s", tail(e.Log(), 60))
		}
	})
	WaitListen(t, e.Addr, "Exim")
	return e
}

func (e *Exim) config(tool, relay string, domains []string) string {
	_, port, _ := net.SplitHostPort(e.Addr)
	relayHost, relayPort, _ := net.SplitHostPort(relay)
	return fmt.Sprintf(`exim_path = %[1]s
spool_directory = %[2]s/spool
log_file_path = %[2]s/log/%%s
pid_file_path = %[2]s/spool/pid
primary_hostname = mx.exim.example
daemon_smtp_ports = %[3]s
local_interfaces = 127.0.0.1
domainlist local_domains = %[4]s
never_users =
acl_smtp_rcpt = acl_rcpt
acl_smtp_data = acl_data
message_size_limit = 100K
tls_advertise_hosts =
host_lookup =
rfc1413_query_timeout = 0s
keep_environment =
deliver_drop_privilege
smtp_accept_max = 100
smtputf8_advertise_hosts = *
begin acl
acl_rcpt:
  deny local_parts = gone
       message = nobody here by that name
  defer local_parts = later
       message = greylisted, come back in 5 minutes
  accept
acl_data:
  accept
begin routers
returned:
  driver = redirect
  domains = +local_domains
  local_parts = returned
  allow_fail
  data = :fail: the mailbox has been closed
files:
  driver = accept
  domains = +local_domains
  transport = file
others:
  driver = manualroute
  route_list = * %[5]s
  self = send
  transport = out
begin transports
file:
  driver = appendfile
  directory = %[2]s/mail
  maildir_format
  create_directory
out:
  driver = smtp
  port = %[6]s
  hosts_try_fastopen =
begin retry
* * F,1h,1s
`, tool, e.dir, port, strings.Join(domains, " : "), relayHost, relayPort)
}

// Mail returns what was delivered, in no order.
func (e *Exim) Mail(t testing.TB) [][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(e.dir, "mail", "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var mails [][]byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		mails = append(mails, b)
	}
	return mails
}

// Log returns what the instance has logged.
func (e *Exim) Log() string {
	b, _ := os.ReadFile(filepath.Join(e.dir, "log", "main"))
	p, _ := os.ReadFile(filepath.Join(e.dir, "log", "panic"))
	return string(b) + string(p)
}
