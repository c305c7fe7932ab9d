package delivery

import (
	"strings"
	"time"
)

// Provider is a set of mail exchangers that are one operator's: whatever domains
// they serve share what it allows.
type Provider struct {
	Name        string
	Suffixes    []string // of the names of its mail exchangers
	Connections int      // most at once; 0 = Options.PerDestination
	Messages    int      // most over one connection; 0 = the carrier's own limit
	Rate        Rate
	Dials       Rate // new connections; zero = as to everybody
}

// DefaultProviders are the large operators, how many connections they put up with
// from a sender they do not know, how many mails over each, and how many new ones
// in a minute where that is fewer than others take.
func DefaultProviders() []Provider {
	return []Provider{
		{Name: "google", Suffixes: []string{"google.com", "googlemail.com", "gmail.com"}, Connections: 5, Messages: 50},
		{Name: "microsoft365", Suffixes: []string{"mail.protection.outlook.com", "mx.microsoft", "office365.com"}, Connections: 5, Messages: 50},
		{Name: "outlook", Suffixes: []string{"olc.protection.outlook.com", "hotmail.com", "outlook.com"}, Connections: 5, Messages: 50},
		{Name: "yahoo", Suffixes: []string{"yahoodns.net", "yahoo.com"}, Connections: 5, Messages: 20},
		{Name: "icloud", Suffixes: []string{"icloud.com", "apple.com"}, Messages: 5},
		{Name: "orange", Suffixes: []string{"orange.fr", "wanadoo.fr"}, Connections: 2, Dials: Rate{Count: 20, Per: time.Minute}},
		{Name: "gmx_web_de", Suffixes: []string{"gmx.net", "gmx.com", "web.de", "1and1.com"}, Connections: 5},
		{Name: "t_online", Suffixes: []string{"t-online.de"}, Connections: 5},
		{Name: "ovh", Suffixes: []string{"ovh.net", "ovh.com"}},
		{Name: "protonmail", Suffixes: []string{"protonmail.ch", "proton.me"}},
		{Name: "zoho", Suffixes: []string{"zoho.com", "zoho.eu", "zoho.in"}},
		{Name: "mimecast", Suffixes: []string{"mimecast.com", "mimecast.co.za"}},
		{Name: "proofpoint", Suffixes: []string{"pphosted.com", "ppe-hosted.com"}},
	}
}

// providerOf finds the provider with the longest suffix of a host's name. A host of
// nobody's is one of its own.
func providerOf(providers []Provider, host string) Provider {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	best, length := Provider{Name: host}, 0
	for _, g := range providers {
		for _, s := range g.Suffixes {
			if len(s) > length && (host == s || strings.HasSuffix(host, "."+s)) {
				best, length = g, len(s)
			}
		}
	}
	return best
}
