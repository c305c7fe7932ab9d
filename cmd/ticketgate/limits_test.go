package main

import (
	"strings"
	"testing"
	"time"

	"ticketgate/config"
	"ticketgate/delivery"
)

// Every scope of a budget can be set in the configuration, and outbound limits
// shows what was set.
func TestEveryBudgetIsConfigured(t *testing.T) {
	t.Parallel()
	cfg, problems := config.Parse("ticketgate.toml", []byte(`hostname = "mail.help.example"
admin = "ada@help.example"
[outbound]
rate = "1/h"
egress_rate = "2/h"
smarthost_rate = "3/h"
provider_rate = "4/h"
per_destination_rate = "5/h"
queue_rate = "6/h"
sender_rate = "7/h"
connection_rate = "8/h"
[domain."help.example"]
[route.bulk]
source = ["2001:db8::7", "192.0.2.7"]
rate = "9/h"
[route.relay]
host = "relay.example:587"
rate = "10/h"
[queue.support]
address = "support@help.example"
[route.plain]
host = "other.example:587"
`))
	for _, p := range problems {
		t.Error(p)
	}
	if cfg == nil {
		t.Fatal("refused")
	}
	got := ratesOf(cfg)
	for i, key := range append(delivery.Scopes(), delivery.ScopeConnections, "egress/192.0.2.7,2001:db8::7", "account/relay") {
		if want := (delivery.Rate{Count: i + 1, Per: time.Hour}); got[key] != want {
			t.Errorf("%s: %v, want %v", key, got[key], want)
		}
		delete(got, key)
	}
	for key, r := range got {
		t.Errorf("%s has %v", key, r)
	}
}

func TestLimitsAreShown(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, `outbound = { egress_rate = "77/d", connection_rate = "55/m" }`, `
[route.relay]
host = "relay.example:587"
rate = "33/h"
`)
	d.start()
	out, code := d.cli("", "outbound", "limits")
	if code != 0 {
		t.Fatal(out)
	}
	rows := map[string]bool{}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 2 {
			rows[strings.Join(f[:3], " ")] = true
		}
	}
	for _, want := range []string{"egress each 77/d", "connections each 55/m", "account relay 33/h", "connections orange 20/m", "domain each 20/s", "global each 200/s"} {
		if !rows[want] {
			t.Errorf("no row %q in\n%s", want, out)
		}
	}
}
