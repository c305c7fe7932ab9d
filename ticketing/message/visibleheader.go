package message

import "strings"

// What a line of a quoted header block says.
const (
	saysFrom = 1 << iota
	saysDate
	saysTo
	saysSubject
)

// maxBlock is over how many lines a quoted header block is looked for.
const maxBlock = 8

// headerBlock reports whether line i begins the header that Outlook and its
// like put above a quoted mail: at least three different fields, one of them
// the author, in any language known here; and a subject, or somebody's address.
// "From: Berlin, To: Rome, Date: Friday" is a journey.
func (s *splitter) headerBlock(i int) bool {
	seen := blockField(s.lines[i])
	if seen == 0 {
		return false
	}
	n, address := 1, strings.Contains(s.lines[i], "@")
	for j := i + 1; j < len(s.lines) && j < i+maxBlock; j++ {
		s.looks++
		f := blockField(s.lines[j])
		if f == 0 {
			if strings.TrimSpace(s.lines[j]) == "" && n > 1 {
				break
			}
			continue // a folded value, or a field we have no name for
		}
		address = address || strings.Contains(s.lines[j], "@")
		if seen&f == 0 {
			seen |= f
			n++
		}
	}
	return n >= 3 && seen&saysFrom != 0 && (seen&saysSubject != 0 || address)
}

// labels returns how many lines from i on have the form of a header block in a
// language we have no words of: at least three labels with values, one of them
// an address or a day. Forms look the same, so it counts only above what is
// known to be a copy.
func (s *splitter) labels(i int) int {
	n, telling := 0, false
	for ; n < maxBlock && i+n < len(s.lines); n++ {
		s.looks++
		l := strings.Trim(s.lines[i+n], " \t*_|\u200e")
		name, value, ok := strings.Cut(l[:min(len(l), 300)], ":")
		if !ok || name == "" || len(name) > 40 || strings.TrimSpace(value) == "" || strings.Count(strings.TrimSpace(name), " ") > 2 {
			break
		}
		telling = telling || strings.Contains(value, "@") || hasYear(value)
	}
	if n < 3 || !telling {
		return 0
	}
	return n
}

// blockField returns what a line names: From, Date, To or Subject, else 0.
func blockField(l string) int {
	l = strings.TrimLeft(l, " \t*_|")
	name, rest, ok := strings.Cut(l[:min(len(l), 64)], ":")
	if !ok {
		if name, rest, ok = strings.Cut(l[:min(len(l), 64)], "："); !ok {
			return 0
		}
	}
	_ = rest
	return blockNames[strings.ToLower(strings.Trim(name, " \t*_\u00a0"))]
}

var blockNames = map[string]int{
	"from": saysFrom, "von": saysFrom, "de": saysFrom, "da": saysFrom, "van": saysFrom, "från": saysFrom, "fra": saysFrom, "od": saysFrom, "lähettäjä": saysFrom, "feladó": saysFrom, "от": saysFrom, "від": saysFrom, "kimden": saysFrom, "gönderen": saysFrom,
	"expéditeur": saysFrom, "remitente": saysFrom, "mittente": saysFrom, "remetente": saysFrom, "nadawca": saysFrom, "odesílatel": saysFrom, "afzender": saysFrom, "从": saysFrom, "发件人": saysFrom, "寄件者": saysFrom, "差出人": saysFrom, "보낸 사람": saysFrom, "από": saysFrom, "từ": saysFrom, "de la": saysFrom,

	"date": saysDate, "sent": saysDate, "datum": saysDate, "gesendet": saysDate, "gesendet am": saysDate, "envoyé": saysDate, "fecha": saysDate, "enviado": saysDate, "enviado el": saysDate, "enviada em": saysDate, "data": saysDate, "message du": saysDate, "inviato": saysDate, "verzonden": saysDate, "skickat": saysDate, "datum ": saysDate,
	"sendt": saysDate, "dato": saysDate, "wysłano": saysDate, "wysłane": saysDate, "odesláno": saysDate, "odoslané": saysDate, "lähetetty": saysDate, "päivä": saysDate, "küldve": saysDate, "dátum": saysDate, "отправлено": saysDate, "дата": saysDate, "gönderildi": saysDate, "tarih": saysDate, "发送时间": saysDate, "日期": saysDate, "送信日時": saysDate, "日時": saysDate, "날짜": saysDate, "보낸 날짜": saysDate, "ημερομηνία": saysDate, "trimis": saysDate, "date sent": saysDate, "ngày": saysDate,

	"to": saysTo, "an": saysTo, "à": saysTo, "para": saysTo, "a": saysTo, "aan": saysTo, "till": saysTo, "til": saysTo, "do": saysTo, "komu": saysTo, "pro": saysTo, "vastaanottaja": saysTo, "címzett": saysTo, "кому": saysTo, "kime": saysTo, "alıcı": saysTo, "收件人": saysTo, "收件者": saysTo, "宛先": saysTo, "받는 사람": saysTo, "προς": saysTo, "către": saysTo, "đến": saysTo,
	"destinataire": saysTo, "destinatario": saysTo, "destinatário": saysTo, "adresat": saysTo, "cc": saysTo, "copie à": saysTo, "kopie": saysTo, "kopia": saysTo, "dw": saysTo,

	"subject": saysSubject, "betreff": saysSubject, "objet": saysSubject, "sujet": saysSubject, "asunto": saysSubject, "oggetto": saysSubject, "onderwerp": saysSubject, "assunto": saysSubject, "ämne": saysSubject, "emne": saysSubject, "temat": saysSubject, "předmět": saysSubject, "predmet": saysSubject, "aihe": saysSubject, "tárgy": saysSubject, "тема": saysSubject, "konu": saysSubject, "主题": saysSubject, "主旨": saysSubject, "件名": saysSubject, "제목": saysSubject, "θέμα": saysSubject, "subiect": saysSubject, "chủ đề": saysSubject, "re": saysSubject,
}
