package main

import (
	"maps"
	"net/netip"
	"runtime"
	"slices"

	"ticketgate/config"
	"ticketgate/ticketing"
)

// queuesOf and agentsOf turn the words of the configuration into the desk's
// nouns, in the order of their names.
func queuesOf(cfg *config.Config) []ticketing.Queue {
	var out []ticketing.Queue
	for _, name := range slices.Sorted(maps.Keys(cfg.Queues)) {
		q := cfg.Queues[name]
		forwarders := make([]netip.Prefix, len(q.TrustedForwarders))
		for i, n := range q.TrustedForwarders {
			forwarders[i] = n.Prefix
		}
		out = append(out, ticketing.Queue{
			Name:              name,
			Address:           string(q.Address),
			Aliases:           addresses(q.Aliases),
			DisplayName:       q.Name,
			Agents:            q.Agents,
			CC:                ticketing.CCPolicy{Allow: q.CC.Allow, Max: q.CC.Max, Never: q.CC.Never},
			AutoAck:           q.AutoAck.Enabled,
			TrustedForwarders: forwarders,
			CopyAlways:        q.CopyAlways,
			ReopenWindow:      q.ReopenWindow.Std(),
		})
	}
	return out
}

func agentsOf(cfg *config.Config) []ticketing.Agent {
	var out []ticketing.Agent
	for _, name := range slices.Sorted(maps.Keys(cfg.Agents)) {
		a := cfg.Agents[name]
		out = append(out, ticketing.Agent{Name: name, DisplayName: a.Name, Addresses: addresses(a.Addresses), Light: a.Role == "light"})
	}
	return out
}

func addresses(list []config.Address) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = string(a)
	}
	return out
}

func goVersion() string { return runtime.Version() }
