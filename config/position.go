package config

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"
)

// place is a line and a column, both from 1. The zero place is nowhere.
type place struct{ line, col int }

// path is a dotted key, one element per part; array elements are numbers.
type path []string

func (p path) key() string { return strings.Join(p, "\x00") }

// with returns p extended, without touching p.
func (p path) with(parts ...string) path {
	return append(append(make(path, 0, len(p)+len(parts)), p...), parts...)
}

// String quotes parts that TOML would want quoted.
func (p path) String() string {
	parts := make([]string, len(p))
	for i, s := range p {
		parts[i] = quoteKey(s)
	}
	return strings.Join(parts, ".")
}

func quoteKey(s string) string {
	for _, c := range []byte(s) {
		if !isAlnum(c) && c != '-' && c != '_' {
			return strconv.Quote(s)
		}
	}
	if s == "" {
		return `""`
	}
	return s
}

// positions knows where each key and array element of a document stands.
type positions struct {
	data   []byte
	parser unstable.Parser
	at     map[string]place
	arrays map[string]int // [[tables]] by their path: the number of the last one
}

// locate walks a document that is known to be well formed.
func locate(data []byte) *positions {
	p := &positions{data: data, at: map[string]place{}, arrays: map[string]int{}}
	p.parser.Reset(data)
	var table path
	for p.parser.NextExpression() {
		e := p.parser.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = p.table(e)
		case unstable.KeyValue:
			p.keyValue(table, e)
		}
	}
	return p
}

// table returns the path of a section's header. One of [[…]] begins another
// element of its list, and what is named below a list is in its last element.
func (p *positions) table(e *unstable.Node) path {
	var at path
	for it := e.Key(); it.Next(); {
		n := it.Node()
		at = at.with(string(n.Data))
		p.record(at, n)
		last, list := p.arrays[at.key()]
		if it.IsLast() && e.Kind == unstable.ArrayTable {
			if list {
				last++
			}
			p.arrays[at.key()], list = last, true
		}
		if list {
			at = at.with(strconv.Itoa(last))
			p.record(at, n)
		}
	}
	return at
}

func (p *positions) keyValue(table path, n *unstable.Node) {
	p.value(p.keys(table, n.Key()), n.Value())
}

// keys records each part of a dotted key and returns the whole.
func (p *positions) keys(under path, it unstable.Iterator) path {
	for it.Next() {
		n := it.Node()
		under = under.with(string(n.Data))
		p.record(under, n)
	}
	return under
}

func (p *positions) value(at path, n *unstable.Node) {
	switch n.Kind {
	case unstable.InlineTable:
		for it := n.Children(); it.Next(); {
			if it.Node().Kind == unstable.KeyValue {
				p.keyValue(at, it.Node())
			}
		}
	case unstable.Array:
		i := 0
		for it := n.Children(); it.Next(); {
			if it.Node().Kind == unstable.Comment {
				continue
			}
			elem := at.with(strconv.Itoa(i))
			p.record(elem, it.Node())
			p.value(elem, it.Node())
			i++
		}
	}
}

// record notes the first place a path is seen at. Nodes without a range of
// their own (nested arrays) are left to their parent.
func (p *positions) record(at path, n *unstable.Node) {
	if _, seen := p.at[at.key()]; seen || n.Raw.Length == 0 {
		return
	}
	p.at[at.key()] = p.offset(int(n.Raw.Offset))
}

func (p *positions) offset(off int) place {
	before := p.data[:off]
	start := bytes.LastIndexByte(before, '\n') + 1
	return place{
		line: bytes.Count(before, []byte("\n")) + 1,
		col:  utf8.RuneCount(before[start:]) + 1,
	}
}

// find returns the place of a path, or of its nearest parent that has one;
// nowhere if even the section is missing.
func (p *positions) find(at path) place {
	for n := len(at); n > 0; n-- {
		if pos, ok := p.at[at[:n].key()]; ok {
			return pos
		}
	}
	return place{}
}

// line returns line n of the document, "" if there is none.
func (p *positions) line(n int) string {
	lines := bytes.SplitN(p.data, []byte("\n"), n+1)
	if n < 1 || n > len(lines) {
		return ""
	}
	return string(lines[n-1])
}
