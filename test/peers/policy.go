package peers

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
)

// policy answers Postfix's questions about recipients, so that a test can
// change the answers while connections are open.
type policy struct {
	addr  string
	mu    sync.Mutex
	table map[string]string
}

func startPolicy(t testing.TB, table map[string]string) *policy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &policy{addr: l.Addr().String(), table: table}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

func (p *policy) set(table map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.table = table
}

// serve speaks the policy delegation protocol: lines name=value, an empty line,
// and the action comes back.
func (p *policy) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewScanner(c)
	recipient := ""
	for in.Scan() {
		if name, value, ok := strings.Cut(in.Text(), "="); ok {
			if name == "recipient" {
				recipient = value
			}
			continue
		}
		p.mu.Lock()
		action, ok := p.table[recipient]
		p.mu.Unlock()
		if !ok {
			action = "DUNNO"
		}
		fmt.Fprintf(c, "action=%s\n\n", action)
	}
}
