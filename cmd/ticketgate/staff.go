package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"maps"
	"net/netip"
	"runtime"
	"slices"

	"ticketgate/config"
	"ticketgate/gateway/login"
	"ticketgate/gateway/smtpd"
	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// queuesOf and agentsOf turn the words of the configuration into the desk's
// nouns, in the order of their names.
func queuesOf(cfg *config.Config) []ticketing.Queue {
	var out []ticketing.Queue
	for _, name := range slices.Sorted(maps.Keys(cfg.Queues)) {
		q := cfg.Queues[name]
		out = append(out, ticketing.Queue{
			Name:        name,
			Address:     string(q.Address),
			Aliases:     addresses(q.Aliases),
			DisplayName: q.Name,
			Appearance: ticketing.Appearance{
				As: q.From.As, Name: q.From.Name, Address: string(q.From.Address),
				ReplyTo: string(q.ReplyTo.Address), WithoutToken: !q.ReplyTo.Plus, WithoutSubject: !q.SubjectTag,
			},
			Agents:            q.Agents,
			CC:                ticketing.CCPolicy{Allow: q.CC.Allow, Max: q.CC.Max, Never: q.CC.Never, StaffAsCC: q.CC.Staff == "cc", AlonePublic: q.CC.AlonePublic},
			AutoAck:           q.AutoAck.Enabled,
			TrustedForwarders: forwardersOf(q),
			CopyAlways:        q.CopyAlways,
			ReopenWindow:      q.ReopenWindow.Std(),
			DeliverTo:         ticketing.DeliverTo{Route: q.DeliverTo.Route, Address: string(q.DeliverTo.Address)},
			Screen:            screenOf(q.Hold),
			Accept:            acceptOf(q.Accept),
			ClosedText:        q.ClosedText,
			KeepSolved:        q.KeepSolved,
			ReplyAll:          q.ReplyAll,
			Rewriters:         addresses(q.Rewriters),
		})
	}
	return out
}

func forwardersOf(q *config.Queue) []ticketing.Forwarder {
	out := make([]ticketing.Forwarder, len(q.TrustedForwarders))
	for i, f := range q.TrustedForwarders {
		out[i] = ticketing.Forwarder{Network: f.Network.Prefix, Certificate: f.Certificate, Login: f.Login, Signer: f.Signer}
	}
	return out
}

func screenOf(h config.Hold) ticketing.Screen {
	return ticketing.Screen{
		Blocked: h.Blocked, Spam: h.Spam, Recipients: h.Recipients, PartSize: int64(h.PartSize), Malformed: h.Malformed, Unparsed: h.Unparsed,
		UnverifiedAgents: h.UnverifiedAgents, Strangers: h.Strangers,
	}
}

func acceptOf(rules []config.Accept) []ticketing.AcceptRule {
	out := make([]ticketing.AcceptRule, len(rules))
	for i, r := range rules {
		out[i] = ticketing.AcceptRule{
			Name: r.Name, From: r.From, Header: ticketing.HeaderTest(r.Header), Subject: r.Subject, Auth: r.Auth,
			LargerThan: int64(r.LargerThan), Action: r.Action, Text: r.Text,
		}
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

func prefixes(list []config.Network) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, n := range list {
		out[i] = n.Prefix
	}
	return out
}

// mailLogin knows which agents hand in mail, and by which app passwords.
type mailLogin struct {
	passwords *login.AppPasswords
	accounts  map[string]*smtpd.Account // by id and by every address, folded
}

func newMailLogin(cfg *config.Config, passwords *login.AppPasswords) *mailLogin {
	m := &mailLogin{passwords: passwords, accounts: map[string]*smtpd.Account{}}
	for name, a := range cfg.Agents {
		account := &smtpd.Account{User: name, Addresses: addresses(a.Addresses)}
		account.Anyone = forwards(cfg, name)
		m.accounts[message.Fold(name)] = account
		for _, addr := range account.Addresses {
			m.accounts[message.Fold(addr)] = account
		}
	}
	return m
}

// forwards reports whether a queue trusts the agent's login as a forwarder.
func forwards(cfg *config.Config, agent string) bool {
	for _, q := range cfg.Queues {
		if slices.ContainsFunc(q.TrustedForwarders, func(f config.Forwarder) bool { return f.Login == agent }) {
			return true
		}
	}
	return false
}

// Authenticate does the same work for a user there is none of.
func (m *mailLogin) Authenticate(ctx context.Context, user, secret string) (*smtpd.Account, error) {
	account := m.accounts[message.Fold(user)]
	if account == nil {
		account = &smtpd.Account{}
	}
	agent, err := m.passwords.Verify(ctx, secret)
	switch {
	case errors.Is(err, login.ErrToken):
		return nil, smtpd.ErrCredentials
	case err != nil:
		return nil, err
	case subtle.ConstantTimeCompare([]byte(agent), []byte(account.User)) != 1:
		return nil, smtpd.ErrCredentials
	}
	return account, nil
}

func goVersion() string { return runtime.Version() }
