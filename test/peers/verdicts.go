package peers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Case is a mail and how it came, for somebody else's verifiers.
type Case struct {
	IP     string `json:"ip"`
	HELO   string `json:"helo"`
	From   string `json:"from"`   // envelope sender
	Author string `json:"author"` // domain of the From field
	Mail   []byte `json:"mail"`
}

// Verdict is what pyspf, dkimpy (pass or not-pass, of the first signature) and
// authheaders say.
type Verdict struct{ SPF, DKIM, DMARC string }

// Verdicts has Debian's Python verifiers judge all cases, asking the name
// server on the given port of loopback.
func Verdicts(t testing.TB, dnsPort string, cases []Case) []Verdict {
	t.Helper()
	const python = "/usr/bin/python3"
	if out, err := exec.Command(python, "-c", "import spf, dkim, nacl, authres, authheaders").CombinedOutput(); err != nil {
		t.Fatalf("no verifiers to compare with: install the Debian packages python3-spf, python3-dkim, python3-nacl, python3-authres and python3-authheaders (test/install-peers does)\n%s", out)
	}
	var in bytes.Buffer
	enc := json.NewEncoder(&in)
	for _, c := range cases {
		if err := enc.Encode(c); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "-W", "ignore", filepath.Join(sources(t), "verdicts.py"))
	cmd.Env = append(os.Environ(), "PYTHONPATH="+sources(t), "PYTHONDONTWRITEBYTECODE=1", "TEST_DNS_PORT="+dnsPort)
	cmd.Stdin = &in
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("verdicts.py: %v\n%s", err, stderr.Bytes())
	}
	var verdicts []Verdict
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		var v Verdict
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatalf("%s: %v", s.Bytes(), err)
		}
		verdicts = append(verdicts, v)
	}
	if len(verdicts) != len(cases) {
		t.Fatalf("%d verdicts for %d cases\n%s", len(verdicts), len(cases), stderr.Bytes())
	}
	return verdicts
}
