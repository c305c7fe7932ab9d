package peers

import (
	"context"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"ticketgate/test/dnstest"
)

// Verifier is somebody else's DKIM verifier. It finds keys by asking a name
// server of ours.
type Verifier struct {
	path string
	args []string
	env  []string
}

// Accepts reports whether the verifier takes the mail for rightly signed, and
// what it said.
func (v Verifier) Accepts(t testing.TB, mail string) (bool, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, v.path, v.args...)
	cmd.Env = append(os.Environ(), v.env...)
	cmd.Stdin = strings.NewReader(mail)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s hangs: %s", v.path, out)
	}
	return err == nil, string(out)
}

// OpenDKIM is opendkim-testmsg, which accepts a mail if any signature holds. A
// preloaded function sends its DNS questions to the given port.
func OpenDKIM(t testing.TB, dnsPort string) Verifier {
	t.Helper()
	path := debianTool(t, "opendkim-testmsg", "opendkim-tools")
	cc := Tool(t, "cc", "gcc")
	shim := filepath.Join(t.TempDir(), "nameserver.so")
	if out, err := exec.Command(cc, "-shared", "-fPIC", "-o", shim, filepath.Join(sources(t), "nameserver.c"), "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	return Verifier{path: path, args: []string{"-t", t.TempDir()}, env: []string{"LD_PRELOAD=" + shim, "TEST_DNS_PORT=" + dnsPort}}
}

// Dkimpy is dkimverify, which looks at the first signature only.
func Dkimpy(t testing.TB, dnsPort string) Verifier {
	t.Helper()
	path := debianTool(t, "dkimverify", "python3-dkim")
	if out, err := exec.Command("/usr/bin/python3", "-c", "import nacl, dns.resolver").CombinedOutput(); err != nil {
		t.Fatalf("dkimverify cannot judge Ed25519: install the Debian package python3-nacl (test/install-peers does)\n%s", out)
	}
	return Verifier{path: path, args: []string{"--index", "0"}, env: []string{"PYTHONPATH=" + sources(t), "PYTHONDONTWRITEBYTECODE=1", "TEST_DNS_PORT=" + dnsPort}}
}

// debianTool wants the distribution's program, not another of the same name
// that comes earlier in the path.
func debianTool(t testing.TB, name, debianPackage string) string {
	t.Helper()
	for _, dir := range []string{"/usr/bin", "/usr/sbin"} {
		if p := filepath.Join(dir, name); executable(p) {
			return p
		}
	}
	return Tool(t, name, debianPackage)
}

// sources is the folder of the helpers that redirect the verifiers' DNS. A test
// runs in its package's folder, below the module's root.
func sources(t testing.TB) string {
	t.Helper()
	for dir := "."; ; dir = filepath.Join("..", dir) {
		folder := filepath.Join(dir, "test", "peers", "dkim")
		if _, err := os.Stat(folder); err == nil {
			absolute, err := filepath.Abs(folder)
			if err != nil {
				t.Fatal(err)
			}
			return absolute
		}
		if root, err := filepath.Abs(dir); err != nil || root == filepath.Dir(root) {
			t.Fatal("test/peers/dkim not found above the test's folder")
		}
	}
}

// ServeTXT answers TXT questions on loopback, over UDP and TCP, and returns
// the port. What happens to records later is not seen.
func ServeTXT(t testing.TB, records map[string]string) string {
	t.Helper()
	records = maps.Clone(records)
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		question := q.Question[0]
		text, ok := records[strings.ToLower(strings.TrimSuffix(question.Name, "."))]
		if ok && question.Qtype == dns.TypeTXT {
			answer.Answer = []dns.RR{&dns.TXT{
				Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60},
				Txt: chunks(text, 255),
			}}
		} else {
			answer.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(answer)
	})
	udp, tcp := dnstest.Listen(t)
	for _, s := range []*dns.Server{{PacketConn: udp, Handler: handler}, {Listener: tcp, Handler: handler}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go s.ActivateAndServe()
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
	return strconv.Itoa(udp.LocalAddr().(*net.UDPAddr).Port)
}

func chunks(s string, n int) []string {
	var out []string
	for len(s) > n {
		out, s = append(out, s[:n]), s[n:]
	}
	return append(out, s)
}
