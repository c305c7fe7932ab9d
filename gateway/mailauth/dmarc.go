package mailauth

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// maxWalk is how many names a tree walk asks for (RFC 9989 §4.10).
const maxWalk = 8

// treeWalk is what the names from start towards the root publish.
type treeWalk struct {
	start   string
	steps   []Step
	found   []finding // in the order of the walk
	failed  string    // why a name in between could not be asked, "" if all could
	unknown bool      // start itself could not be asked
}

type finding struct {
	domain string
	record record
}

// walkNames lists the names to ask, from domain up.
func walkNames(domain string) []string {
	names := []string{domain}
	labels := strings.Split(domain, ".")
	rest := labels[1:]
	if len(labels) > maxWalk {
		rest = labels[len(labels)-(maxWalk-1):]
	}
	for i := range rest {
		names = append(names, strings.Join(rest[i:], "."))
	}
	return names
}

// walk asks all names at once and reads the answers in order, up to the first
// record that says where the tree ends.
func (c *Checker) walk(ctx context.Context, domain string) *treeWalk {
	names := walkNames(domain)
	texts, errs := make([][]string, len(names)), make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { texts[i], errs[i] = c.o.DNS.LookupTXT(ctx, "_dmarc."+name) })
	}
	wg.Wait()
	w := &treeWalk{start: domain}
	for i, name := range names {
		say := func(s string) { w.steps = append(w.steps, Step{"_dmarc." + name, s}) }
		if errs[i] != nil && !isAbsent(errs[i]) {
			say(clean(errs[i].Error()))
			if w.failed == "" {
				w.failed = "_dmarc." + name + " could not be looked up"
			}
			w.unknown = w.unknown || i == 0
			continue
		}
		var records []record
		for _, t := range texts[i] {
			if r, ok := parseRecord(t); ok {
				records = append(records, r)
			}
		}
		switch len(records) {
		case 0:
			say("no record")
			continue
		case 1:
		default:
			say(fmt.Sprintf("%d records, which count as none", len(records)))
			continue
		}
		say(records[0].text)
		w.found = append(w.found, finding{name, records[0]})
		if records[0].psd != 'u' {
			break
		}
	}
	return w
}

// organization is the organisational domain (RFC 9989 §4.10.2).
func (w *treeWalk) organization() string {
	for _, f := range w.found {
		if f.record.psd == 'n' {
			return f.domain
		}
		if f.record.psd == 'y' && f.domain != w.start {
			below := strings.TrimSuffix(w.start, "."+f.domain)
			return below[strings.LastIndexByte(below, '.')+1:] + "." + f.domain
		}
	}
	if len(w.found) > 0 {
		return w.found[len(w.found)-1].domain // the fewest labels
	}
	return w.start
}

// policy is the record that applies to start (RFC 9989 §4.10.1): its own, else
// its organisation's, else that of the public suffix above it.
func (w *treeWalk) policy() *finding {
	for _, domain := range [...]string{w.start, w.organization()} {
		for i := range w.found {
			if w.found[i].domain == domain {
				return &w.found[i]
			}
		}
	}
	if n := len(w.found); n > 0 && w.found[n-1].record.psd == 'y' {
		return &w.found[n-1]
	}
	return nil
}

// dmarc concludes from the other results. It sets Aligned in them.
func (c *Checker) dmarc(ctx context.Context, e *Evidence, w *treeWalk) {
	d := &e.DMARC
	d.Result, d.Domain = None, e.Author.Domain
	if w == nil {
		d.Reason = e.Author.Problem
		return
	}
	d.Walk = w.steps
	applied := w.policy()
	switch {
	case w.unknown || applied == nil && w.failed != "":
		d.Result, d.Reason = TempError, w.failed
		return
	case applied == nil:
		d.Reason = "the domain publishes no policy"
		e.alignBySuffixList(e.Author.Domain)
		return
	}
	r := &applied.record
	d.Organization, d.RecordDomain, d.Record = w.organization(), applied.domain, r.text
	if r.bad != "" {
		d.Result, d.Reason = PermError, "the record's "+r.bad+"= is missing or malformed"
		d.RecordDomain = ""
		e.alignBySuffixList(e.Author.Domain)
		return
	}
	own := applied.domain == w.start
	d.Tag, d.Policy = r.applies(own, own || r.np == "" || c.exists(ctx, w.start))
	d.Testing = r.testing
	c.conclude(ctx, e, w, r)
	switch {
	case d.Result != Fail:
		d.Disposition = "none"
	case r.testing:
		d.Disposition = milder(d.Policy)
	default:
		d.Disposition = d.Policy
	}
}

// exists reports whether a domain has mail exchangers or addresses; if nobody
// could say, it does.
func (c *Checker) exists(ctx context.Context, domain string) bool {
	if _, err := c.o.DNS.LookupMX(ctx, domain); err == nil || !isAbsent(err) {
		return true
	}
	_, err := c.o.DNS.LookupNetIP(ctx, "ip", domain)
	return err == nil || !isAbsent(err)
}

// alignment is whether an identifier belongs to the author's domain; maybe if
// its organisation could not be found out.
type alignment uint8

const (
	foreign alignment = iota
	maybe
	same
)

// conclude finds an aligned pass, or why there is none.
func (c *Checker) conclude(ctx context.Context, e *Evidence, w *treeWalk, r *record) {
	ids := make([]identifier, 0, len(e.DKIM)+1)
	ids = append(ids, identifier{e.SPF.Result, e.SPF.Domain, r.strictSPF, &e.SPF.Aligned, "SPF"})
	for i := range e.DKIM {
		s := &e.DKIM[i]
		ids = append(ids, identifier{s.Result, s.Domain, r.strictDKIM, &s.Aligned, "DKIM"})
	}
	belongs := make([]alignment, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		if id.result == Pass || id.result == TempError {
			wg.Go(func() { belongs[i] = c.align(ctx, w, id) })
		}
	}
	wg.Wait()
	d := &e.DMARC
	d.Result, d.Reason = Fail, "nothing that passes belongs to "+w.start
	if e.SPF.Unasked {
		// SPF might have passed: this is no failure of the author's.
		d.Result, d.Reason = None, "no signature speaks for "+w.start+", and SPF could not be asked"
	}
	for i, id := range ids {
		*id.aligned = belongs[i] == same
		switch {
		case id.result == Pass && belongs[i] == same:
			d.Result, d.Reason = Pass, ""
		case d.Result == Pass || belongs[i] == foreign:
		case id.result == TempError:
			d.Result, d.Reason = TempError, id.method+" of "+id.domain+" could not be concluded"
		case belongs[i] == maybe:
			d.Result, d.Reason = TempError, "the organisation of "+id.domain+" could not be found out"
		}
	}
}

type identifier struct {
	result  Result
	domain  string
	strict  bool
	aligned *bool
	method  string
}

// align compares an identifier with the author's domain (RFC 9989 §4.4). An
// organisational domain is its domain or above it, so an identifier outside
// the author's organisation needs no walk of its own.
func (c *Checker) align(ctx context.Context, w *treeWalk, id identifier) alignment {
	org := w.organization()
	switch {
	case id.domain == w.start:
		return same
	case id.strict:
		return foreign
	case w.failed != "" && under(id.domain, registrableOr(w.start)):
		return maybe
	case !under(id.domain, org):
		return foreign
	case id.domain == org:
		return same
	}
	own := c.walk(ctx, id.domain)
	switch {
	case own.failed != "":
		return maybe
	case own.organization() == org:
		return same
	}
	return foreign
}

func registrableOr(name string) string {
	if d := registrable(name); d != "" {
		return d
	}
	return name
}

// alignBySuffixList aligns without any DMARC record to go by: two domains
// belong together if the public suffix list says they have one owner.
func (e *Evidence) alignBySuffixList(author string) {
	org := registrable(author)
	belongs := func(domain string) bool {
		return domain == author || org != "" && registrable(domain) == org
	}
	e.SPF.Aligned = e.SPF.Result == Pass && belongs(e.SPF.Domain)
	for i := range e.DKIM {
		s := &e.DKIM[i]
		s.Aligned = s.Result == Pass && belongs(s.Domain)
	}
}
