package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Duration is a span of time written as in "1h30m" or "4d".
type Duration time.Duration

const (
	second = Duration(time.Second)
	minute = Duration(time.Minute)
	hour   = Duration(time.Hour)
	day    = 24 * hour
)

// durationUnits in the order they are written.
var durationUnits = []struct {
	name string
	unit Duration
}{
	{"w", 7 * day}, {"d", day}, {"h", hour}, {"m", minute}, {"s", second}, {"ms", Duration(time.Millisecond)},
}

// Std returns the standard library's form.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// UnmarshalText reads numbers with units, largest first or in any order: w, d
// (24 hours), h, m, s, ms. Fractions, signs and bare numbers are refused.
func (d *Duration) UnmarshalText(text []byte) error {
	bad := fmt.Errorf(`%q is not a duration; write a number and a unit, as in "90s", "1h30m" or "4d"`, text)
	rest, total := string(text), Duration(0)
	if rest == "" {
		return bad
	}
	for rest != "" {
		n := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		value, err := strconv.ParseInt(rest[:n], 10, 64)
		if err != nil {
			return bad
		}
		rest = rest[n:]
		n = len(rest) - len(strings.TrimLeft(rest, "wdhms"))
		unit, ok := durationUnit(rest[:n])
		if !ok {
			return bad
		}
		rest = rest[n:]
		if value > math.MaxInt64/int64(unit) || total > math.MaxInt64-Duration(value)*unit {
			return fmt.Errorf("%q is longer than this program can count", text)
		}
		total += Duration(value) * unit
	}
	*d = total
	return nil
}

func durationUnit(name string) (Duration, bool) {
	for _, u := range durationUnits {
		if u.name == name {
			return u.unit, true
		}
	}
	return 0, false
}

// String writes the duration so that UnmarshalText reads it back.
func (d Duration) String() string {
	if d < Duration(time.Millisecond) {
		return "0s"
	}
	var b strings.Builder
	for _, u := range durationUnits[1:] {
		if n := d / u.unit; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d -= n * u.unit
		}
	}
	return b.String()
}

// Size is a number of bytes written as in "35MB".
type Size int64

var sizeUnits = []struct {
	name string
	unit Size
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

// UnmarshalText reads a whole number and a unit: B, KB, MB, GB in steps of
// 1000; KiB, MiB, GiB in steps of 1024.
func (s *Size) UnmarshalText(text []byte) error {
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(string(text), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 63)
		if err != nil || Size(n) > math.MaxInt64/u.unit {
			break
		}
		*s = Size(n) * u.unit
		return nil
	}
	return fmt.Errorf(`%q is not a size; write a number and a unit, as in "35MB" or "512KiB"`, text)
}

// String writes the size so that UnmarshalText reads it back.
func (s Size) String() string {
	for _, u := range []int{3, 0, 4, 1, 5, 2} {
		if unit := sizeUnits[u].unit; s >= unit && s%unit == 0 {
			return fmt.Sprintf("%d%s", s/unit, sizeUnits[u].name)
		}
	}
	return fmt.Sprintf("%dB", s)
}

// Rate is a number of events in a span, written as in "20/s". The zero Rate is
// unlimited.
type Rate struct {
	N   int
	Per Duration
}

// Unlimited says that there is no limit.
func (r Rate) Unlimited() bool { return r.N == 0 }

// PerSecond returns the rate in events a second; +Inf when unlimited.
func (r Rate) PerSecond() float64 {
	if r.Unlimited() {
		return math.Inf(1)
	}
	return float64(r.N) / r.Per.Std().Seconds()
}

// UnmarshalText reads "20/s", "300/m", "1000/h", "5000/d" or "unlimited".
func (r *Rate) UnmarshalText(text []byte) error {
	if string(text) == "unlimited" {
		*r = Rate{}
		return nil
	}
	number, unit, _ := strings.Cut(string(text), "/")
	n, err := strconv.ParseUint(number, 10, 31)
	per, ok := durationUnit(unit)
	if err != nil || n == 0 || !ok || unit == "ms" || unit == "w" {
		return fmt.Errorf(`%q is not a rate; write a number above 0 and s, m, h or d, as in "20/s" or "300/m", or "unlimited"`, text)
	}
	*r = Rate{N: int(n), Per: per}
	return nil
}

func (r Rate) String() string {
	if r.Unlimited() {
		return "unlimited"
	}
	for _, u := range durationUnits {
		if u.unit == r.Per {
			return fmt.Sprintf("%d/%s", r.N, u.name)
		}
	}
	return fmt.Sprintf("%d/%s", r.N, r.Per)
}

// Secret is a value that is never printed: a literal, env:NAME (environment)
// or cred:NAME (file NAME in the service manager's credentials directory).
type Secret struct{ source string }

// UnmarshalText keeps the source; it is looked up by Reveal.
func (s *Secret) UnmarshalText(text []byte) error {
	kind, name, ok := strings.Cut(string(text), ":")
	if ok && (kind == "env" || kind == "cred") && (name == "" || strings.ContainsAny(name, "/\\\x00=")) {
		return fmt.Errorf("%s: needs a plain name after the colon", kind)
	}
	s.source = string(text)
	return nil
}

// IsZero says that no secret is configured.
func (s Secret) IsZero() bool { return s.source == "" }

// ErrSecret is what every error of Reveal is: the configuration names a secret
// that is not there.
var ErrSecret = errors.New("config: no such secret")

// secretError is an ErrSecret in the words of its own text.
type secretError struct{ error }

func (secretError) Is(target error) bool { return target == ErrSecret }
func (e secretError) Unwrap() error      { return e.error }

// Reveal returns the secret itself. getenv and readFile are the world:
// os.Getenv and os.ReadFile.
func (s Secret) Reveal(getenv func(string) string, readFile func(string) ([]byte, error)) (string, error) {
	if name, ok := strings.CutPrefix(s.source, "env:"); ok {
		if v := getenv(name); v != "" {
			return v, nil
		}
		return "", secretError{fmt.Errorf("environment variable %s is empty or not set", name)}
	}
	if name, ok := strings.CutPrefix(s.source, "cred:"); ok {
		dir := getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return "", secretError{fmt.Errorf("credential %s: CREDENTIALS_DIRECTORY is not set; the service manager gave us none", name)}
		}
		b, err := readFile(dir + "/" + name)
		if err != nil {
			return "", secretError{fmt.Errorf("credential %s: %w", name, err)}
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	}
	return s.source, nil
}

// String, GoString and LogValue hide the secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return "(secret)"
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return fmt.Sprintf("config.Secret(%q)", s.String()) }

// LogValue hides the secret from the log.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Path is a file or directory. Parse makes relative ones relative to the
// configuration file.
type Path string

// Hostname is a fully qualified name in lower case, as A-labels.
type Hostname string

// UnmarshalText refuses addresses and names without a dot.
func (h *Hostname) UnmarshalText(text []byte) error {
	name, err := domainName(string(text))
	if err != nil {
		return fmt.Errorf(`%q is not a fully qualified host name such as "mail.help.example": %w`, text, err)
	}
	*h = Hostname(name)
	return nil
}

// Address is a mail address, local@domain, with the domain in lower case.
type Address string

// UnmarshalText takes an address alone, without a display name.
func (a *Address) UnmarshalText(text []byte) error {
	local, domain, err := splitAddress(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a mail address: %w", text, err)
	}
	*a = Address(local + "@" + domain)
	return nil
}

// Local and Domain return the two halves.
func (a Address) Local() string  { return string(a)[:strings.LastIndexByte(string(a), '@')] }
func (a Address) Domain() string { return string(a)[strings.LastIndexByte(string(a), '@')+1:] }

// fold returns the form under which two spellings are one mailbox.
func (a Address) fold() string { return strings.ToLower(string(a)) }

// ListenAddr is host:port to listen on; "" is off.
type ListenAddr string

// UnmarshalText takes an empty host, an IP address or localhost.
func (l *ListenAddr) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*l = ""
		return nil
	}
	host, _, err := splitHostPort(string(text))
	if err == nil && host != "" && host != "localhost" {
		if _, perr := netip.ParseAddr(host); perr != nil {
			err = fmt.Errorf("the host must be an IP address, localhost or empty")
		}
	}
	if err != nil {
		return fmt.Errorf(`%q is not an address to listen on such as ":25", "127.0.0.1:2525" or "[::1]:25": %w`, text, err)
	}
	*l = ListenAddr(text)
	return nil
}

// SocketAddr is host:port or unix:path to listen on; "" is off.
type SocketAddr string

// UnmarshalText takes what ListenAddr takes, or unix: and an absolute path.
func (s *SocketAddr) UnmarshalText(text []byte) error {
	if path, ok := strings.CutPrefix(string(text), "unix:"); ok {
		if !strings.HasPrefix(path, "/") || len(path) > maxSocket || strings.ContainsRune(path, 0) {
			return fmt.Errorf(`%q is not a socket such as "unix:/run/ticketgate/lmtp.sock": the path must be absolute and have at most 107 octets`, text)
		}
		*s = SocketAddr(text)
		return nil
	}
	var l ListenAddr
	if err := l.UnmarshalText(text); err != nil {
		return err
	}
	*s = SocketAddr(l)
	return nil
}

// Split returns the network and the address to listen on.
func (s SocketAddr) Split() (network, address string) {
	if path, ok := strings.CutPrefix(string(s), "unix:"); ok {
		return "unix", path
	}
	return "tcp", string(s)
}

// Resolver is the ip:port of a DNS server; "" is the system's.
type Resolver string

// UnmarshalText adds port 53 when none is given.
func (r *Resolver) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*r = ""
		return nil
	}
	if ip, err := netip.ParseAddr(string(text)); err == nil {
		*r = Resolver(net.JoinHostPort(ip.String(), "53"))
		return nil
	}
	ap, err := netip.ParseAddrPort(string(text))
	if err != nil || ap.Port() == 0 {
		return fmt.Errorf(`%q is not the address of a DNS server such as "127.0.0.1:53"`, text)
	}
	*r = Resolver(ap.String())
	return nil
}

// HostPort is a server to connect to, host:port; "" is none.
type HostPort string

// UnmarshalText adds port 25 when none is given.
func (h *HostPort) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "" {
		*h = ""
		return nil
	}
	if ip, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		s = net.JoinHostPort(ip.String(), "25")
	} else if !strings.Contains(s, ":") {
		s += ":25"
	}
	host, port, err := splitHostPort(s)
	if err == nil && port == "0" {
		err = errors.New("port 0 cannot be connected to")
	}
	if err == nil && host != "localhost" {
		if _, perr := netip.ParseAddr(host); perr != nil {
			_, err = domainName(host)
		}
	}
	if err != nil {
		return fmt.Errorf(`%q is not a server such as "relay.example.net:25": %w`, text, err)
	}
	*h = HostPort(s)
	return nil
}

// Network is a range of IP addresses.
type Network struct{ netip.Prefix }

// UnmarshalText takes a prefix or a single address. A range that is the whole
// internet, or whose address has bits beyond its length, is refused.
func (n *Network) UnmarshalText(text []byte) error {
	if ip, err := netip.ParseAddr(string(text)); err == nil && ip.Zone() == "" {
		n.Prefix = netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(string(text))
	switch {
	case err != nil:
		return fmt.Errorf(`%q is not a network such as "192.0.2.0/24" or "2001:db8::25"`, text)
	case p.Bits() == 0:
		return fmt.Errorf("%q is the whole internet; name the hosts", text)
	case p != p.Masked():
		return fmt.Errorf("%q has bits beyond its length; write %q or %q", text, p.Masked(), p.Addr())
	}
	n.Prefix = p
	return nil
}
