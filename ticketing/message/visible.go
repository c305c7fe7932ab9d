package message

import "strings"

// VisibleText splits a text into what the author newly wrote and the rest:
// the quoted history below it, signatures after "-- ", lines such as "Sent from
// my phone". Quotes that the author answered in between stay visible, because
// the answers mean nothing without them. A text that would be empty stays
// visible whole. Nothing is lost: every line is in one of the two. The time
// taken is linear in the length.
func VisibleText(text string) (visible, quoted string) {
	s := splitter{lines: strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")}
	s.classify()
	s.foldTail()
	var vis, quo []string
	some := false
	for i, l := range s.lines {
		if s.folded[i] {
			quo = append(quo, l)
			continue
		}
		some = some || s.kind[i] == ownLine
		vis = append(vis, l)
	}
	if !some {
		return text, ""
	}
	return trimLines(vis), trimLines(quo)
}

// trimLines joins lines without the blank ones at both ends.
func trimLines(lines []string) string {
	for len(lines) > 0 && strings.TrimSpace(lines[0]) == "" {
		lines = lines[1:]
	}
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	return strings.Join(lines, "\n")
}

type lineKind uint8

const (
	ownLine lineKind = iota
	blankLine
	quoteLine   // begins with >
	introLine   // "On … wrote:" above quoted lines
	sigLine     // "-- " and what follows it
	deviceLine  // "Sent from my iPhone"
	ruleLine    // a line of dashes or underscores
	historyLine // from here on everything is an older mail
)

type splitter struct {
	lines  []string
	kind   []lineKind
	folded []bool
}

// maxIntroLines is over how many lines mail programs wrap "On … wrote:".
const maxIntroLines = 4

func (s *splitter) classify() {
	n := len(s.lines)
	s.kind, s.folded = make([]lineKind, n), make([]bool, n)
	own, sig := false, false
	for i := 0; i < n; i++ {
		trim := strings.TrimSpace(s.lines[i])
		switch {
		case trim == "":
			s.kind[i] = blankLine
			continue
		case strings.HasPrefix(trim, ">"):
			s.kind[i], sig = quoteLine, false
			continue
		case replyMarker(trim) || separator(trim) || s.headerBlock(i):
			s.history(i)
			return
		}
		if k := s.intro(i); k > 0 {
			if !s.quoteFollows(i + k) {
				s.history(i)
				return
			}
			for j := i; j < i+k; j++ {
				s.kind[j] = introLine
			}
			i, sig = i+k-1, false
			continue
		}
		switch {
		case own && (trim == "--" || s.lines[i] == "-- " || s.listFooter(i, trim)):
			sig = true
			s.kind[i] = sigLine
		case sig:
			s.kind[i] = sigLine
		case rule(trim):
			s.kind[i] = ruleLine
		case device(trim):
			s.kind[i] = deviceLine
		default:
			own = true
		}
	}
}

// history marks everything from line i on as older mail.
func (s *splitter) history(i int) {
	for ; i < len(s.lines); i++ {
		s.kind[i] = historyLine
	}
}

// foldTail folds what stands below the author's last own line, and signatures
// wherever they are.
func (s *splitter) foldTail() {
	i := len(s.lines) - 1
	for ; i >= 0 && s.kind[i] != ownLine; i-- {
		s.folded[i] = true
	}
	end := i
	for ; i >= 0; i-- {
		s.folded[i] = s.kind[i] == sigLine
	}
	s.foldHead(end)
}

// foldHead folds a quote that stands above everything the author wrote, unless
// other quotes follow: then it is the first of several that are answered in
// turn.
func (s *splitter) foldHead(end int) {
	head := 0
	for head <= end && (s.kind[head] == quoteLine || s.kind[head] == introLine || s.kind[head] == blankLine) {
		head++
	}
	for i := head; i <= end; i++ {
		if s.kind[i] == quoteLine {
			return
		}
	}
	for i := 0; i < head && head <= end; i++ {
		s.folded[i] = true
	}
}

// quoteFollows reports whether the next line with text is a quoted one.
func (s *splitter) quoteFollows(i int) bool {
	for ; i < len(s.lines); i++ {
		if trim := strings.TrimSpace(s.lines[i]); trim != "" {
			return trim[0] == '>'
		}
	}
	return false
}

// intro returns how many lines from i on are an attribution ("On … wrote:"), 0
// if they are none. One that goes over several lines must begin like one.
func (s *splitter) intro(i int) int {
	joined := ""
	for k := 0; k < maxIntroLines && i+k < len(s.lines); k++ {
		l := strings.TrimSpace(s.lines[i+k])
		if l == "" || l[0] == '>' || len(l) > 300 {
			return 0
		}
		if k > 0 {
			joined += " "
		} else if !endsIntro(l) && (!strings.ContainsAny(l, "0123456789@") || !startsIntro(strings.ToLower(bareIntro(l)))) {
			return 0
		}
		joined += l
		if endsIntro(l) && isIntro(joined) {
			return k + 1
		}
	}
	return 0
}

// bareIntro drops the marks that mail programs put around an attribution.
func bareIntro(l string) string { return strings.Trim(l, " -*_\"\u200e\u200f") }

func endsIntro(l string) bool {
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

// hasTime finds a time of day, 9:05 or 14.20.
func hasTime(s string) bool {
	for i := 1; i+2 < len(s); i++ {
		if (s[i] == ':' || s[i] == '.') && digit(s[i-1]) && digit(s[i+1]) && digit(s[i+2]) {
			return true
		}
	}
	return false
}

func startsIntro(low string) bool {
	if low == "" || digit(low[0]) {
		return low != ""
	}
	for _, p := range introStarts {
		if strings.HasPrefix(low, p) {
			return true
		}
	}
	return false
}

var introStarts = []string{
	"on ", "at ", "am ", "le ", "el ", "il ", "op ", "em ", "no dia ", "den ", "d. ", "på ", "w dniu ", "dnia ", "dne ", "pe ", "la ", "в ", "во ", "у ", "kl. ", "vào ", "a ", "în ", "ons", "tor", "fre", "lör", "sön", "mån", "tis",
	"mon", "tue", "wed", "thu", "fri", "sat", "sun", "man", "tir", "lør", "søn", "lun", "mar", "mer", "jeu", "ven", "sam", "dim", "mié", "jue", "vie", "sáb", "dom", "seg", "ter", "qua", "qui", "sex", "mo.", "di.", "mi.", "do.", "fr.", "sa.", "so.", "pon", "wt.", "śr.", "czw", "pt.", "sob", "niedz",
	"在", "於", "于", "dana ", "hi ", "quoting ", "zitat von ", "citando ", "citat ",
}

var introVerbs = []string{
	"wrote", "writes", "schrieb", "geschrieben", "a écrit", "écrit :", "escribió", "escribio", "ha scritto", "scritto:", "schreef", "escreveu", "skrev", "skrifaði", "napisał", "napisała", "pisze:", "napsal", "napísal", "kirjoitti", "írta", "a scris",
	"написал", "пишет", "писал", "написав", "yazdı", "đã viết", "写道", "寫道", "写道:", "のメール", "書きました", "wrote", "작성", "έγραψε", "schrieb:", "je napisao", "quoting ", "zitat von ", "citando ", "citat ", "a írt", "rašė", "rakstīja", "kirjutas", "menulis",
}

// replyMarker knows the line that help desks put above their text ("reply above
// this line").
func replyMarker(l string) bool {
	if len(l) > 200 {
		return false
	}
	return containsAny(strings.ToLower(l), markerPhrases)
}

var markerPhrases = []string{
	"above this line", "oberhalb dieser zeile", "über dieser zeile", "au-dessus de cette ligne", "encima de esta línea", "sopra questa riga", "boven deze regel", "acima desta linha",
	"powyżej tej linii", "nad tímto řádkem", "ovanför den här raden", "over denne linje", "over denne linjen",
}

// separator knows the lines that mail programs put above a whole older mail.
func separator(l string) bool {
	if len(l) > 200 {
		return false
	}
	low := strings.ToLower(strings.Trim(l, "*_ "))
	if strings.HasPrefix(low, "begin forwarded message") || strings.HasPrefix(low, "anfang der weitergeleiteten") || strings.HasPrefix(low, "début du message") {
		return strings.HasSuffix(low, ":")
	}
	if !strings.HasPrefix(l, "--") && !strings.HasPrefix(l, "__") && !strings.HasPrefix(l, "==") && !strings.HasPrefix(l, "*-") {
		return false
	}
	return containsAny(low, separatorPhrases)
}

var separatorPhrases = []string{
	"original message", "original appointment", "reply message", "forwarded message", "forwarded by", "ursprüngliche nachricht", "ursprüngliche mail", "originalnachricht", "original-nachricht", "original nachricht", "weitergeleitete nachricht",
	"message d'origine", "message original", "message d’origine", "message transféré", "mensaje original", "mensaje reenviado", "messaggio originale", "messaggio inoltrato", "oorspronkelijk bericht", "doorgestuurd bericht",
	"mensagem original", "mensagem encaminhada", "ursprungligt meddelande", "vidarebefordrat", "oprindelig meddelelse", "oprindelig besked", "opprinnelig melding", "alkuperäinen viesti", "wiadomość oryginalna", "oryginalna wiadomość", "wiadomość przekazana", "przekazana wiadomość",
	"původní zpráva", "přeposlaná zpráva", "pôvodná správa", "eredeti üzenet", "mesaj original", "исходное сообщение", "пересылаемое сообщение", "оригинальное сообщение", "orijinal mesaj", "原始邮件", "原始郵件", "转发邮件", "元のメッセージ", "원본 메시지", "original email",
}

// listFooter: mailing lists add a line of underscores and then their name.
func (s *splitter) listFooter(i int, trim string) bool {
	return len(trim) >= 2 && strings.Trim(trim, "_") == "" && i+1 < len(s.lines) && strings.Contains(strings.ToLower(s.lines[i+1]), "mailing list")
}

// rule is a line that only draws: it divides, and says nothing.
func rule(l string) bool {
	return len(l) >= 3 && strings.Trim(l, "_-=*─—– ") == ""
}

// device knows the lines that phones and mail programs add. A line with a comma
// is a sentence that somebody wrote.
func device(l string) bool {
	if len(l) > 150 || strings.Contains(l, ",") {
		return false
	}
	low := strings.ToLower(strings.Trim(l, "*_()[]<> "))
	for _, p := range devicePhrases {
		if strings.HasPrefix(low, p) {
			return true
		}
	}
	return false
}

var devicePhrases = []string{
	"sent from ", "sent via ", "sent with proton", "sent using ", "get outlook for ", "sent by mobile",
	"von meinem ", "gesendet von ", "gesendet mit ", "diese nachricht wurde von meinem", "envoyé de mon", "envoyé depuis", "envoyé à partir", "envoyé avec", "télécharger outlook", "enviado desde ", "enviado de mi", "enviado do meu", "enviado a partir", "inviato da", "inviato dal",
	"verzonden vanaf", "verstuurd vanaf", "verzonden met", "verstuurd van", "skickat från", "sendt fra ", "lähetetty ", "wysłane z ", "wysłano z ", "odesláno z", "odoslané z", "отправлено с", "отправлено из", "надіслано з", "trimis de pe", "küldve ", "iphone'umdan gönderildi", "发自我的", "iphoneから送信", "나의 iphone에서",
}
