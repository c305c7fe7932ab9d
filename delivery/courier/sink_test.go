package courier

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"ticketgate/test/peers"
)

// Postfix's smtp-sink refuses, puts off, hangs up and says 421 at each command;
// the courier says what any careful postmaster would. It is one real server
// beside all the scripted ones.
func TestSinkFaults(t *testing.T) {
	t.Parallel()
	sink := peers.Tool(t, "smtp-sink", "postfix")
	const hard, soft, hangUp, closing = "-f", "-r", "-q", "-Q"
	for _, tc := range []struct{ flag, at, want string }{
		{hard, "CONNECT", "temporary 500 5.3.0 greeting"}, {soft, "CONNECT", "temporary 450 4.3.0 greeting"},
		{hangUp, "CONNECT", "temporary 0 4.4.2 greeting"}, {closing, "CONNECT", "site 421 4.0.0 greeting"},
		{hard, "EHLO", "success 250 2.0.0 dot"}, {soft, "EHLO", "temporary 450 4.3.0 hello"},
		{hangUp, "EHLO", "temporary 0 4.4.2 hello"}, {closing, "EHLO", "site 421 4.0.0 hello"},
		{hard, "MAIL", "permanent 500 5.3.0 mail"}, {soft, "MAIL", "temporary 450 4.3.0 mail"},
		{hangUp, "MAIL", "temporary 0 4.4.2 mail"}, {closing, "MAIL", "site 421 4.0.0 mail"},
		{hard, "RCPT", "permanent 500 5.3.0 rcpt"}, {soft, "RCPT", "temporary 450 4.3.0 rcpt"},
		{hangUp, "RCPT", "temporary 0 4.4.2 rcpt"}, {closing, "RCPT", "site 421 4.0.0 rcpt"},
		{hard, "DATA", "permanent 500 5.3.0 data"}, {soft, "DATA", "temporary 450 4.3.0 data"},
		{hangUp, "DATA", "temporary 0 4.4.2 data"}, {closing, "DATA", "site 421 4.0.0 data"},
		{hard, ".", "permanent 500 5.3.0 dot"}, {soft, ".", "temporary 450 4.3.0 dot"},
		{hangUp, ".", "temporary 0 4.4.2 dot ambiguous"}, {closing, ".", "site 421 4.0.0 dot"},
		{hangUp, "QUIT", "success 250 2.0.0 dot"}, {closing, "QUIT", "success 250 2.0.0 dot"},
	} {
		t.Run(tc.flag+" "+tc.at, func(t *testing.T) {
			t.Parallel()
			addr := peers.FreeAddr(t)
			args := []string{tc.flag, tc.at, addr, "10"}
			if os.Getuid() == 0 {
				args = append([]string{"-u", "nobody"}, args...) // it will not be root
			}
			cmd := exec.Command(sink, args...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				cmd.Process.Kill()
				cmd.Wait()
			})
			peers.WaitListen(t, addr, "smtp-sink")
			dns := oneHost()
			dns.ip["mx1.customer.example"] = []string{"127.0.0.1"}
			o := testOptions(dns)
			_, port, _ := net.SplitHostPort(addr)
			o.Port, _ = strconv.Atoi(port)
			o.AllowPrivate, o.Dial = true, (&net.Dialer{}).DialContext
			c := newCourier(t, o)
			defer c.Close(context.Background())
			r := c.Carry(t.Context(), letter("anna@customer.example"))[0]
			if got := strings.TrimPrefix(short(r), "anna@customer.example "); got != tc.want {
				t.Errorf("got %q, want %q: %s %v", got, tc.want, r.Text, r.Err)
			}
		})
	}
}
