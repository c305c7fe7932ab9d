package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/config"
	"ticketgate/delivery"
	"ticketgate/gateway/api"
)

// Examine implements api.House: everything that can be looked at from inside,
// the parts that do not depend on each other side by side.
func (h house) Examine(ctx context.Context) ([]api.Diagnosis, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	parts := []func(context.Context) []api.Diagnosis{h.storeParts, h.clock, h.listeners, h.certificate, h.keysUsable, h.queueParts, h.wayOut, h.names}
	results := make([][]api.Diagnosis, len(parts))
	done := make(chan int)
	for i, part := range parts {
		go func() {
			results[i] = part(ctx)
			done <- i
		}()
	}
	for range parts {
		<-done
	}
	return slices.Concat(results...), nil
}

// storeParts: it can be written, there is room, and others cannot read it.
func (h house) storeParts(context.Context) []api.Diagnosis {
	dir := string(h.p.cfg.Store.Dir)
	out := []api.Diagnosis{}
	if err := h.p.db.Space(); err != nil {
		out = append(out, diagnosis("store", "space", "fail", "no new mail is taken: "+err.Error(), "", "", "make room on the disk of "+dir))
	} else {
		out = append(out, space(&h.p.cfg.Store))
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		out = append(out, diagnosis("store", "directory", "fail", err.Error(), "", dir, "see why the directory cannot be looked at"))
	case info.Mode().Perm()&0o077 != 0:
		out = append(out, diagnosis("store", "directory", "fail", "others on this machine can read mail and keys", "mode 0700", fmt.Sprintf("%s, mode %04o", dir, info.Mode().Perm()), "chmod 700 "+dir))
	default:
		out = append(out, diagnosis("store", "directory", "ok", "", "", dir, ""))
	}
	return out
}

// space warns before the floor is reached.
func space(store *config.Store) api.Diagnosis {
	dir := string(store.Dir)
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return diagnosis("store", "space", "skip", "the free space cannot be read: "+err.Error(), "", "", "")
	}
	free, total := fs.Bavail*uint64(fs.Bsize), fs.Blocks*uint64(fs.Bsize)
	floor := max(uint64(store.MinFree), total/100*uint64(store.MinFreePercent))
	found := fmt.Sprintf("%d MB of %d MB free", free/1e6, total/1e6)
	if free < 2*floor {
		return diagnosis("store", "space", "warn", fmt.Sprintf("below %d MB no new mail is taken", floor/1e6), "", found, "make room on the disk of "+dir)
	}
	return diagnosis("store", "space", "ok", "", "", found, "")
}

// clock: a clock that is behind its own past makes mail late and signatures
// odd. Files that were written in the future show it.
func (h house) clock(context.Context) []api.Diagnosis {
	now := h.p.world.now()
	newest := time.Time{}
	entries, err := os.ReadDir(string(h.p.cfg.Store.Dir))
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	switch ahead := newest.Sub(now); {
	case err != nil:
		return []api.Diagnosis{diagnosis("clock", "clock", "skip", err.Error(), "", "", "")}
	case now.Year() < 2025:
		return []api.Diagnosis{diagnosis("clock", "clock", "fail", "the clock is years behind", "", now.UTC().Format(time.RFC3339), "set the clock, and let it be kept by NTP")}
	case ahead > time.Minute:
		return []api.Diagnosis{diagnosis("clock", "clock", "fail", fmt.Sprintf("the clock is at least %s behind: files of the store were written later", ahead.Round(time.Second)), "", now.UTC().Format(time.RFC3339), "set the clock, and let it be kept by NTP")}
	}
	return []api.Diagnosis{diagnosis("clock", "clock", "ok", "", "", now.UTC().Format(time.RFC3339), "")}
}

// listeners: each can be connected to from this machine.
func (h house) listeners(ctx context.Context) []api.Diagnosis {
	var out []api.Diagnosis
	for _, name := range slices.Sorted(maps.Keys(h.p.addrs)) {
		address, network := h.p.addrs[name], "tcp"
		if strings.HasPrefix(address, "/") {
			network = "unix"
		}
		d := net.Dialer{Timeout: 5 * time.Second}
		conn, err := d.DialContext(ctx, network, reachable(address))
		if err != nil {
			out = append(out, diagnosis(name, "listener", "fail", "it cannot be connected to: "+err.Error(), "", address, "look for a firewall on this machine"))
			continue
		}
		conn.Close()
		out = append(out, diagnosis(name, "listener", "ok", "", "", address, ""))
	}
	for _, name := range []string{"smtp", "http"} {
		if _, on := h.p.addrs[name]; !on {
			out = append(out, diagnosis(name, "listener", "warn", "it is turned off", "", "", "set listen."+name))
		}
	}
	return out
}

// reachable turns "every interface" into an address that can be dialled.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("localhost", port)
	}
	return address
}

// certificate: it is for our name and lives for a while.
func (h house) certificate(context.Context) []api.Diagnosis {
	mode, hostname := h.p.cfg.TLS.Mode, string(h.p.cfg.Hostname)
	config := h.p.certs.TLS()
	cert, err := config.GetCertificate(&tls.ClientHelloInfo{ServerName: hostname})
	if err != nil || cert == nil || cert.Leaf == nil {
		return []api.Diagnosis{diagnosis("certificate", "certificate", "fail", fmt.Sprintf("there is none to show: %v", err), "", "", "see the log, and [tls] in the configuration")}
	}
	left := cert.Leaf.NotAfter.Sub(h.p.world.now())
	found := fmt.Sprintf("%s, until %s", mode, cert.Leaf.NotAfter.UTC().Format("2006-01-02"))
	switch {
	case left <= 0:
		return []api.Diagnosis{diagnosis("certificate", "certificate", "fail", "the certificate has expired", "", found, "renew it")}
	case left < 14*24*time.Hour && mode != "self-signed":
		return []api.Diagnosis{diagnosis("certificate", "certificate", "warn", "the certificate ends soon", "", found, "renew it; with mode acme see the log for why that did not happen")}
	case cert.Leaf.VerifyHostname(hostname) != nil:
		return []api.Diagnosis{diagnosis("certificate", "certificate", "fail", "the certificate is not for our hostname", hostname, strings.Join(cert.Leaf.DNSNames, ", "), "get one for "+hostname)}
	case mode == "self-signed":
		return []api.Diagnosis{diagnosis("certificate", "certificate", "ok", "self-signed: enough for mail servers, not for people's mail programs", "", found, "")}
	}
	return []api.Diagnosis{diagnosis("certificate", "certificate", "ok", "", "", found, "")}
}

func (h house) keysUsable(ctx context.Context) []api.Diagnosis {
	var out []api.Diagnosis
	for _, domain := range h.p.domains() {
		if err := h.p.dkim.Usable(ctx, domain); err != nil {
			out = append(out, diagnosis(domain, "keys", "fail", "mail of the domain is held, since it cannot be signed: "+err.Error(), "", "", "restore the store from a backup, or: ticketgate dkim new "+domain))
			continue
		}
		out = append(out, diagnosis(domain, "keys", "ok", "", "", "", ""))
	}
	return out
}

// queueParts: the outbound queue is sound, and nothing in it waits for a person
// who does not know.
func (h house) queueParts(ctx context.Context) []api.Diagnosis {
	var out []api.Diagnosis
	switch audit, err := h.p.outbound.Verify(ctx); {
	case err != nil:
		out = append(out, diagnosis("outbound queue", "invariants", "fail", err.Error(), "", "", "see the log"))
	case len(audit.Findings) > 0:
		// What moves while it is counted is no fault; a second look tells.
		if audit, err = h.p.outbound.Verify(ctx); err == nil && len(audit.Findings) > 0 {
			out = append(out, diagnosis("outbound queue", "invariants", "warn", audit.Findings[0], "", fmt.Sprintf("%d findings in %d mails", len(audit.Findings), audit.Parcels), "harmless while mail is moving; if it stays so, restart the daemon"))
			break
		}
		fallthrough
	default:
		out = append(out, diagnosis("outbound queue", "invariants", "ok", "", "", fmt.Sprintf("%d mails", audit.Parcels), ""))
	}
	held, err := h.p.outbound.HeldFor(ctx, 1000)
	if err == nil && held[delivery.HeldKey]+held[delivery.HeldContent] > 0 {
		out = append(out, diagnosis("outbound queue", "held", "fail", "mail is held because it cannot be signed", "", fmt.Sprintf("%d", held[delivery.HeldKey]+held[delivery.HeldContent]), "see: ticketgate mailq --held dkim_key"))
	}
	if err == nil && held[delivery.HeldSuppressed] > 0 {
		out = append(out, diagnosis("outbound queue", "held", "warn", "replies to suppressed addresses wait for a decision", "", fmt.Sprintf("%d", held[delivery.HeldSuppressed]), "see: ticketgate mailq --held suppressed"))
	}
	for _, s := range h.p.outbound.Sites() {
		status := "warn"
		if s.Held {
			status = "fail"
		}
		out = append(out, diagnosis(s.Name, "outbound", status, "left alone until "+s.Until.UTC().Format(time.RFC3339)+": "+s.Reason, "", fmt.Sprintf("%d failures in a row", s.Failures), "repair the cause, then: ticketgate outbound resume "+s.Name))
	}
	measures, err := h.p.outbound.Measures(ctx)
	for _, m := range measures {
		if err == nil && m.Until.IsZero() {
			out = append(out, diagnosis("outbound queue", "measure", "warn", fmt.Sprintf("%s of %s has no end (%s: %s)", m.Kind, m.Selection(), m.By, m.Reason), "", m.At.Format("2006-01-02"), "ticketgate outbound resume "+m.ID))
		}
	}
	return out
}

// wayOut: the smarthost answers, if there is one. Whether port 25 is open to the
// world shows only by using it: ticketgate send-test does.
func (h house) wayOut(ctx context.Context) []api.Diagnosis {
	host, speaks := string(h.p.cfg.Outbound.Smarthost), true
	if r := h.p.cfg.Routes[h.p.cfg.Outbound.Route]; r != nil {
		host, speaks = string(r.Host), false // it may speak TLS from the first octet
	}
	if strings.HasPrefix(host, "unix:") {
		return []api.Diagnosis{diagnosis(host, "outbound", "skip", "mail leaves by a socket on this machine", "", "", "try: ticketgate send-test ADDRESS --wait 1m")}
	}
	if host == "" {
		return []api.Diagnosis{diagnosis("port 25", "outbound", "skip", "mail leaves directly; whether port 25 is open shows when mail leaves", "", "", "try: ticketgate send-test ADDRESS --wait 1m")}
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	conn, err := h.p.world.dial(ctx, "tcp", host)
	if err != nil {
		return []api.Diagnosis{diagnosis(host, "outbound", "fail", "the smarthost does not answer: "+err.Error(), "", "", "see whether it runs, and whether a firewall is between")}
	}
	defer conn.Close()
	if !speaks {
		return []api.Diagnosis{diagnosis(host, "outbound", "ok", "it can be connected to", "", "", "")}
	}
	conn.SetDeadline(h.p.world.now().Add(15 * time.Second))
	buf := make([]byte, 512)
	n, err := conn.Read(buf)
	greeting := strings.TrimSpace(strings.ToValidUTF8(string(buf[:n]), ""))
	if err != nil || !strings.HasPrefix(greeting, "220") {
		return []api.Diagnosis{diagnosis(host, "outbound", "fail", "the smarthost does not greet", "220", orWord(greeting, "nothing"), "see whether it is a mail server")}
	}
	return []api.Diagnosis{diagnosis(host, "outbound", "ok", "", "", greeting, "")}
}

// names sums the DNS checks up: they have a command of their own.
func (h house) names(ctx context.Context) []api.Diagnosis {
	found, err := h.CheckDNS(ctx, "")
	if err != nil {
		return []api.Diagnosis{diagnosis("dns", "dns", "skip", err.Error(), "", "", "")}
	}
	return slices.DeleteFunc(found, func(d api.Diagnosis) bool { return d.Status == "ok" && d.Check != "mx" && d.Check != "spf" })
}

// dnsGauge is the metric of the last DNS checks: 1 = fine, by domain and check.
type dnsGauge struct{ vec *prometheus.GaugeVec }

func newDNSGauge(reg prometheus.Registerer) (*dnsGauge, error) {
	g := &dnsGauge{prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "ticketgate_dns_check_ok", Help: "Whether DNS showed what our domains need when it was last looked at.",
	}, []string{"domain", "check"})}
	return g, reg.Register(g.vec)
}

// note keeps the results about domains; what could not be asked changes
// nothing.
func (g *dnsGauge) note(found []api.Diagnosis, domains []string) {
	worst := map[[2]string]float64{}
	for _, d := range found {
		i := slices.IndexFunc(domains, func(domain string) bool {
			return d.Subject == domain || strings.HasSuffix(d.Subject, "."+domain)
		})
		if i < 0 || d.Status == "skip" {
			continue
		}
		key := [2]string{domains[i], d.Check}
		if _, seen := worst[key]; !seen {
			worst[key] = 1
		}
		if d.Status == "fail" {
			worst[key] = 0
		}
	}
	for key, ok := range worst {
		g.vec.WithLabelValues(key[0], key[1]).Set(ok)
	}
}

// dnsEvery is how often what is published is looked at unasked.
const dnsEvery = 6 * time.Hour

// watchDNS looks at what is published from time to time, and says in the log
// what has become wrong.
func (p *program) watchDNS(ctx context.Context) error {
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	said := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		found, err := house{p}.CheckDNS(ctx, "")
		if err != nil {
			p.world.log.Warn("DNS was not checked", "err", err)
		}
		for _, d := range found {
			key := d.Subject + " " + d.Check
			if d.Status == "fail" && !said[key] {
				p.world.log.Warn("DNS does not show what it should", "subject", d.Subject, "check", d.Check, "detail", d.Detail, "fix", deref(d.Fix))
			}
			said[key] = d.Status == "fail"
		}
		timer.Reset(dnsEvery)
	}
}
