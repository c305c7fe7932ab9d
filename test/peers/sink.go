package peers

import (
	"bufio"
	"fmt"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Sink is a running smtp-sink: it takes every mail and throws it away.
type Sink struct {
	Addr  string
	mails atomic.Int64
}

// StartSink starts smtp-sink with further flags, and ends it with the test. It
// needs root, as the Postfix beside it does.
func StartSink(t testing.TB, flags ...string) *Sink {
	t.Helper()
	s := &Sink{Addr: FreeAddr(t)}
	args := append([]string{"-c", "-u", "nobody"}, flags...)
	cmd := exec.Command(Tool(t, "smtp-sink", "postfix"), append(args, s.Addr, "1000")...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewScanner(out) // "sess=1 quit=0 mesg=17" and a carriage return
		lines.Split(func(data []byte, end bool) (int, []byte, error) {
			if i := strings.IndexAny(string(data), "\r\n"); i >= 0 {
				return i + 1, data[:i], nil
			}
			return 0, nil, nil
		})
		for lines.Scan() {
			var sessions, quits, mails int64
			if n, _ := fmt.Sscanf(lines.Text(), "sess=%d quit=%d mesg=%d", &sessions, &quits, &mails); n == 3 {
				s.mails.Store(mails)
			}
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-done
		cmd.Wait()
	})
	WaitListen(t, s.Addr, "smtp-sink")
	return s
}

// Mails is how many it has taken, as it last said.
func (s *Sink) Mails() int { return int(s.mails.Load()) }

// Wait returns when the sink has taken n mails in all.
func (s *Sink) Wait(t testing.TB, limit time.Duration, n int) {
	t.Helper()
	end := time.Now().Add(limit)
	for s.Mails() < n {
		if time.Now().After(end) {
			t.Fatalf("the sink has %d mails of %d after %s", s.Mails(), n, limit)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
