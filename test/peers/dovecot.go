package peers

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Vacation is a person's mailbox with a Sieve script that answers every mail:
// Dovecot's delivery agent and its vacation action.
type Vacation struct {
	t       testing.TB
	address string
	conf    string
	lda     string
	user    *syscall.Credential // nil: the test's own
}

const dovecotConfig = `
base_dir = %[1]s/run
log_path = /dev/stderr
mail_location = maildir:%[1]s/maildir
mail_home = %[1]s
mail_uid = %[2]d
mail_gid = %[3]d
first_valid_uid = 1
first_valid_gid = 1
postmaster_address = postmaster@customer.example
hostname = mx.customer.example
submission_host = %[4]s
protocol lda {
  mail_plugins = sieve
}
plugin {
  sieve = file:%[1]s/away.sieve
  sieve_extensions = +vacation-seconds
  sieve_vacation_min_period = 0
}
`

// awayScript answers the same person again and again, as no script should:
// what bounds the mails must be the other side.
const awayScript = `require ["vacation", "vacation-seconds"];
vacation :seconds 0 :addresses ["%s"] "I am away until Monday.";
`

// StartVacation sets a mailbox up. Its answers go to the SMTP server submission.
func StartVacation(t testing.TB, address, submission string) *Vacation {
	t.Helper()
	Tool(t, "sievec", "dovecot-sieve")
	v := &Vacation{t: t, address: address, lda: "/usr/lib/dovecot/dovecot-lda"}
	if !executable(v.lda) {
		t.Fatalf("%s is not installed; run test/install-peers, or install the Debian package dovecot-core", v.lda)
	}
	dir := Dir(t)
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 { // Dovecot delivers to no superuser
		uid, gid = 65534, 65534
		v.user = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	v.conf = filepath.Join(dir, "dovecot.conf")
	for name, text := range map[string]string{
		"dovecot.conf": fmt.Sprintf(dovecotConfig, dir, uid, gid, submission), "away.sieve": fmt.Sprintf(awayScript, address),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, sub := range []string{"run", "maildir"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if v.user != nil {
		for _, name := range []string{"", "run", "maildir"} {
			if err := os.Chown(filepath.Join(dir, name), uid, gid); err != nil {
				t.Fatal(err)
			}
		}
	}
	return v
}

// Deliver puts a mail into the mailbox and returns Dovecot's log of it.
func (v *Vacation) Deliver(from string, raw []byte) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, v.lda, "-c", v.conf, "-f", from, "-a", v.address, "-e")
	cmd.Env = []string{"HOME=" + filepath.Dir(v.conf), "USER=mailbox", "PATH=/usr/bin:/bin"}
	cmd.Stdin = bytes.NewReader(raw)
	if v.user != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: v.user}
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
