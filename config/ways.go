package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Route is a way for mail to leave.
type Route struct {
	Host         NextHop  `toml:"host" example:"smtp.office365.com:587" doc:"The next hop for all mail on this route: host:port, or unix: and the path of an LMTP socket. Empty means the recipient's mail exchangers, as without a route."`
	Protocol     string   `toml:"protocol" enum:"smtp|lmtp" doc:"What the host speaks. lmtp is for mail stores; they answer for each recipient."`
	TLS          string   `toml:"tls" enum:"auto|starttls|implicit|starttls-unverified|implicit-unverified|opportunistic|none" doc:"TLS to the host. starttls and implicit (from the first octet, as on port 465) are required, and the certificate must be valid for the host's name; -unverified takes any certificate; opportunistic goes on in clear where TLS fails. auto is starttls with a login and opportunistic without."`
	CA           Path     `toml:"ca" example:"/etc/ticketgate/relay-ca.pem" doc:"PEM file with the authorities that vouch for the host's certificate. Empty means the system's."`
	User         string   `toml:"user" example:"support@example.com" doc:"Log in under this name. Needs password, password_file or oauth, and TLS unless the host is this machine."`
	Password     Secret   `toml:"password" doc:"Password of the user. env:NAME takes it from the environment, cred:NAME from the service manager's credentials."`
	PasswordFile Path     `toml:"password_file" example:"/etc/ticketgate/relay.password" doc:"File with the password; instead of password. Read again for each login."`
	Auth         string   `toml:"auth" enum:"auto|plain|login|xoauth2|oauthbearer" doc:"How to log in. auto takes what the host offers: PLAIN or LOGIN with a password, XOAUTH2 or OAUTHBEARER with oauth."`
	OAuth        OAuth    `toml:"oauth" doc:"Log in with tokens instead of a password."`
	Rate         Rate     `toml:"rate" doc:"Most mails by this route, through its host's account or from its source, instead of outbound.smarthost_rate or outbound.egress_rate. unlimited leaves it at those."`
	Source       []IPAddr `toml:"source" max:"2" example:"192.0.2.10" doc:"Our addresses that mail leaves from, at most one of each family. Empty lets the system choose. With only one family, only hosts of that family are used."`
}

func (r *Route) setDefaults() {
	r.Protocol, r.TLS, r.Auth, r.OAuth.Preset = "smtp", "auto", "auto", "none"
}

// OAuth says where tokens come from.
type OAuth struct {
	Preset           string `toml:"preset" enum:"none|microsoft365|google" doc:"Fills in token_url and scope."`
	Tenant           string `toml:"tenant" example:"contoso.onmicrosoft.com" doc:"The directory's id or domain, for preset microsoft365."`
	TokenURL         string `toml:"token_url" example:"https://login.example.com/token" doc:"Where tokens are asked for, if no preset does it."`
	Scope            string `toml:"scope" doc:"What is asked for. Empty means the preset's."`
	ClientID         string `toml:"client_id" example:"2f8c…" doc:"The id under which this server is registered."`
	ClientSecret     Secret `toml:"client_secret" doc:"The secret that goes with it; env: and cred: as above."`
	ClientSecretFile Path   `toml:"client_secret_file" example:"/etc/ticketgate/oauth.secret" doc:"File with it, instead."`
	RefreshToken     Secret `toml:"refresh_token" doc:"The token a person's consent gave. Without one the server acts in its own right (client credentials). Newer ones that the provider hands out are kept in the store, sealed under this one and the client secret."`
	RefreshTokenFile Path   `toml:"refresh_token_file" example:"/etc/ticketgate/oauth.refresh" doc:"File with it, instead."`
}

func (o *OAuth) set() bool { return o.Preset != "none" || o.TokenURL != "" || o.ClientID != "" }

// Destination is our word on the TLS of other people's servers.
type Destination struct {
	TLS string   `toml:"tls" enum:"opportunistic|none|encrypted|verified" doc:"opportunistic: TLS if it works, even where DANE or MTA-STS ask for more. none: never. encrypted: TLS, any certificate. verified: TLS, and a certificate valid for the mail exchanger's name."`
	MX  []string `toml:"mx" max:"50" example:"*.mail.protection.outlook.com" doc:"The only mail exchangers that may be used: names, or *. and a domain. Because MX records can be forged, verified is only as good as this list or DNSSEC."`
}

func (d *Destination) setDefaults() { d.TLS = "verified" }

// DeliverTo hands the mails of a queue on, as they came.
type DeliverTo struct {
	Route   string  `toml:"route" example:"relay" doc:"Hand the original mails of the queue to an existing helpdesk over this route, byte for byte, with trace fields on top. Empty: do not. They open tickets here as well, where answers of the recipient's server are reported."`
	Address Address `toml:"address" example:"support@helpdesk.internal" doc:"The envelope recipient there. Empty means the queue's address."`
}

// NextHop is a server to connect to: host:port, or unix: and a path.
type NextHop string

// UnmarshalText wants a port: there is no usual one for every use.
func (h *NextHop) UnmarshalText(text []byte) error {
	s := string(text)
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if !strings.HasPrefix(path, "/") || len(path) > 107 || strings.ContainsRune(path, 0) {
			return fmt.Errorf(`%q is not a socket such as "unix:/run/dovecot/lmtp": the path must be absolute and have at most 107 octets`, text)
		}
		*h = NextHop(s)
		return nil
	}
	if s == "" {
		*h = ""
		return nil
	}
	host, port, err := splitHostPort(s)
	switch {
	case err != nil:
	case port == "0":
		err = errors.New("port 0 cannot be connected to")
	case host != "localhost":
		if _, perr := netip.ParseAddr(host); perr != nil {
			_, err = domainName(host)
		}
	}
	if err != nil {
		return fmt.Errorf(`%q is not a server such as "smtp.example.com:587": %w`, text, err)
	}
	*h = NextHop(s)
	return nil
}

func (h NextHop) local() bool {
	host, _, err := net.SplitHostPort(string(h))
	ip, perr := netip.ParseAddr(host)
	return strings.HasPrefix(string(h), "unix:") || err == nil && (host == "localhost" || perr == nil && ip.IsLoopback())
}

// IPAddr is one IP address.
type IPAddr struct{ netip.Addr }

// UnmarshalText refuses zones and addresses that nothing can be sent from.
func (a *IPAddr) UnmarshalText(text []byte) error {
	ip, err := netip.ParseAddr(string(text))
	if err != nil || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() {
		return fmt.Errorf(`%q is not an address such as "192.0.2.10" or "2001:db8::10"`, text)
	}
	a.Addr = ip.Unmap()
	return nil
}

// checkWays checks how mail leaves.
func (p *parser) checkWays(c *Config) {
	for _, name := range slices.Sorted(maps.Keys(c.Routes)) {
		p.checkName(path{"route", name})
		p.checkRoute(path{"route", name}, c.Routes[name])
	}
	p.checkSourceRates(c)
	clean := map[string]*Destination{}
	for _, name := range slices.Sorted(maps.Keys(c.Destinations)) {
		at := path{"destination", name}
		bare, star := strings.CutPrefix(name, "*.")
		d, err := domainName(bare)
		if err != nil {
			p.errorf(at, "", "%q is neither a domain nor \"*.\" and the end of mail exchangers' names: %v", name, err)
			continue
		}
		if star {
			d = "*." + d
		}
		if clean[d] != nil {
			p.errorf(at, "", "destination %s stands here twice", d)
		}
		clean[d] = c.Destinations[name]
		for i, mx := range clean[d].MX {
			if _, err := domainName(strings.TrimPrefix(mx, "*.")); err != nil {
				p.errorf(at.with("mx", strconv.Itoa(i)), "", "mx: %q is neither a host name nor \"*.\" and a domain: %v", mx, err)
			}
		}
	}
	if len(clean) > 0 {
		c.Destinations = clean
	}
	p.knownRoute(path{"outbound", "route"}, c.Outbound.Route, c)
	if c.Outbound.Route != "" && c.Outbound.Smarthost != "" {
		p.errorf(path{"outbound", "smarthost"}, "keep one of them", "outbound.smarthost and outbound.route are both set")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Queues)) {
		q, at := c.Queues[name], path{"queue", name}
		p.knownRoute(at.with("route"), q.Route, c)
		p.knownRoute(at.with("deliver_to", "route"), q.DeliverTo.Route, c)
		switch r := c.Routes[q.DeliverTo.Route]; {
		case q.DeliverTo.Route == "" && q.DeliverTo.Address != "":
			p.errorf(at.with("deliver_to", "address"), "", "deliver_to.address does nothing without deliver_to.route")
		case r != nil && r.Host == "":
			p.errorf(at.with("deliver_to", "route"), "", "deliver_to: route %q has no host; the mail would come back to us", q.DeliverTo.Route)
		}
	}
}

func (p *parser) knownRoute(at path, name string, c *Config) {
	if name == "" || c.Routes[name] != nil {
		return
	}
	hint := didYouMean(name, slices.Sorted(maps.Keys(c.Routes)))
	if hint == "" && checkID(name) == nil {
		hint = fmt.Sprintf("add  [route.%s]", name)
	}
	p.errorf(at, hint, "%s: there is no route %q", keyName(at), name)
}

func (p *parser) checkRoute(at path, r *Route) {
	unix := strings.HasPrefix(string(r.Host), "unix:")
	switch {
	case r.Host == "" && (r.Protocol != "smtp" || r.TLS != "auto" || r.User != "" || r.CA != ""):
		p.errorf(at, "", "[%s] has no host, and protocol, tls, ca and user are about one", at)
	case unix && r.Protocol != "lmtp":
		p.errorf(at.with("host"), `add  protocol = "lmtp"`, "a socket needs protocol lmtp")
	case unix && len(r.Source) > 0:
		p.errorf(at.with("source"), "", "source is about a network, and the host is a socket")
	}
	if len(r.Source) == 2 && r.Source[0].Is4() == r.Source[1].Is4() {
		p.errorf(at.with("source"), "", "source: %s and %s are of one family", r.Source[0], r.Source[1])
	}
	if !r.Rate.Unlimited() && r.Host == "" && len(r.Source) == 0 {
		p.errorf(at.with("rate"), `set  outbound.egress_rate`, "[%s] has neither host nor source that rate could be about", at)
	}
	p.checkLogin(at, r)
	if r.OAuth.set() {
		p.checkOAuth(at.with("oauth"), &r.OAuth)
	}
}

// checkSourceRates: what leaves from one address by mail exchangers has one rate,
// whatever routes it takes.
func (p *parser) checkSourceRates(c *Config) {
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Routes)) {
		r := c.Routes[name]
		if r.Host != "" || r.Rate.Unlimited() || len(r.Source) == 0 {
			continue
		}
		var source []string
		for _, ip := range r.Source {
			source = append(source, ip.String())
		}
		slices.Sort(source)
		key := strings.Join(source, ",")
		if other := seen[key]; other != "" {
			p.errorf(path{"route", name, "rate"}, "keep one of them", "[route.%s] has a rate for the same source", other)
		}
		seen[key] = name
	}
}

func (p *parser) checkLogin(at path, r *Route) {
	password, oauth := !r.Password.IsZero() || r.PasswordFile != "", r.OAuth.set()
	token := r.Auth == "xoauth2" || r.Auth == "oauthbearer"
	switch {
	case !r.Password.IsZero() && r.PasswordFile != "":
		p.errorf(at.with("password_file"), "keep one of them", "password and password_file are both set")
	case password && oauth:
		p.errorf(at.with("oauth"), "keep one of them", "[%s] has a password and oauth", at)
	case r.User == "" && (password || oauth || r.Auth != "auto"):
		p.errorf(at, `add  user = "…"`, "[%s] has credentials and no user", at)
	case r.User != "" && !password && !oauth:
		p.errorf(at.with("user"), "", "user needs password, password_file or oauth")
	case r.User != "" && strings.ContainsFunc(r.User, func(c rune) bool { return c < ' ' || c == 0x7f }):
		p.errorf(at.with("user"), "", "user has a control character")
	case token && !oauth, !token && r.Auth != "auto" && oauth:
		p.errorf(at.with("auth"), "", "auth %q does not go with what [%s] has", r.Auth, at)
	case r.User != "" && (r.TLS == "none" || r.TLS == "opportunistic") && !r.Host.local():
		p.errorf(at.with("tls"), `set  tls = "starttls"`, "with tls %q the password could be read on the way", r.TLS)
	}
}

func (p *parser) checkOAuth(at path, o *OAuth) {
	switch {
	case o.Preset != "none" && o.TokenURL != "":
		p.errorf(at.with("token_url"), "", "token_url is set by preset %q", o.Preset)
	case o.Preset == "none" && o.TokenURL == "":
		p.errorf(at, `add  preset = "microsoft365"`, "[%s] has neither preset nor token_url", at)
	case o.Preset == "microsoft365" && (o.Tenant == "" || strings.Trim(strings.ToLower(o.Tenant), "abcdefghijklmnopqrstuvwxyz0123456789-.") != ""):
		p.errorf(at.with("tenant"), `add  tenant = "contoso.onmicrosoft.com"`, "preset microsoft365 needs the tenant: its domain or id")
	case o.Preset == "google" && o.RefreshToken.IsZero() && o.RefreshTokenFile == "":
		p.errorf(at, "", "preset google needs a refresh_token or refresh_token_file")
	}
	if o.TokenURL != "" {
		if u, err := url.Parse(o.TokenURL); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
			p.errorf(at.with("token_url"), "", "token_url must be an https:// address")
		}
	}
	if o.ClientID == "" {
		p.errorf(at, `add  client_id = "…"`, "[%s] has no client_id", at)
	}
	secret, refresh := !o.ClientSecret.IsZero(), !o.RefreshToken.IsZero()
	switch {
	case secret && o.ClientSecretFile != "":
		p.errorf(at.with("client_secret_file"), "keep one of them", "client_secret and client_secret_file are both set")
	case refresh && o.RefreshTokenFile != "":
		p.errorf(at.with("refresh_token_file"), "keep one of them", "refresh_token and refresh_token_file are both set")
	case !secret && o.ClientSecretFile == "" && !refresh && o.RefreshTokenFile == "":
		p.errorf(at, "", "[%s] has neither a client secret nor a refresh token", at)
	}
}

// wayFile is a file that a route names.
type wayFile struct {
	at     path
	file   *Path
	secret bool
}

func wayFiles(c *Config) (out []wayFile) {
	for _, name := range slices.Sorted(maps.Keys(c.Routes)) {
		at, r := path{"route", name}, c.Routes[name]
		out = append(out,
			wayFile{at.with("ca"), &r.CA, false},
			wayFile{at.with("password_file"), &r.PasswordFile, true},
			wayFile{at.with("oauth", "client_secret_file"), &r.OAuth.ClientSecretFile, true},
			wayFile{at.with("oauth", "refresh_token_file"), &r.OAuth.RefreshTokenFile, true})
	}
	return out
}
