package message

import "strings"

// maxIntroLines is over how many lines mail programs wrap "On … wrote:".
const maxIntroLines = 4

// intro returns how many lines from i on are an attribution ("On … wrote:"), 0
// if they are none. One that goes over several lines must begin like one. It is
// sure if it has a verb of writing and says when to the minute or names an
// address: then it needs no quote marks below.
func (s *splitter) intro(i int) (lines int, sure bool) {
	joined := ""
	for k := 0; k < maxIntroLines && i+k < len(s.lines); k++ {
		s.looks++
		l := strings.TrimSpace(s.lines[i+k])
		if l == "" || len(l) > 300 || l[0] == '>' && !closesAddress(joined, l) {
			return 0, false
		}
		if k > 0 {
			joined += " "
		} else if !endsIntro(l) && (!startsLikeIntro(l) || !strings.ContainsAny(l, "0123456789@")) {
			return 0, false
		}
		joined += l
		if endsIntro(l) && isIntro(joined) {
			return k + 1, strings.Contains(joined, "@") || hasTime(joined) && hasYear(joined)
		}
		if endsIntro(l) && strings.Contains(joined, "@") && hasTime(joined) {
			return k + 1, false // in a language we have no words of
		}
		if k == 0 && endsIntro(l) && !startsLikeIntro(l) {
			return 0, false
		}
	}
	return 0, false
}

// closesAddress reports whether a line that begins with > only ends the address
// that the lines before have begun.
func closesAddress(before, l string) bool {
	return strings.LastIndexByte(before, '<') > strings.LastIndexByte(before, '>') && endsIntro(l)
}

// looseIntro is a line that could introduce a quotation in a language we have no
// words of: it ends with a colon, and names an address or a day and a time. It
// counts only above what is known to be a copy.
func looseIntro(l string) bool {
	l = bareIntro(l)
	return len(l) > 0 && len(l) <= 300 && (strings.HasSuffix(l, ":") || strings.HasSuffix(l, "：")) && (strings.Contains(l, "@") || hasTime(l) && hasYear(l))
}

// hasYear finds four digits that may be a year of our time, in a row by
// themselves.
func hasYear(s string) bool {
	run := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && digit(s[i]) {
			run++
			continue
		}
		if run == 4 && (s[i-4] == '2' && s[i-3] == '0' || s[i-4] == '1' && s[i-3] == '9' || s[i-4] == '2' && s[i-3] == '5') {
			return true
		}
		run = 0
	}
	return false
}

// bareIntro drops the marks that mail programs put around an attribution.
func bareIntro(l string) string { return strings.Trim(l, " -*_\"\u200e\u200f") }

func endsIntro(l string) bool {
	if c := l[len(l)-1]; c != ':' && c != 'e' && c < 0x80 && strings.IndexByte(" -*_\"", c) < 0 {
		return false
	}
	l = bareIntro(l)
	return strings.HasSuffix(l, ":") || strings.HasSuffix(l, "：") || strings.HasSuffix(l, " wrote")
}

// isIntro: a line that begins as attributions do, holds a verb of writing and
// says when or who by a digit or an address; or a time followed by an address.
func isIntro(l string) bool {
	low := strings.ToLower(bareIntro(l))
	address := strings.Contains(low, "@")
	if low == "" || !address && !strings.ContainsAny(low, "0123456789") {
		return false
	}
	if containsAny(low, introVerbs) && (address || startsIntro(low)) {
		return true
	}
	// "Wed, 17 Nov 2021, 3:32 PM +0300 from Anna <anna@example.com>:"
	return address && strings.Contains(low, "<") && (strings.HasSuffix(low, ">:") || strings.HasSuffix(low, "> :")) && hasTime(low)
}

// hasTime finds a time of day, 9:05, 14.20 or 9:05:30, that is no part of a
// longer number, a day or an address of a host.
func hasTime(s string) bool {
	for i := 1; i+2 < len(s); i++ {
		if s[i] != ':' && s[i] != '.' || !digit(s[i-1]) || s[i+1] < '0' || s[i+1] > '5' || !digit(s[i+2]) {
			continue
		}
		from, to := i-1, i+3
		if from > 0 && digit(s[from-1]) {
			from--
		}
		if from > 0 && (digit(s[from-1]) || s[from-1] == '.' || s[from-1] == ':') || to < len(s) && digit(s[to]) {
			continue
		}
		if to+1 < len(s) && s[to] == '.' && digit(s[to+1]) || i-from == 2 && s[from] > '2' {
			continue
		}
		return true
	}
	return false
}

func startsIntro(low string) bool {
	return low != "" && digit(low[0]) || introStarts.begin(low)
}

// startsLikeIntro is startsIntro of a line as it stands.
func startsLikeIntro(l string) bool {
	l = bareIntro(l)
	return startsIntro(strings.ToLower(l[:min(len(l), longestStart)]))
}

// longestStart is enough of a line to see how it starts.
const longestStart = 40

var introStarts = newPhrases(
	"on ", "at ", "am ", "le ", "el ", "il ", "op ", "em ", "no dia ", "den ", "d. ", "på ", "w dniu ", "dnia ", "dne ", "pe ", "la ", "в ", "во ", "у ", "kl. ", "vào ", "a ", "în ", "ons", "tor", "fre", "lör", "sön", "mån", "tis",
	"mon", "tue", "wed", "thu", "fri", "sat", "sun", "man", "tir", "lør", "søn", "lun", "mar", "mer", "jeu", "ven", "sam", "dim", "mié", "jue", "vie", "sáb", "dom", "seg", "ter", "qua", "qui", "sex", "mo.", "di.", "mi.", "do.", "fr.", "sa.", "so.", "pon", "wt.", "śr.", "czw", "pt.", "sob", "niedz",
	"在", "於", "于", "dana ", "hi ", "quoting ", "zitat von ", "citando ", "citat ",
)

var introVerbs = []string{
	"wrote", "writes", "schrieb", "geschrieben", "a écrit", "écrit :", "escribió", "escribio", "ha scritto", "scritto:", "schreef", "escreveu", "skrev", "skrifaði", "napisał", "napisała", "pisze:", "napsal", "napísal", "kirjoitti", "írta", "a scris",
	"написал", "пише", "писал", "написав", "yazdı", "đã viết", "写道", "寫道", "写道:", "のメール", "書きました", "wrote", "작성", "έγραψε", "schrieb:", "je napisao", "quoting ", "zitat von ", "citando ", "citat ", "a írt", "rašė", "rakstīja", "kirjutas", "menulis",
}
