package message

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/gogs/chardet"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

// toUTF8 converts b from the named charset to valid UTF-8. A name that is
// missing, unknown or contradicted by the bytes is replaced by a guess. UTF-7
// is never decoded: it can smuggle markup past every filter that reads ASCII.
func toUTF8(b []byte, charset string) string {
	name := charsetName(charset)
	switch name {
	case "utf-7":
		return strings.ToValidUTF8(string(b), "\uFFFD")
	case "", "us-ascii", "utf-8":
		return guessUTF8(b, name == "utf-8")
	}
	if strings.HasPrefix(name, "iso-2022-") {
		if s, ok := decode2022(b); ok {
			return s
		}
		return guessUTF8(b, false)
	}
	enc := lookupCharset(name)
	if enc == nil {
		return guessUTF8(b, false)
	}
	if name == "utf-16" || name == "utf-32" {
		enc = wideByNULs(b, name)
	}
	out, err := enc.NewDecoder().Bytes(b)
	if err != nil {
		return guessUTF8(b, false)
	}
	if multibyte(b) && utf8.Valid(b) && (oneByte(name) || bytes.ContainsRune(out, utf8.RuneError)) {
		// UTF-8 labelled as something else: nobody writes "Ã¼" on purpose.
		return string(bytes.TrimPrefix(b, byteOrderMark))
	}
	return strings.ToValidUTF8(string(out), "\uFFFD")
}

var byteOrderMark = []byte("\xEF\xBB\xBF")

// oneByte reports whether a charset has one byte a character, so that any bytes
// are valid in it and only the look of the result can tell that it is wrong.
func oneByte(name string) bool {
	for _, p := range [...]string{"iso-8859-", "windows-125", "windows-874", "koi8-", "macintosh", "x-mac-", "cp437", "cp85", "cp86", "ibm"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// charsetName brings the spellings seen in mail to one form.
func charsetName(s string) string {
	s = strings.ToLower(strings.Trim(s, " \t\"'<>;,"))
	if i := strings.IndexByte(s, '*'); i >= 0 { // RFC 2231 language suffix
		s = s[:i]
	}
	if full, ok := charsetAliases[s]; ok {
		return full
	}
	for _, p := range [...]string{"cp-", "cp125", "windows125", "win-125", "x-cp125", "iso8859-", "iso8859_", "iso_8859-", "iso-8859_", "8859-", "latin-"} {
		if rest, ok := strings.CutPrefix(s, p); ok {
			switch {
			case p == "cp-":
				return "cp" + rest
			case p == "latin-":
				return charsetName("latin" + rest)
			case strings.HasSuffix(p, "125"):
				return "windows-125" + rest
			default:
				return charsetName("iso-8859-" + rest)
			}
		}
	}
	return s
}

var charsetAliases = map[string]string{
	"ascii": "us-ascii", "ansi_x3.4-1968": "us-ascii", "iso646-us": "us-ascii", "us": "us-ascii", "646": "us-ascii",
	"7bit": "", "8bit": "", "unknown-8bit": "", "x-unknown": "", "unknown": "", "default": "", "default_charset": "",
	"utf8": "utf-8", "utf-8mb4": "utf-8", "utf8mb4": "utf-8", "unicode-1-1-utf-8": "utf-8", "x-unicode-2-0-utf-8": "utf-8", "_utf-8": "utf-8", "utf_8": "utf-8",
	"utf7": "utf-7", "unicode-1-1-utf-7": "utf-7", "x-unicode-2-0-utf-7": "utf-7", "csunicode11utf7": "utf-7", "utf-7-imap": "utf-7",
	"utf16": "utf-16", "ucs-2": "utf-16", "unicode": "utf-16", "utf32": "utf-32", "ucs-4": "utf-32",
	"latin1": "iso-8859-1", "latin2": "iso-8859-2", "latin5": "iso-8859-9", "latin9": "iso-8859-15", "l1": "iso-8859-1",
	"iso-8859-8-i": "iso-8859-8", "iso-8859-8-e": "iso-8859-8", "iso-8859-6-i": "iso-8859-6", "iso-8859-6-e": "iso-8859-6",
	"iso-8859-11": "windows-874", "tis-620": "windows-874", "ansi": "windows-1252",
	"x-mac-roman": "macintosh", "mac": "macintosh", "x-mac-cyrillic": "x-mac-cyrillic",
	"jis": "iso-2022-jp", "jis7": "iso-2022-jp", "iso-2022-jp-1": "iso-2022-jp", "iso-2022-jp-2": "iso-2022-jp", "iso-2022-jp-3": "iso-2022-jp",
	"iso-2022-jp-2004": "iso-2022-jp", "iso-2022-jp-2006": "iso-2022-jp", "cp50222": "iso-2022-jp", "cp50225": "iso-2022-kr", "csiso2022kr": "iso-2022-kr", "iso-2022-jp-ms": "iso-2022-jp", "csiso2022jp": "iso-2022-jp", "cp50220": "iso-2022-jp", "cp50221": "iso-2022-jp",
	"shift-jis": "shift_jis", "sjis": "shift_jis", "x-sjis": "shift_jis", "ms_kanji": "shift_jis", "cp932": "shift_jis", "ms932": "shift_jis", "windows-31j": "shift_jis",
	"eucjp": "euc-jp", "x-euc-jp": "euc-jp", "ujis": "euc-jp", "cp51932": "euc-jp",
}

// lookupCharset returns nil for a charset that is not known. Several labels are
// read as their supersets, because senders mean those: gb2312 as gb18030,
// ks_c_5601-1987 as the code page 949, iso-8859-1 as windows-1252.
func lookupCharset(name string) encoding.Encoding {
	switch name {
	case "gb2312", "gb_2312-80", "gb2312-80", "csgb2312", "gbk", "x-gbk", "cp936", "ms936", "windows-936", "euc-cn", "x-euc-cn", "gb18030", "gb18030-2000":
		return simplifiedchinese.GB18030
	case "hz-gb-2312", "hz":
		return simplifiedchinese.HZGB2312
	case "ks_c_5601-1987", "ks_c_5601-1989", "ks_c_5601", "ksc5601", "ksc_5601", "cp949", "ms949", "windows-949", "x-windows-949", "uhc", "euc-kr", "euckr", "korean":
		return korean.EUCKR // x/text's EUC-KR is code page 949
	case "big5", "big5-hkscs", "cn-big5", "x-x-big5", "cp950", "csbig5", "big5-eten":
		return traditionalchinese.Big5
	case "iso-8859-1", "windows-1252":
		return charmap.Windows1252
	case "iso-8859-9":
		return charmap.Windows1254
	case "utf-16":
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	case "utf-32":
		return utf32.UTF32(utf32.BigEndian, utf32.UseBOM)
	case "cp437", "ibm437":
		return charmap.CodePage437
	case "cp850", "dos-850", "ibm850":
		return charmap.CodePage850
	case "cp852", "ibm852":
		return charmap.CodePage852
	case "cp855", "ibm855":
		return charmap.CodePage855
	case "cp858", "ibm858", "ibm00858":
		return charmap.CodePage858
	case "cp860":
		return charmap.CodePage860
	case "cp862":
		return charmap.CodePage862
	case "cp863":
		return charmap.CodePage863
	case "cp865":
		return charmap.CodePage865
	case "cp866", "ibm866":
		return charmap.CodePage866
	}
	if enc, err := htmlindex.Get(name); err == nil && enc != encoding.Replacement {
		return enc
	}
	if enc, err := ianaindex.MIME.Encoding(name); err == nil && enc != nil && enc != encoding.Replacement {
		return enc
	}
	return nil
}

// wideByNULs finds the byte order of UTF-16 or UTF-32 that has no mark from
// where the zero bytes of its ASCII characters stand.
func wideByNULs(b []byte, name string) encoding.Encoding {
	if name == "utf-32" {
		if len(b) > 3 && b[0] != 0 && b[3] == 0 {
			return utf32.UTF32(utf32.LittleEndian, utf32.UseBOM)
		}
		return utf32.UTF32(utf32.BigEndian, utf32.UseBOM)
	}
	var even, odd int
	for i, c := range b[:min(len(b), 256)] {
		if c == 0 {
			if i%2 == 0 {
				even++
			} else {
				odd++
			}
		}
	}
	if odd > even {
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	}
	return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
}

// guessUTF8 reads bytes whose charset nobody (reliably) named: UTF-8 if they
// are, else what the detector is sure of, else windows-1252. With labelled the
// sender said UTF-8, and a few damaged characters do not outweigh that.
func guessUTF8(b []byte, labelled bool) string {
	b = bytes.TrimPrefix(b, byteOrderMark)
	if utf8.Valid(b) {
		if bytes.Contains(b, []byte("\x1b$")) {
			if s, ok := decode2022(b); ok && !strings.ContainsRune(s, utf8.RuneError) {
				return s
			}
		}
		return string(b)
	}
	good, bad := countUTF8(b)
	if good >= 4*bad || labelled && 4*good >= bad {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	// Short strings carry too little for statistics: Western letters are likeliest.
	if good+bad >= 4 {
		if r, err := chardet.NewTextDetector().DetectBest(b[:min(len(b), 8<<10)]); err == nil && r.Confidence >= 30 {
			if enc := lookupCharset(charsetName(r.Charset)); enc != nil && !strings.HasPrefix(r.Charset, "UTF-") {
				if out, err := enc.NewDecoder().Bytes(b); err == nil {
					return strings.ToValidUTF8(string(out), "\uFFFD")
				}
			}
		}
	}
	out, err := charmap.Windows1252.NewDecoder().Bytes(b)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return string(out)
}

// countUTF8 counts the well-formed multibyte characters and the stray bytes.
func countUTF8(b []byte) (good, bad int) {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n <= 1:
			bad++
		case n > 1:
			good++
		}
		b = b[n:]
	}
	return good, bad
}

func multibyte(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
