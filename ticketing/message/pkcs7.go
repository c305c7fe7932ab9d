package message

import "strings"

// What S/MIME puts into application/pkcs7-mime (RFC 8551 §3.2).
const (
	smimeSigned     = "signed-data"
	smimeEncrypted  = "enveloped-data"
	smimeCompressed = "compressed-data"
	smimeCerts      = "certs-only"
)

func isPKCS7(p *Part) bool {
	switch p.Type {
	case "application/pkcs7-mime", "application/x-pkcs7-mime":
		return true
	case "application/octet-stream":
		return strings.HasSuffix(strings.ToLower(p.Filename), ".p7m")
	}
	return false
}

// cmsContent looks into a CMS object (RFC 5652): what it is, and of signed data
// the content that was signed, which a reader needs no key for. It reads BER,
// because large objects come with lengths left open.
func cmsContent(b []byte) (kind string, content []byte) {
	r := &berReader{b: b}
	r.enter(berSequence)
	oid := r.value(berOID)
	r.enter(berExplicit0)
	r.enter(berSequence)
	switch string(oid) {
	case "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02":
		kind = smimeSigned
	case "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03", "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17":
		return smimeEncrypted, nil
	case "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x09":
		return smimeCompressed, nil
	default:
		return "", nil
	}
	r.skip(0) // version
	r.skip(0) // digest algorithms
	r.enter(berSequence)
	r.skip(0) // type of the content
	if r.bad || r.peek() != berExplicit0 {
		return smimeCerts, nil
	}
	r.enter(berExplicit0)
	content = r.octets(nil, 0)
	if r.bad && len(content) == 0 {
		return kind, nil
	}
	return kind, content
}

const (
	berOID       = 0x06
	berOctets    = 0x04
	berSequence  = 0x30
	berExplicit0 = 0xA0

	berConstructed = 0x20
	maxBERDepth    = 32
)

// berReader walks over BER (X.690) from outside to inside. After an error every
// call does nothing.
type berReader struct {
	b   []byte
	bad bool
}

func (r *berReader) peek() byte {
	if len(r.b) == 0 {
		return 0
	}
	return r.b[0]
}

// header reads a tag and a length; the length is -1 if it is left open.
func (r *berReader) header() (tag byte, n int) {
	if r.bad || len(r.b) < 2 || r.b[0]&0x1f == 0x1f { // long tags do not occur here
		r.bad = true
		return 0, 0
	}
	tag, n = r.b[0], int(r.b[1])
	r.b = r.b[2:]
	switch {
	case n == 0x80 && tag&berConstructed != 0:
		return tag, -1
	case n >= 0x80:
		k := n & 0x7f
		if k == 0 || k > 4 || k > len(r.b) {
			r.bad = true
			return 0, 0
		}
		n = 0
		for _, c := range r.b[:k] {
			n = n<<8 | int(c)
		}
		r.b = r.b[k:]
	}
	if n > len(r.b) {
		n = len(r.b) // cut short: what is there is read
	}
	return tag, n
}

// enter goes to the content of an element.
func (r *berReader) enter(want byte) {
	tag, n := r.header()
	if tag != want {
		r.bad = true
	}
	if !r.bad && n >= 0 {
		r.b = r.b[:n]
	}
}

// value returns the content of a primitive element.
func (r *berReader) value(want byte) []byte {
	tag, n := r.header()
	if tag != want || n < 0 {
		r.bad = true
	}
	if r.bad {
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

// skip passes over one element.
func (r *berReader) skip(depth int) {
	tag, n := r.header()
	switch {
	case r.bad:
	case n >= 0:
		r.b = r.b[n:]
	case depth >= maxBERDepth || tag == 0:
		r.bad = true
	default:
		for !r.bad && !r.over() {
			r.skip(depth + 1)
		}
	}
}

// over reports, and passes over, the end of an element of open length.
func (r *berReader) over() bool {
	if len(r.b) >= 2 && r.b[0] == 0 && r.b[1] == 0 {
		r.b = r.b[2:]
		return true
	}
	return len(r.b) == 0
}

// octets appends an octet string, whose pieces may be strings of their own.
func (r *berReader) octets(have []byte, depth int) []byte {
	tag, n := r.header()
	if tag&^berConstructed != berOctets || depth > maxBERDepth {
		r.bad = true
	}
	if r.bad {
		return have
	}
	if tag&berConstructed == 0 {
		piece := r.b[:n]
		r.b = r.b[n:]
		return append(have, piece...)
	}
	if n >= 0 {
		inner := &berReader{b: r.b[:n]}
		r.b = r.b[n:]
		for !inner.bad && len(inner.b) > 0 {
			have = inner.octets(have, depth+1)
		}
		return have
	}
	for !r.bad && !r.over() {
		have = r.octets(have, depth+1)
	}
	return have
}
