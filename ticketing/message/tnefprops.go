package message

// Types of MAPI properties (MS-OXCDATA §2.11.1).
const (
	typeShort    = 0x0002
	typeLong     = 0x0003
	typeFloat    = 0x0004
	typeDouble   = 0x0005
	typeCurrency = 0x0006
	typeAppTime  = 0x0007
	typeError    = 0x000A
	typeBoolean  = 0x000B
	typeObject   = 0x000D
	typeInt64    = 0x0014
	typeString8  = 0x001E
	typeUnicode  = 0x001F
	typeTime     = 0x0040
	typeGUID     = 0x0048
	typeBinary   = 0x0102

	typeMultiple = 0x1000
)

// fixedSize is how many bytes a value takes, 0 if it says so itself, -1 for a
// type that nobody knows, after which nothing can be found.
func fixedSize(kind uint16) int64 {
	switch kind {
	case typeShort, typeLong, typeFloat, typeError, typeBoolean:
		return 4
	case typeDouble, typeCurrency, typeAppTime, typeInt64, typeTime:
		return 8
	case typeGUID:
		return 16
	case typeObject, typeString8, typeUnicode, typeBinary:
		return 0
	}
	return -1
}

// properties reads a list of MAPI properties (MS-OXTNEF §2.1.3.4) and hands
// every value to f, which may read it or leave it. Of a property with several
// values f gets each.
func (t *tnef) properties(f func(id, kind uint16, start, n int64)) {
	r := t.r
	for left := r.u32(); left > 0 && r.err == nil && r.left() >= 4; left-- {
		if *t.count++; *t.count > maxTNEFAtts {
			t.broken = true
			return
		}
		kind, id := r.u16(), r.u16()
		if id >= 0x8000 {
			t.propertyName()
			id = 0 // a number that means something only together with its name
		}
		base := kind &^ typeMultiple
		size := fixedSize(base)
		switch {
		case kind <= 1: // no value
			continue
		case size < 0:
			t.broken = true
			return
		}
		values := uint32(1)
		if size == 0 || kind&typeMultiple != 0 {
			values = r.u32()
		}
		for ; values > 0 && r.err == nil && r.left() > 0; values-- {
			if *t.count++; *t.count > maxTNEFAtts {
				t.broken = true
				return
			}
			n := size
			if size == 0 {
				n = int64(r.u32())
			}
			t.value(id, base, n, f)
		}
	}
	if r.err != nil {
		t.broken = true
	}
}

// value hands one value on and goes to its end, which is a multiple of four.
func (t *tnef) value(id, kind uint16, n int64, f func(id, kind uint16, start, n int64)) {
	r := t.r
	if n > r.left() {
		t.broken, n = true, r.left()
	}
	start, outer := r.off, r.end
	r.end = start + n
	f(id, kind, start, n)
	r.skip(start + n - r.off)
	r.end = outer
	r.skip(min(-n&3, r.left()))
}

// propertyName passes over the name of a named property.
func (t *tnef) propertyName() {
	r := t.r
	r.skip(min(16, r.left()))
	if r.u32() == 0 {
		r.u32()
		return
	}
	n := int64(r.u32())
	r.skip(min(n+(-n&3), r.left()))
}
