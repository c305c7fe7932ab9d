package mtasts

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Mode says what a sender does with a policy.
type Mode string

// The modes of RFC 8461 §5.
const (
	Enforce Mode = "enforce" // what does not fit is not delivered to
	Testing Mode = "testing" // what does not fit is counted
	None    Mode = "none"    // the domain takes its policy back
)

// Policy is what a domain asks of those who send to it.
type Policy struct {
	ID     string // of the TXT record that announced it
	Mode   Mode
	MX     []string // names, or "*." and a domain
	MaxAge time.Duration
}

// Bounds of a policy file.
const (
	maxFile  = 64 << 10
	maxMX    = 100
	maxAge   = 31557600 // seconds, RFC 8461 §3.2
	maxID    = 32
	mediaTxt = "text/plain"
)

var (
	errRecord = errors.New("no MTA-STS record")
	errPolicy = errors.New("not an MTA-STS policy")
)

// parseRecord finds the id among the TXT records of _mta-sts.DOMAIN. Records of
// other kinds are passed over; two of this one are as good as none (RFC 8461
// §3.1).
func parseRecord(texts []string) (id string, err error) {
	found := 0
	for _, text := range texts {
		fields := strings.Split(text, ";")
		if strings.TrimRight(fields[0], " \t") != "v=STSv1" {
			continue
		}
		found++
		id = ""
		for _, f := range fields[1:] {
			name, value, ok := strings.Cut(strings.Trim(f, " \t"), "=")
			if ok && strings.TrimSpace(name) == "id" && id == "" {
				id = strings.TrimSpace(value)
			}
		}
	}
	if found != 1 || id == "" || len(id) > maxID || strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return "", errRecord
	}
	return id, nil
}

// parsePolicy reads a policy file (RFC 8461 §3.2). Unknown keys are passed
// over, of known ones the first counts.
func parsePolicy(file []byte) (Policy, error) {
	var p Policy
	seen := map[string]string{}
	for line := range strings.SplitSeq(string(file), "\n") {
		line = strings.TrimRight(line, "\r")
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			continue
		}
		value = strings.TrimSpace(value)
		if name == "mx" {
			mx, ok := pattern(value)
			if !ok || len(p.MX) == maxMX {
				return p, errPolicy
			}
			p.MX = append(p.MX, mx)
			continue
		}
		if _, dup := seen[name]; !dup {
			seen[name] = value
		}
	}
	p.Mode = Mode(seen["mode"])
	age, err := strconv.ParseUint(seen["max_age"], 10, 40)
	switch {
	case seen["version"] != "STSv1", !slices.Contains([]Mode{Enforce, Testing, None}, p.Mode), err != nil:
		return p, errPolicy
	case len(p.MX) == 0 && p.Mode != None:
		return p, errPolicy
	}
	p.MaxAge = time.Duration(min(age, maxAge)) * time.Second
	return p, nil
}

// pattern brings a mail exchanger of a policy into one form.
func pattern(s string) (string, bool) {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	rest := strings.TrimPrefix(s, "*.")
	if rest == "" || len(s) > 253 {
		return "", false
	}
	for label := range strings.SplitSeq(rest, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", false
		}
	}
	return s, true
}
