package mailauth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
)

// The verifier is written here and not taken from a library because the one at
// hand reads the real clock, needs time quadratic in a run of empty lines (4 MB
// of them cost it six seconds) and knows neither deadline nor key flags. The
// tests compare the two.

// dkim judges the signatures of m, the keys being fetched side by side while
// the body is read once.
func (c *Checker) dkim(ctx context.Context, m *mail, e *Evidence) {
	var at []int
	for i, f := range m.fields {
		if f.name == "dkim-signature" {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return
	}
	if m.problem != "" {
		e.Note, e.Ignored = m.problem, len(at)
		return
	}
	e.Ignored = len(at) - min(len(at), c.o.MaxSignatures)
	at = at[:len(at)-e.Ignored]
	e.DKIM = make([]Signature, len(at))
	jobs := make([]job, len(at))
	var fetch sync.WaitGroup
	var simple, relaxed *bodyHash
	for n, i := range at {
		j := &jobs[n]
		j.sig, j.end = parseSignature(m.fields[i], &e.DKIM[n])
		if j.end == nil {
			j.end = j.sig.inTime(c.o.Now())
		}
		if j.end != nil {
			continue
		}
		fetch.Go(func() { j.keys, j.end = c.keys(ctx, j.sig) })
		body := &simple
		if j.sig.relaxBody {
			body = &relaxed
		}
		if *body == nil {
			*body = newBodyHash(j.sig.relaxBody)
		}
		j.body = *body
	}
	err := hashBody(ctx, m.body, simple, relaxed)
	fetch.Wait()
	index := indexFields(m.fields)
	for n := range jobs {
		jobs[n].judge(index, &e.DKIM[n], err)
	}
}

// job is the work on one signature.
type job struct {
	sig  *signature
	keys []key
	body *bodyHash
	end  *verdict // set as soon as the outcome is known
}

func (j *job) judge(index map[string][]string, s *Signature, readErr error) {
	v := j.end
	if v == nil {
		v = j.decide(index, s, readErr)
	}
	s.Result, s.Reason = v.result, v.reason
}

func (j *job) decide(index map[string][]string, s *Signature, readErr error) *verdict {
	if readErr != nil {
		return ruling(TempError, "the mail could not be read to its end in time")
	}
	// A signature over a part of the body vouches for none of it: anything may
	// have been appended. One that happens to cover all is as good as another.
	partial := j.sig.length >= 0 && j.sig.length < j.body.octets
	if !partial {
		if j.sig.length > j.body.octets {
			return ruling(Fail, "the body is shorter than what was signed")
		}
		if subtle.ConstantTimeCompare(j.body.sum[:], j.sig.hash) != 1 {
			return j.unlessTesting(s, ruling(Fail, "the body was changed"))
		}
	}
	digest := j.sig.digest(index)
	for _, k := range j.keys {
		if !k.verifies(digest, j.sig.value) {
			continue
		}
		switch {
		case partial:
			return ruling(Neutral, "only the first %d of %d octets of the body are signed", j.sig.length, j.body.octets)
		case k.testing: // RFC 6376 §3.6.1: as if unsigned
			s.Testing = true
			return ruling(Neutral, "valid, but the key is marked as being tested")
		}
		return ruling(Pass, "")
	}
	return j.unlessTesting(s, ruling(Fail, "the signature does not match"))
}

// unlessTesting softens a failure under a key that is being tested.
func (j *job) unlessTesting(s *Signature, v *verdict) *verdict {
	if slices.ContainsFunc(j.keys, func(k key) bool { return !k.testing }) {
		return v
	}
	s.Testing = true
	return ruling(Neutral, "%s, but the key is marked as being tested", v.reason)
}

// indexFields lists the fields of each name from the bottom up, the order in
// which h= takes them (RFC 6376 §5.4.2).
func indexFields(fields []field) map[string][]string {
	index := map[string][]string{}
	for _, f := range slices.Backward(fields) {
		index[f.name] = append(index[f.name], f.raw)
	}
	return index
}

// digest hashes the signed fields and the signature itself without b=.
func (sig *signature) digest(index map[string][]string) (sum [sha256.Size]byte) {
	h := sha256.New()
	form := func(raw string) string {
		if sig.relaxHeader {
			return relaxedField(raw)
		}
		return raw
	}
	used := map[string]int{}
	for _, name := range sig.names {
		if n := used[name]; n < len(index[name]) {
			io.WriteString(h, form(index[name][n]))
			used[name]++
		}
	}
	io.WriteString(h, strings.TrimSuffix(form(withoutB(sig.field.raw)), "\r\n"))
	h.Sum(sum[:0])
	return sum
}

// withoutB empties the b= tag and leaves everything else alone.
func withoutB(raw string) string {
	start := strings.IndexByte(raw, ':') + 1
	for start < len(raw) {
		end := start + len(raw[start:])
		if semi := strings.IndexByte(raw[start:], ';'); semi >= 0 {
			end = start + semi
		}
		if name, _, ok := strings.Cut(raw[start:end], "="); ok && trim(name) == "b" {
			return raw[:start+len(name)+1] + raw[end:]
		}
		start = end + 1
	}
	return raw
}

// relaxedField is the form of RFC 6376 §3.4.2.
func relaxedField(raw string) string {
	name, value, _ := strings.Cut(raw, ":")
	value = strings.ReplaceAll(value, "\r\n", "")
	words := strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == '\t' })
	return strings.ToLower(strings.TrimRight(name, " \t")) + ":" + strings.Join(words, " ") + "\r\n"
}

var errDeadline = errors.New("deadline")

// hashBody feeds the rest of the mail to the hashes in use.
func hashBody(ctx context.Context, r io.Reader, hashes ...*bodyHash) error {
	hashes = slices.DeleteFunc(hashes, func(b *bodyHash) bool { return b == nil })
	if len(hashes) == 0 {
		return nil
	}
	buf := make([]byte, 32<<10)
	for {
		if ctx.Err() != nil {
			return errDeadline
		}
		n, err := r.Read(buf)
		for _, b := range hashes {
			b.write(buf[:n])
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	for _, b := range hashes {
		b.end()
	}
	return nil
}
