package message

import (
	"io"
	"strings"
)

// Forwarded is a mail that somebody passed on inside his own.
type Forwarded struct {
	From    Address // its author
	Subject string  // "" if it is not told
	ID      string  // its Message-ID, "" if it is not told
	Text    string  // its text
	Remark  string  // what the forwarder wrote above it
	File    *Part   // the attachment it is; nil if it is quoted in the text
}

// Forward finds the mail that m passes on: the first attached message/rfc822
// whose author can be read, else the mail quoted below a header block in one of
// the languages mail programs write them in (among them en, de, es, fr, it, nl,
// pl, pt, sv, da, nb and cs). It returns nil if m passes nothing on: the subject
// must say so, by a word such as Fwd or WG or by being that of the attached
// mail, or the text must, by a line such as "Forwarded message".
//
// What stands in a quoted header block, anybody can type. The caller decides
// whom to believe.
func Forward(m *Mail) *Forwarded {
	subject := m.Header.Text("Subject")
	passed := ForwardSubject(subject)
	for _, p := range m.Attachments() {
		if !isMessage(p.Type) {
			continue
		}
		if f := m.attachedMail(p); f != nil && (passed || PlainSubject(subject) == PlainSubject(f.Subject)) {
			f.Remark, _ = VisibleText(m.Text())
			return f
		}
	}
	f, said := quotedMail(m.Text())
	if f == nil || !passed && !said {
		return nil
	}
	return f
}

// attachedMail reads an attached mail, nil if its author cannot be named.
func (m *Mail) attachedMail(p *Part) *Forwarded {
	raw, err := io.ReadAll(io.LimitReader(m.Open(p), int64(m.limits().Text)))
	if err != nil {
		return nil
	}
	inner, err := Parse(strings.NewReader(string(raw)), int64(len(raw)), m.lim)
	if err != nil {
		return nil
	}
	from := inner.Header.Addresses("From")
	if len(from) != 1 || !strings.Contains(from[0].Addr, "@") {
		return nil
	}
	f := &Forwarded{From: from[0], Subject: inner.Header.Text("Subject"), Text: inner.Text(), File: p}
	if ids := inner.Header.IDs("Message-ID"); len(ids) > 0 {
		f.ID = ids[0]
	}
	return f
}

// Fields of a quoted header block.
const (
	fieldFrom = iota + 1
	fieldDate
	fieldTo
	fieldCc
	fieldSubject
	fieldReplyTo
)

// forwardFields are the names of fields as mail programs translate them, folded.
var forwardFields = map[string]int{
	"from": fieldFrom, "von": fieldFrom, "de": fieldFrom, "da": fieldFrom, "van": fieldFrom, "od": fieldFrom, "från": fieldFrom, "fra": fieldFrom,
	"lähettäjä": fieldFrom, "feladó": fieldFrom, "kimden": fieldFrom, "gönderen": fieldFrom, "от": fieldFrom, "від": fieldFrom, "από": fieldFrom,
	"expéditeur": fieldFrom, "expediteur": fieldFrom, "mittente": fieldFrom, "remitente": fieldFrom, "remetente": fieldFrom, "afzender": fieldFrom, "absender": fieldFrom,
	"nadawca": fieldFrom, "odesílatel": fieldFrom, "avsändare": fieldFrom, "afsender": fieldFrom, "avsender": fieldFrom, "de la": fieldFrom,
	"发件人": fieldFrom, "寄件者": fieldFrom, "差出人": fieldFrom, "보낸 사람": fieldFrom,

	"date": fieldDate, "sent": fieldDate, "datum": fieldDate, "gesendet": fieldDate, "gesendet am": fieldDate, "fecha": fieldDate, "enviado": fieldDate, "enviado el": fieldDate,
	"enviado em": fieldDate, "enviada": fieldDate, "enviada em": fieldDate, "envoyé": fieldDate, "envoyé le": fieldDate, "data": fieldDate, "inviato": fieldDate,
	"verzonden": fieldDate, "wysłano": fieldDate, "wysłane": fieldDate, "skickat": fieldDate, "sendt": fieldDate, "dato": fieldDate, "odesláno": fieldDate,
	"lähetetty": fieldDate, "päiväys": fieldDate, "elküldve": fieldDate, "dátum": fieldDate, "gönderildi": fieldDate, "tarih": fieldDate, "дата": fieldDate, "отправлено": fieldDate,
	"надіслано": fieldDate, "ημερομηνία": fieldDate, "发送时间": fieldDate, "日期": fieldDate, "送信日時": fieldDate, "보낸 날짜": fieldDate, "trimis": fieldDate,

	"to": fieldTo, "an": fieldTo, "para": fieldTo, "à": fieldTo, "a": fieldTo, "aan": fieldTo, "do": fieldTo, "till": fieldTo, "til": fieldTo, "komu": fieldTo, "pro": fieldTo,
	"destinataire": fieldTo, "destinatario": fieldTo, "destinatário": fieldTo, "empfänger": fieldTo, "adresat": fieldTo, "vastaanottaja": fieldTo, "címzett": fieldTo,
	"kime": fieldTo, "alıcı": fieldTo, "кому": fieldTo, "προς": fieldTo, "către": fieldTo, "收件人": fieldTo, "宛先": fieldTo, "받는 사람": fieldTo,

	"cc": fieldCc, "kopie": fieldCc, "kopia": fieldCc, "kopi": fieldCc, "copia": fieldCc, "cópia": fieldCc, "dw": fieldCc, "ud": fieldCc, "копия": fieldCc, "抄送": fieldCc,

	"subject": fieldSubject, "betreff": fieldSubject, "asunto": fieldSubject, "objet": fieldSubject, "sujet": fieldSubject, "oggetto": fieldSubject, "onderwerp": fieldSubject,
	"temat": fieldSubject, "assunto": fieldSubject, "ämne": fieldSubject, "emne": fieldSubject, "předmět": fieldSubject, "predmet": fieldSubject, "aihe": fieldSubject,
	"tárgy": fieldSubject, "konu": fieldSubject, "тема": fieldSubject, "θέμα": fieldSubject, "subiect": fieldSubject, "主题": fieldSubject, "主旨": fieldSubject, "件名": fieldSubject, "제목": fieldSubject,

	"reply-to": fieldReplyTo, "antwort an": fieldReplyTo, "répondre à": fieldReplyTo, "responder a": fieldReplyTo,
}

// forwardWords are in the lines that programs put above a mail they pass on,
// folded; those they put above one they answer are not among them.
var forwardWords = []string{
	"forwarded message", "begin forwarded", "forwarded by", "weitergeleitete nachricht", "weitergeleitete e-mail", "anfang der weitergeleiteten", "mensaje reenviado", "inicio del mensaje reenviado",
	"message transféré", "message transmis", "début du message", "début du message réexpédié", "messaggio inoltrato", "inizio messaggio inoltrato", "doorgestuurd bericht", "begin doorgestuurd",
	"wiadomość przekazana", "przekazana wiadomość", "początek przekazywanej", "mensagem encaminhada", "mensagem reencaminhada", "início da mensagem", "vidarebefordrat meddelande", "vidarebefordrat brev", "vidarebefordrat mejl",
	"videresendt meddelelse", "videresendt besked", "videresendt melding", "videresendt e-post", "přeposlaná zpráva", "předávaná zpráva", "přeposlaný e-mail", "välitetty viesti", "továbbított üzenet",
	"iletilen ileti", "iletilmiş ileti", "пересылаемое сообщение", "переслане повідомлення", "προωθημένο μήνυμα", "mesaj redirecționat", "转发的邮件", "转发邮件", "転送されたメッセージ", "전달된 메시지",
}

// Bounds of the search: a block further down belongs to an older mail.
const (
	maxForwardLines = 4000
	maxBlockLines   = 14
)

// quotedMail finds the first header block of a text and reads the mail below
// it; said tells that a line above the block says that the mail is passed on.
func quotedMail(text string) (f *Forwarded, said bool) {
	lines := strings.SplitN(strings.ReplaceAll(text, "\r\n", "\n"), "\n", maxForwardLines)
	for i := range lines {
		l := bareLine(lines[i])
		if l == "" {
			continue
		}
		if forwardLine(l) {
			said = true
		}
		if name, _ := blockLine(l); name == 0 {
			continue
		}
		f, end := readBlock(lines, i)
		if f == nil {
			continue
		}
		above := i
		for above > 0 && dividesForward(lines[above-1]) {
			above--
		}
		f.Remark, _ = VisibleText(strings.Join(lines[:above], "\n"))
		f.Remark = strings.TrimSpace(f.Remark)
		f.Text = unquoted(lines[end:], strings.HasPrefix(strings.TrimSpace(lines[i]), ">"))
		return f, said
	}
	return nil, false
}

// bareLine is a line without quote marks, bold marks and invisible characters.
func bareLine(l string) string {
	l = strings.TrimLeft(l, "> \t\u00a0\u200e\u200f\ufeff")
	return strings.TrimSpace(strings.ReplaceAll(l, "*", ""))
}

// dividesForward reports whether a line belongs to the border above a passed-on
// mail and not to what is said about it.
func dividesForward(line string) bool {
	bare, trim := bareLine(line), strings.TrimSpace(line)
	return bare == "" || forwardLine(bare) || separator(trim, lowLine(trim)) || rule(bare)
}

func forwardLine(l string) bool {
	return len(l) < 200 && containsAny(strings.ToLower(l), forwardWords)
}

// blockLine splits "Von: Anna <anna@…>" into a field and its value.
func blockLine(l string) (field int, value string) {
	at := strings.IndexAny(l, ":：")
	if at <= 0 || at > 40 {
		return 0, ""
	}
	name := strings.ToLower(strings.Trim(l[:at], " \t\u00a0_"))
	value = strings.TrimPrefix(strings.TrimPrefix(l[at:], ":"), "：")
	return forwardFields[name], strings.TrimSpace(value)
}

// readBlock reads a header block that begins at line i and says where the mail
// below begins. A block names an author with an address and at least two of
// date, recipient and subject; its values may be wrapped.
func readBlock(lines []string, i int) (f *Forwarded, end int) {
	values := map[int]string{}
	last := 0
	for end = i; end < len(lines) && end < i+maxBlockLines; end++ {
		l := bareLine(lines[end])
		field, value := blockLine(l)
		switch {
		case l == "":
			// Some programs leave a blank line between the fields.
			if end+1 >= len(lines) {
				goto done
			}
			if next, _ := blockLine(bareLine(lines[end+1])); next == 0 || values[next] != "" {
				goto done
			}
			continue
		case field != 0 && values[field] != "":
			goto done
		case field != 0:
			values[field], last = value+" ", field
		case last == fieldTo || last == fieldCc || last == fieldFrom || last == fieldSubject || last == fieldDate:
			values[last] += l + " "
		default:
			goto done
		}
	}
done:
	others := 0
	for _, field := range []int{fieldDate, fieldTo, fieldSubject} {
		if _, ok := values[field]; ok {
			others++
		}
	}
	from, ok := blockAddress(values[fieldFrom])
	if !ok || others < 2 {
		return nil, 0
	}
	return &Forwarded{From: from, Subject: strings.TrimSpace(values[fieldSubject])}, end
}

// blockAddress reads "Anna <anna@x>", "Anna [mailto:anna@x]" and "anna@x", with
// what programs add to them.
func blockAddress(v string) (Address, bool) {
	v = strings.Join(strings.Fields(v), " ")
	for _, c := range []struct{ open, end string }{{"[mailto:", "]"}, {"<mailto:", ">"}, {"<", ">"}, {"[", "]"}, {"(", ")"}} {
		at := strings.Index(v, c.open)
		if at < 0 {
			continue
		}
		rest := v[at+len(c.open):]
		to := strings.Index(rest, c.end)
		if to < 0 {
			continue
		}
		a, err := ParseAddress(strings.TrimPrefix(strings.TrimSpace(rest[:to]), "mailto:"))
		if err != nil {
			continue
		}
		a.Name = strings.Trim(strings.TrimSpace(v[:at]), `"' `)
		if strings.Contains(a.Name, "@") {
			a.Name = ""
		}
		return a, true
	}
	for _, word := range strings.Fields(v) {
		if a, err := ParseAddress(strings.Trim(word, `"',;`)); err == nil && strings.Contains(a.Addr, "@") {
			return a, true
		}
	}
	return Address{}, false
}

// unquoted is the mail below a block, without one level of quote marks if the
// block had them.
func unquoted(lines []string, quoted bool) string {
	out := make([]string, len(lines))
	for i, l := range lines {
		if quoted {
			if rest, ok := strings.CutPrefix(strings.TrimLeft(l, " "), ">"); ok {
				l = strings.TrimPrefix(rest, " ")
			}
		}
		out[i] = l
	}
	return trimLines(out)
}
