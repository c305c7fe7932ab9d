package message

import (
	"strings"
	"testing"
)

// TestCharsets: what bytes under a label read as.
func TestCharsets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ what, charset, in, want string }{
		{"utf-8", "utf-8", "Gr\xc3\xbc\xc3\x9fe", "Grüße"},
		{"byte order mark", "utf-8", "\xef\xbb\xbfGr\xc3\xbc\xc3\x9fe", "Grüße"},
		{"utf-8 with one damaged character", "utf-8", "Gr\xc3\xbc\xc3\x9fe \xff aus K\xc3\xb6ln", "Grüße \uFFFD aus Köln"},
		{"utf-8 that is latin1", "utf-8", "Gr\xfc\xdfe", "Grüße"},
		{"latin1 is read as windows-1252", "iso-8859-1", "\x84Hallo\x93 \x80", "„Hallo“ €"},
		{"latin1 that is utf-8", "iso-8859-1", "Gr\xc3\xbc\xc3\x9fe", "Grüße"},
		{"latin9", "ISO-8859-15", "\xa4", "€"},
		{"windows-1250", "windows-1250", "\x8elut\xfd k\xf9\xf2", "Žlutý kůň"},
		{"windows-1251 that is utf-8", "windows-1251", "При", "При"},
		{"cp1251 spelled otherwise", "cp1251", "\xcf\xf0\xe8", "При"},
		{"koi8-r", "KOI8-R", "\xf0\xd2\xc9", "При"},
		{"turkish latin5", "iso-8859-9", "\xdeeker", "Şeker"},
		{"cp850", "cp850", "Gr\x81\xe1e", "Grüße"},
		{"gb2312 is read as gb18030", "gb2312", "\xc4\xe3\xba\xc3 \x81\x30\x84\x32", "你好 \u00a0"},
		{"gb2312 that is utf-8", "gb2312", "你好吗", "你好吗"},
		{"gbk", "gbk", "\x96\x7c", "東"},
		{"hz", "hz-gb-2312", "~{Dc:C~}!", "你好!"},
		{"big5", "big5", "\xa7\x41\xa6\x6e", "你好"},
		{"ks_c_5601 is read as code page 949", "ks_c_5601-1987", "\xbe\xc8\xb3\xe7 \x8c\x63", "안녕 \ub620"},
		{"shift_jis", "x-sjis", "\x82\xb1\x82\xf1", "こん"},
		{"code page 932", "cp932", "\x87\x40", "①"},
		{"euc-jp", "euc-jp", "\xa4\xb3\xa4\xf3", "こん"},
		{"iso-2022-jp", "iso-2022-jp", "a \x1b$B$3$s\x1b(B b", "a こん b"},
		{"iso-2022-jp without end", "iso-2022-jp", "\x1b$B$3$s\n$3", "こん\n$3"},
		{"iso-2022-jp with halfwidth katakana", "cp50221", "\x1b(I1\x1b(B", "ｱ"},
		{"iso-2022-jp with NEC characters", "iso-2022-jp-ms", "\x1b$B-!\x1b(B", "①"},
		{"iso-2022-jp-2 with Chinese and Korean", "iso-2022-jp-2", "\x1b$ADc:C\x1b$(C>HGO\x1b(B", "你好안하"},
		{"iso-2022-jp with JIS X 0212", "iso-2022-jp-1", "\x1b$(D0!\x1b(B", "丂"},
		{"iso-2022-jp that is utf-8", "iso-2022-jp", "送信", "送信"},
		{"iso-2022-jp that is euc-jp", "iso-2022-jp", strings.Repeat("\xa4\xb3\xa4\xf3\xa4\xcb\xa4\xc1\xa4\xcf\xa1\xa3", 5), strings.Repeat("こんにちは。", 5)},
		{"iso-2022-jp without a label", "", "\x1b$B$3$s\x1b(B", "こん"},
		{"iso-2022-kr", "iso-2022-kr", "\x1b$)C\x0e>H3g\x0f ok", "안녕 ok"},
		{"iso-2022-cn", "iso-2022-cn", "\x1b$)A\x0eDc:C\x0f", "你好"},
		{"utf-16 with mark", "utf-16", "\xff\xfea\x00\xfc\x00", "aü"},
		{"utf-16 without mark", "utf-16", "a\x00b\x00\xfc\x00", "abü"},
		{"utf-16be", "utf-16be", "\x00a\x00\xfc", "aü"},
		{"utf-7 is never decoded", "utf-7", "+ADw-script+AD4-", "+ADw-script+AD4-"},
		{"utf-7 under another name", "unicode-1-1-utf-7", "+ADw-", "+ADw-"},
		{"no charset, latin1", "", "Gr\xfc\xdfe", "Grüße"},
		{"us-ascii that is not", "us-ascii", "Gr\xfc\xdfe", "Grüße"},
		{"unknown charset", "x-martian", "Gr\xc3\xbc\xc3\x9fe", "Grüße"},
		{"no charset, Russian", "", strings.Repeat("\xcf\xf0\xe8\xe2\xe5\xf2, \xea\xe0\xea \xe4\xe5\xeb\xe0? ", 6), strings.Repeat("Привет, как дела? ", 6)},
		{"no charset, Japanese", "", strings.Repeat("\x82\xb1\x82\xf1\x82\xc9\x82\xbf\x82\xcd\x81A\x83v\x83\x8a\x83\x93\x83^\x81[\x82\xaa\x93\xae\x82\xab\x82\xdc\x82\xb9\x82\xf1\x81B", 3), strings.Repeat("こんにちは、プリンターが動きません。", 3)},
		{"a charset with a language", "utf-8*de", "ü", "ü"},
		{"a quoted charset", `"utf-8"`, "ü", "ü"},
	} {
		if got := toUTF8([]byte(c.in), c.charset); got != c.want {
			t.Errorf("%s: %q as %q gives %q, want %q", c.what, c.in, c.charset, got, c.want)
		}
	}
}
