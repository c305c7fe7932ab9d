package message

import "strings"

// maxPhrased is over how many bytes a line is none of a program's phrases.
const maxPhrased = 200

// lowLine is a line in lower case, if it is short enough to be a phrase.
func lowLine(l string) string {
	if len(l) > maxPhrased {
		return l
	}
	return strings.ToLower(l)
}

// replyMarker knows the line that help desks put above their text ("reply above
// this line"): it speaks of answering, or is drawn as a border. low is its
// lowLine.
func replyMarker(l, low string) bool {
	return len(l) <= maxPhrased && markerPhrases.in(low) && (containsAny(low, answerWords) || strings.Trim(l[:2], "#-=_*~") == "")
}

var answerWords = []string{"repl", "respon", "answer", "type", "write", "antwort", "schreib", "répon", "écri", "respuesta", "escrib", "rispo", "scriv", "antwoord", "typ", "respost", "escrev", "odpow", "odpis", "odpov", "svar", "skriv"}

var markerPhrases = newPhrases(
	"above this line", "oberhalb dieser zeile", "über dieser zeile", "au-dessus de cette ligne", "encima de esta línea", "sopra questa riga", "boven deze regel", "acima desta linha",
	"powyżej tej linii", "nad tímto řádkem", "ovanför den här raden", "over denne linje", "over denne linjen",
)

// separator knows the lines that mail programs put above a whole older mail.
// low is its lowLine.
func separator(l, low string) bool {
	if len(l) > maxPhrased {
		return false
	}
	low = strings.Trim(low, "*_ ")
	if forwardBegins.begin(low) {
		return strings.HasSuffix(low, ":")
	}
	if !strings.HasPrefix(l, "--") && !strings.HasPrefix(l, "__") && !strings.HasPrefix(l, "==") && !strings.HasPrefix(l, "*-") {
		return false
	}
	return containsAny(low, separatorPhrases)
}

var forwardBegins = newPhrases("begin forwarded message", "anfang der weitergeleiteten", "début du message")

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
// is a sentence that somebody wrote. low is its lowLine.
func device(l, low string) bool {
	const frame = "*_()[]<> "
	if len(l) > 150 || strings.Contains(l, ",") {
		return false
	}
	if devicePhrases.begin(strings.Trim(low, frame)) {
		return true
	}
	bare := strings.Trim(l, frame)
	// "Sent from Mail for Windows", "Sent from my phone", but not "Sent from a
	// friend's": what a program adds names a thing, or calls it the author's own.
	for _, p := range sentFrom {
		if hasPrefixFold(bare, p) && len(bare) > len(p) {
			next := bare[len(p):]
			return hasPrefixFold(next, "my ") || hasPrefixFold(next, "a mobile") || next[0] >= 'A' && next[0] <= 'Z' || smallName(next)
		}
	}
	return false
}

// smallName reports whether s begins with the name of a device that is
// written small.
func smallName(s string) bool {
	return strings.HasPrefix(s, "iP") || strings.HasPrefix(s, "iO") || strings.HasPrefix(s, "iC")
}

var sentFrom = []string{"sent from ", "sent via ", "sent using ", "sent on "}

// The words of legal footers, by what they speak of. A footer speaks of secrecy
// and of the addressee, or of three of these.
var legalWords = []phrases{
	newPhrases("confidential", "privileged", "vertraulich", "confidentiel", "confidencial", "riservat", "vertrouwelijk", "poufn", "důvěrn", "dôvern", "fortrolig", "konfidenti", "luottamuksell", "bizalmas", "confidențial", "конфиденц", "конфіденц", "gizli", "机密", "機密", "기밀"),
	newPhrases("intended recipient", "addressee", "intended solely", "intended only", "named above", "richtige adressat", "vorgesehene empfänger", "bestimmungsgemäße", "adressaten bestimmt", "destinataire", "destinatari", "destinatário", "geadresseerde", "ontvanger", "adresat", "adresáta", "odbiorc", "příjemc", "modtager", "mottagare", "mottaker", "vastaanottaja", "címzett", "destinatarul", "получател", "адресат", "одержувач", "alıcı", "收件人", "受信者", "수신자"),
	newPhrases("received this", "in error", "by mistake", "irrtümlich", "versehentlich", "par erreur", "por error", "por engano", "per errore", "abusievelijk", "per ongeluk", "omyłk", "pomyłk", "przez pomył", "omylem", "ved en feil", "ved en fejl", "av misstag", "erehdyks", "tévedés", "din greșeală", "ошибоч", "помилк", "yanlışlıkla", "误收", "誤って"),
	newPhrases("delete", "destroy", "löschen", "vernichten", "supprimer", "détruire", "eliminar", "elimine", "borrar", "cancellar", "distrugg", "verwijder", "usuni", "skasow", "smazat", "vymazat", "slett", "slet ", "radera", "poista", "törölj", "șterg", "удал", "видал", "silin", "删除", "削除", "삭제"),
}

const (
	minLegal        = 80 // bytes: a short paragraph is somebody's sentence
	maxLegal        = 6000
	maxLegalFooters = 6
)

// maxSignature is how many lines a signature has at most. Below a "--" that has
// more, somebody goes on writing.
const maxSignature = 40

// longSignatures gives back what is too long for a signature.
func (s *splitter) longSignatures() {
	for i := 0; i < len(s.lines); i++ {
		begin, n := i, 0
		for ; i < len(s.lines) && (s.kind[i] == sigLine || s.kind[i] == blankLine); i++ {
			if s.kind[i] == sigLine {
				n++
			}
		}
		for j := begin; n > maxSignature && j < i; j++ {
			if s.kind[j] == sigLine {
				s.kind[j] = ownLine
			}
		}
	}
}

// legalFooter folds paragraphs of legal text at the end of what the author
// wrote.
func (s *splitter) legalFooter() {
	end := len(s.lines)
	for range maxLegalFooters {
		for end > 0 && s.kind[end-1] != ownLine {
			end--
		}
		begin, size := end, 0
		for begin > 0 && s.kind[begin-1] == ownLine {
			begin--
			size += len(s.lines[begin]) + 1
		}
		if size < minLegal || size > maxLegal || !legal(strings.ToLower(strings.Join(s.lines[begin:end], " "))) {
			return
		}
		for i := begin; i < end; i++ {
			s.kind[i] = footerLine
		}
		end = begin
	}
}

func legal(low string) bool {
	var has [4]bool
	n := 0
	for i, words := range legalWords {
		if has[i] = words.in(low); has[i] {
			n++
		}
	}
	return has[0] && has[1] || n >= 3
}

var devicePhrases = newPhrases(
	"sent with proton", "sent with spark", "sent with airmail", "sent with sparrow", "get outlook for ", "sent by mobile",
	"von meinem ", "gesendet von ", "gesendet mit ", "diese nachricht wurde von meinem", "envoyé de mon", "envoyé depuis", "envoyé à partir", "envoyé avec", "télécharger outlook", "enviado desde ", "enviado de mi", "enviado do meu", "enviado a partir", "inviato da", "inviato dal",
	"verzonden vanaf", "verstuurd vanaf", "verzonden met", "verstuurd van", "skickat från", "sendt fra ", "lähetetty ", "wysłane z ", "wysłano z ", "odesláno z", "odoslané z", "отправлено с", "отправлено из", "надіслано з", "trimis de pe", "küldve ", "iphone'umdan gönderildi", "发自我的", "iphoneから送信", "나의 iphone에서",
)
