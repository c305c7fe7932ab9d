package dkim

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// Status of a check, worst last.
const (
	OK   = "ok"
	Warn = "warn" // works, but could be better
	Fail = "fail"
)

// Check compares what DNS shows for a key with what it should show.
type Check struct {
	Key    Info     `json:"key"`
	Status string   `json:"status"` // ok warn fail
	Found  []string `json:"found"`
	Detail string   `json:"detail"`
	Fix    string   `json:"fix,omitempty"`
}

// Check looks for the records of all keys of a domain that need one, and notes
// when they were found. Retired keys whose records are still there get a hint.
func (k *Keys) Check(ctx context.Context, domain string) ([]Check, error) {
	if k.lookup == nil {
		return nil, errors.New("dkim: no way to ask DNS")
	}
	infos, err := k.List(ctx, domain)
	if err != nil {
		return nil, err
	}
	if len(infos) == 0 {
		return nil, ErrDomain
	}
	var checks []Check
	seen := map[string]bool{}
	for _, i := range infos {
		if i.Record == nil && i.Phase != Retired {
			checks = append(checks, Check{Key: i, Status: Fail, Detail: "the private key cannot be used: " + i.Problem,
				Fix: "restore the store from a backup, or make new keys with: ticketgate dkim new " + i.Domain})
			continue
		}
		if i.Record == nil {
			continue
		}
		c, there := k.compare(ctx, i)
		if i.Phase == Retired && !there {
			continue
		}
		seen[i.Selector] = c.Status == OK && i.Phase != Retired
		checks = append(checks, c)
	}
	if slices.ContainsFunc(checks, func(c Check) bool { return seen[c.Key.Selector] }) {
		err = k.transit(ctx, domain, func(r *row, now time.Time) bool {
			if seen[r.Selector] {
				r.Seen = now
			}
			return seen[r.Selector]
		})
	}
	return checks, err
}

func (k *Keys) compare(ctx context.Context, i Info) (c Check, there bool) {
	c = Check{Key: i, Status: Fail, Found: []string{}}
	texts, err := k.lookup(ctx, i.Record.Name)
	var dnsErr *net.DNSError
	switch {
	case err == nil:
	case errors.As(err, &dnsErr) && dnsErr.IsNotFound:
		texts = nil
	default:
		c.Detail = "DNS gave no answer: " + err.Error()
		c.Fix = "try again; if it stays so, the name servers of " + i.Domain + " are broken"
		return c, false
	}
	texts = slices.DeleteFunc(slices.Clone(texts), func(t string) bool { return !looksLikeKey(t) })
	c.Found = append(c.Found, texts...)
	if i.Phase == Retired {
		c.Status, c.Detail, c.Fix = Warn, "retired, but its record is still published", "remove the record"
		return c, len(texts) > 0
	}
	c.Fix = "publish  " + i.Record.String()
	switch {
	case len(texts) == 0:
		c.Detail = "there is no such record"
	case len(texts) > 1:
		c.Detail = fmt.Sprintf("there are %d key records at this name; verifiers may pick any (RFC 6376 §3.6.2.2)", len(texts))
		c.Fix = "leave only  " + i.Record.String()
	default:
		if c.Detail = differs(texts[0], i); c.Detail == "" {
			c.Status, c.Detail, c.Fix = OK, "published", ""
		}
	}
	return c, len(texts) > 0
}

func looksLikeKey(text string) bool {
	tags, err := tagsOf(text)
	_, p := tags["p"]
	return err == nil && (tags["v"] == "DKIM1" || p)
}

// tagsOf reads a tag=value list (RFC 6376 §3.2) without white space.
func tagsOf(text string) (map[string]string, error) {
	tags := map[string]string{}
	for part := range strings.SplitSeq(text, ";") {
		name, value, ok := strings.Cut(part, "=")
		name = strings.TrimSpace(name)
		if !ok {
			if strings.TrimSpace(part) == "" {
				continue
			}
			return nil, errors.New("a part is no tag")
		}
		if _, twice := tags[name]; twice {
			return nil, errors.New("a tag stands twice")
		}
		tags[name] = strings.Join(strings.Fields(value), "")
	}
	return tags, nil
}

// differs says why a published record does not let our signatures verify, ""
// if it does. Tags that change nothing for us are let be.
func differs(text string, i Info) string {
	tags, err := tagsOf(text)
	if err != nil {
		return "the record cannot be read: " + err.Error()
	}
	want, _ := tagsOf(i.Record.Text)
	if v, ok := tags["v"]; ok && v != "DKIM1" {
		return "the record is of version " + v
	}
	kind := tags["k"]
	if kind == "" {
		kind = "rsa" // the default (RFC 6376 §3.6.1)
	}
	if kind != want["k"] {
		return fmt.Sprintf("the record is for a %s key, ours is %s", kind, want["k"])
	}
	if tags["p"] == "" {
		return "the record revokes the key: its p= is empty"
	}
	got, err := base64.StdEncoding.DecodeString(tags["p"])
	if err != nil {
		return "p= is not base64; was a quoted string cut off or joined with a space?"
	}
	ours, _ := base64.StdEncoding.DecodeString(want["p"])
	switch {
	case slices.Equal(got, ours):
	case len(got) < len(ours) && slices.Equal(got, ours[:len(got)]):
		return "p= is cut off: the record has more than one string, and only the first is published"
	default:
		return "the record holds another key"
	}
	if h, ok := tags["h"]; ok && !slices.Contains(strings.Split(h, ":"), "sha256") {
		return "h= does not allow sha256"
	}
	if s, ok := tags["s"]; ok && !slices.ContainsFunc(strings.Split(s, ":"), func(s string) bool { return s == "*" || s == "email" }) {
		return "s= does not allow mail"
	}
	if slices.Contains(strings.Split(tags["t"], ":"), "y") {
		return "t=y says that the domain is only testing; verifiers may ignore its signatures"
	}
	return ""
}
