package message

import (
	"strings"
	"testing"
)

func forwardOf(t *testing.T, raw string) *Forwarded {
	t.Helper()
	raw = strings.ReplaceAll(raw, "\n", "\r\n")
	m, err := Parse(strings.NewReader(raw), int64(len(raw)), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return Forward(m)
}

func plainMail(subject, body string) string {
	return "From: otto@staff.example\nSubject: " + subject + "\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n" + body
}

// What mail programs make of Forward, by language.
func TestForwardLanguages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ subject, block string }{
		"en, Outlook":     {"FW: Printer", "From: Anna Kunde <anna@customer.example>\nSent: Monday, March 2, 2026 9:00 AM\nTo: Otto <otto@staff.example>\nSubject: Printer"},
		"en, Gmail":       {"Fwd: Printer", "---------- Forwarded message ---------\nFrom: Anna Kunde <anna@customer.example>\nDate: Mon, 2 Mar 2026 at 09:00\nSubject: Printer\nTo: <otto@staff.example>"},
		"en, Apple":       {"Fwd: Printer", "Begin forwarded message:\n\n> From: Anna Kunde <anna@customer.example>\n> Subject: Printer\n> Date: 2 March 2026 at 09:00:00 CET\n> To: otto@staff.example"},
		"en, Thunderbird": {"Fwd: Printer", "-------- Forwarded Message --------\nSubject: \tPrinter\nDate: \tMon, 2 Mar 2026 09:00:00 +0100\nFrom: \tAnna Kunde <anna@customer.example>\nTo: \totto@staff.example\nCc: \tbo@customer.example"},
		"en, bold":        {"FW: Printer", "*From:* Anna Kunde <anna@customer.example>\n*Sent:* Monday\n*To:* Otto\n*Subject:* Printer"},
		"en, old Outlook": {"FW: Printer", "-----Original Message-----\nFrom: Anna Kunde [mailto:anna@customer.example]\nSent: Monday\nTo: Otto\nSubject: Printer"},
		"de, Outlook":     {"WG: Printer", "Von: Anna Kunde <anna@customer.example>\nGesendet: Montag, 2. März 2026 09:00\nAn: Otto <otto@staff.example>\nBetreff: Printer"},
		"de, Thunderbird": {"Fwd: Printer", "-------- Weitergeleitete Nachricht --------\nBetreff: \tPrinter\nDatum: \tMon, 2 Mar 2026 09:00:00 +0100\nVon: \tAnna Kunde <anna@customer.example>\nAn: \totto@staff.example"},
		"es":              {"RV: Printer", "De: Anna Kunde <anna@customer.example>\nEnviado el: lunes, 2 de marzo de 2026 9:00\nPara: Otto\nAsunto: Printer"},
		"fr":              {"TR: Printer", "De : Anna Kunde <anna@customer.example>\nEnvoyé : lundi 2 mars 2026 09:00\nÀ : Otto\nObjet : Printer"},
		"it":              {"I: Printer", "Da: Anna Kunde <anna@customer.example>\nInviato: lunedì 2 marzo 2026 09:00\nA: Otto\nOggetto: Printer"},
		"nl":              {"FW: Printer", "Van: Anna Kunde <anna@customer.example>\nVerzonden: maandag 2 maart 2026 09:00\nAan: Otto\nOnderwerp: Printer"},
		"pl":              {"PD: Printer", "Od: Anna Kunde <anna@customer.example>\nWysłano: poniedziałek, 2 marca 2026 09:00\nDo: Otto\nTemat: Printer"},
		"pt":              {"ENC: Printer", "De: Anna Kunde <anna@customer.example>\nEnviada em: segunda-feira, 2 de março de 2026 09:00\nPara: Otto\nAssunto: Printer"},
		"sv":              {"VB: Printer", "Från: Anna Kunde <anna@customer.example>\nSkickat: den 2 mars 2026 09:00\nTill: Otto\nÄmne: Printer"},
		"da":              {"VS: Printer", "Fra: Anna Kunde <anna@customer.example>\nSendt: 2. marts 2026 09:00\nTil: Otto\nEmne: Printer"},
		"nb":              {"VS: Printer", "Fra: Anna Kunde <anna@customer.example>\nSendt: mandag 2. mars 2026 09:00\nTil: Otto\nEmne: Printer"},
		"cs":              {"FW: Printer", "Od: Anna Kunde <anna@customer.example>\nOdesláno: pondělí 2. března 2026 9:00\nKomu: Otto\nPředmět: Printer"},
		"fi":              {"VL: Printer", "Lähettäjä: Anna Kunde <anna@customer.example>\nLähetetty: maanantai 2. maaliskuuta 2026 9.00\nVastaanottaja: Otto\nAihe: Printer"},
		"hu":              {"Fwd: Printer", "Feladó: Anna Kunde <anna@customer.example>\nElküldve: 2026. március 2.\nCímzett: Otto\nTárgy: Printer"},
		"ru":              {"Fwd: Printer", "-------- Пересылаемое сообщение --------\nОт: Anna Kunde <anna@customer.example>\nДата: 2 марта 2026 г.\nКому: Otto\nТема: Printer"},
		"zh":              {"转发: Printer", "发件人: Anna Kunde <anna@customer.example>\n发送时间: 2026年3月2日\n收件人: Otto\n主题: Printer"},
		"wrapped":         {"Fwd: Printer", "From: Anna Kunde\n <anna@customer.example>\nSent: Monday\nTo: Otto <otto@staff.example>,\n Lena <lena@staff.example>\nSubject: Printer"},
		"no name":         {"Fwd: Printer", "From: anna@customer.example\nDate: Monday\nTo: Otto\nSubject: Printer"},
	} {
		body := "FYI, please help her.\n\n" + c.block + "\n\nIt burns.\nHelp!\n"
		if strings.Contains(c.block, "> From") {
			body = "FYI, please help her.\n\n" + c.block + "\n> \n> It burns.\n> Help!\n"
		}
		f := forwardOf(t, plainMail(c.subject, body))
		if f == nil {
			t.Errorf("%s: nothing is passed on", name)
			continue
		}
		wantName := "Anna Kunde"
		if name == "no name" {
			wantName = ""
		}
		if f.From.Addr != "anna@customer.example" || f.From.Name != wantName || f.Subject != "Printer" && !strings.Contains(name, "Thunderbird") ||
			strings.TrimSpace(f.Text) != "It burns.\nHelp!" || f.Remark != "FYI, please help her." {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestForwardNothing(t *testing.T) {
	t.Parallel()
	block := "From: Anna <anna@customer.example>\nSent: Monday\nTo: Otto\nSubject: Printer\n\nIt burns.\n"
	for name, raw := range map[string]string{
		"an answer in Outlook's way":    plainMail("RE: Printer", "I see.\n\n"+block),
		"no prefix":                     plainMail("Printer", "I see.\n\n"+block),
		"no block":                      plainMail("Fwd: Printer", "It burns.\n"),
		"a name without address":        plainMail("Fwd: Printer", "From: Anna\nSent: Monday\nTo: Otto\nSubject: Printer\n\nIt burns.\n"),
		"a letter that says From":       plainMail("Fwd: Printer", "From: anna@customer.example\nI got this.\n"),
		"too few fields":                plainMail("Fwd: Printer", "From: anna@customer.example\nSubject: x\n\nIt burns.\n"),
		"an attachment of another name": attachedTo("Look at this", "Printer"),
		"an attachment without author":  strings.Replace(attachedTo("Fwd: Printer", "Printer"), "From: Anna <anna@customer.example>\n", "", 1),
	} {
		if f := forwardOf(t, raw); f != nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func attachedTo(subject, inner string) string {
	return "From: otto@staff.example\nSubject: " + subject + "\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n" +
		"--b\nContent-Type: text/plain\n\nFYI\n--b\nContent-Type: message/rfc822\nContent-Disposition: attachment; filename=\"printer.eml\"\n\n" +
		"From: Anna <anna@customer.example>\nMessage-ID: <a1@customer.example>\nSubject: " + inner + "\n\nIt burns.\n--b--\n"
}

func TestForwardAttached(t *testing.T) {
	t.Parallel()
	for _, subject := range []string{"Fwd: Printer", "WG: whatever", "Printer", "Re: printer"} {
		f := forwardOf(t, attachedTo(subject, "Printer"))
		if f == nil || f.From.Addr != "anna@customer.example" || f.ID != "<a1@customer.example>" || f.File == nil || strings.TrimSpace(f.Text) != "It burns." || f.Remark != "FYI" {
			t.Errorf("%s: %+v", subject, f)
		}
	}
	// The attached mail comes before one quoted in the text.
	raw := strings.Replace(attachedTo("Fwd: Printer", "Printer"), "FYI\n", "From: Bo <bo@customer.example>\nSent: Monday\nTo: Otto\nSubject: Fax\n\nHm.\n", 1)
	if f := forwardOf(t, raw); f == nil || f.From.Addr != "anna@customer.example" {
		t.Errorf("%+v", f)
	}
}

func TestSubjectPrefixes(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]struct {
		reply, forward bool
		plain          string
	}{
		"Printer":                 {false, false, "printer"},
		"Re: Printer":             {true, false, "printer"},
		"RE: AW: Sv:  Printer  x": {true, false, "printer x"},
		"Re[2]: Printer":          {true, false, "printer"},
		"Re (3) : Printer":        {true, false, "printer"},
		"Odp: Drukarka":           {true, false, "drukarka"},
		"Antw: Re: Drucker":       {true, false, "drucker"},
		"回复：打印机":                  {true, false, "打印机"},
		"WG: Drucker":             {false, true, "drucker"},
		"RV: Impresora":           {true, true, "impresora"},
		"Fwd: Re: Printer":        {false, true, "printer"},
		"Printer: broken":         {false, false, "printer: broken"},
		"Re:":                     {true, false, ""},
		": x":                     {false, false, ": x"},
		"":                        {false, false, ""},
		"Reference: 12":           {false, false, "reference: 12"},
	} {
		if ReplySubject(s) != want.reply || ForwardSubject(s) != want.forward || PlainSubject(s) != want.plain {
			t.Errorf("%q: reply %v, forward %v, plain %q", s, ReplySubject(s), ForwardSubject(s), PlainSubject(s))
		}
	}
	if got := TopicSubject("WG: Fwd: AW: Drucker"); got != "AW: Drucker" {
		t.Errorf("topic %q", got)
	}
}

func FuzzForward(f *testing.F) {
	f.Add(plainMail("Fwd: x", "From: a@b.example\nSent: x\nTo: y\nSubject: z\n\nt\n"))
	f.Add(attachedTo("Fwd: x", "x"))
	f.Fuzz(func(t *testing.T, raw string) {
		m, err := Parse(strings.NewReader(raw), int64(len(raw)), DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		if got := Forward(m); got != nil && !strings.Contains(got.From.Addr, "@") {
			t.Errorf("author %+v", got.From)
		}
		PlainSubject(raw)
	})
}
