package peers

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// StartSigner runs OpenDKIM as a milter that signs for a domain with RSA-2048,
// and returns the main.cf lines with which Postfix uses it.
func StartSigner(t testing.TB, domain string) []string {
	t.Helper()
	dir, addr := Dir(t), FreeAddr(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	keyFile := write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	host, port, _ := net.SplitHostPort(addr)
	conf := write("opendkim.conf", fmt.Appendf(nil, `Domain %s
Selector bench
KeyFile %s
Mode s
Canonicalization relaxed/relaxed
SignatureAlgorithm rsa-sha256
Socket inet:%s@%s
InternalHosts 127.0.0.1
RequireSafeKeys no
Syslog no
`, domain, keyFile, port, host))
	cmd := exec.Command(Tool(t, "opendkim", "opendkim"), "-f", "-x", conf)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		hard := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		hard.Stop()
	})
	WaitListen(t, addr, "OpenDKIM")
	return []string{"smtpd_milters = inet:" + addr, "milter_default_action = tempfail", "milter_protocol = 6"}
}
