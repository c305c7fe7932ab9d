package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// domainName returns a fully qualified domain name in lower case as A-labels.
func domainName(s string) (string, error) {
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return "", errors.New("it is an IP address")
	}
	name, err := idna.Lookup.ToASCII(strings.ToLower(s))
	if err != nil {
		return "", errors.New("it has characters a domain name cannot have")
	}
	if len(name) > 253 {
		return "", errors.New("it is longer than 253 octets")
	}
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if err := checkLabel(l); err != nil {
			return "", err
		}
	}
	if len(labels) < 2 {
		return "", errors.New("it has no dot")
	}
	if _, err := strconv.Atoi(labels[len(labels)-1]); err == nil {
		return "", errors.New("its last part is a number")
	}
	return name, nil
}

func checkLabel(l string) error {
	if l == "" {
		return errors.New("it has an empty part between its dots")
	}
	if len(l) > 63 {
		return fmt.Errorf("%q is longer than 63 octets", l)
	}
	if l[0] == '-' || l[len(l)-1] == '-' {
		return fmt.Errorf("%q begins or ends with a hyphen", l)
	}
	for _, c := range []byte(l) {
		if !isAlnum(c) && c != '-' {
			return fmt.Errorf("%q cannot stand in a domain name", rune(c))
		}
	}
	return nil
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z'
}

// splitAddress takes a dot-atom address apart (RFC 5321 §4.1.2 without quoted
// local parts and address literals, which nobody configures on purpose).
func splitAddress(s string) (local, domain string, err error) {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return "", "", errors.New("it has no @")
	}
	local = s[:at]
	switch {
	case strings.ContainsAny(s, "<> \t"):
		return "", "", errors.New("write the bare address, without name, spaces or angle brackets")
	case local == "":
		return "", "", errors.New("there is nothing before the @")
	case len(local) > 64:
		return "", "", errors.New("the part before the @ is longer than 64 octets")
	case strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") || strings.Contains(local, ".."):
		return "", "", errors.New("a dot stands where none may")
	}
	for _, r := range local {
		if r == utf8.RuneError || r < 0x80 && !isAlnum(byte(r)) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~.", r) {
			return "", "", fmt.Errorf("%q cannot stand before the @", r)
		}
	}
	if domain, err = domainName(s[at+1:]); err != nil {
		return "", "", fmt.Errorf("%q after the @ is no domain: %w", s[at+1:], err)
	}
	return local, domain, nil
}

// splitHostPort also checks that the port is a number.
func splitHostPort(s string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(s)
	if err != nil {
		if !strings.Contains(s, ":") {
			return "", "", errors.New("the port is missing")
		}
		return "", "", errors.New("host and port cannot be told apart")
	}
	if n, err := strconv.ParseUint(port, 10, 32); err != nil || n > 65535 {
		return "", "", fmt.Errorf("port %q is not a number from 0 to 65535", port)
	}
	return host, port, nil
}

// checkID says what is wrong with the id of a queue or agent, nil if nothing.
func checkID(s string) error {
	if s == "" || len(s) > 32 || !isAlnum(s[0]) {
		return errors.New("an id has 1 to 32 characters and begins with a letter or digit")
	}
	for _, c := range []byte(s) {
		if !isAlnum(c) && c != '-' && c != '_' || c >= 'A' && c <= 'Z' {
			return errors.New("an id has lower-case letters, digits, - and _ only")
		}
	}
	return nil
}
