package message

import "strings"

// phrases is a fixed list of phrases that is looked for in many texts. What each
// begins with is known beforehand, so that most of a text is passed over with
// one look at each byte, however long the list is.
type phrases struct {
	pairs [1 << pairBits / 64]uint64 // which pairs of first bytes there are, by pairOf
	by    map[[2]byte][]string       // the phrases that begin with a pair
}

const pairBits = 10

func pairOf(a, b byte) uint { return (uint(a)*37 ^ uint(b)*5) & (1<<pairBits - 1) }

// newPhrases makes a list of phrases of at least two bytes each.
func newPhrases(list ...string) phrases {
	p := phrases{by: map[[2]byte][]string{}}
	for _, s := range list {
		pair := [2]byte{s[0], s[1]}
		p.by[pair] = append(p.by[pair], s)
		n := pairOf(s[0], s[1])
		p.pairs[n/64] |= 1 << (n % 64)
	}
	return p
}

// begin reports whether s begins with one of the phrases.
func (p *phrases) begin(s string) bool {
	if len(s) < 2 {
		return false
	}
	if n := pairOf(s[0], s[1]); p.pairs[n/64]&(1<<(n%64)) == 0 {
		return false
	}
	for _, phrase := range p.by[[2]byte{s[0], s[1]}] {
		if strings.HasPrefix(s, phrase) {
			return true
		}
	}
	return false
}

// in reports whether one of the phrases stands in s.
func (p *phrases) in(s string) bool {
	for i := 0; i+1 < len(s); i++ {
		if n := pairOf(s[i], s[i+1]); p.pairs[n/64]&(1<<(n%64)) != 0 && p.begin(s[i:]) {
			return true
		}
	}
	return false
}
