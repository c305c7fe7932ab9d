package message

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestVisibleTextLanguages: an introduction and the header of an older mail, as
// programs of each language write them.
func TestVisibleTextLanguages(t *testing.T) {
	t.Parallel()
	for lang, tt := range map[string]struct{ intro, header string }{
		"en": {"On Mon, Nov 2, 2026 at 9:30 AM Anna Kunde <anna@customer.example> wrote:", "From: Anna\nSent: Monday, November 2, 2026 9:30\nTo: Support\nSubject: Printer"},
		"de": {"Am Mo., 2. Nov. 2026 um 09:30 Uhr schrieb Anna Kunde <anna@customer.example>:", "Von: Anna\nGesendet: Montag, 2. November 2026 09:30\nAn: Support\nBetreff: Drucker"},
		"fr": {"Le lundi 2 novembre 2026 à 09:30, Anna Kunde <anna@customer.example> a écrit :", "De : Anna\nEnvoyé : lundi 2 novembre 2026 09:30\nÀ : Support\nObjet : Imprimante"},
		"es": {"El lun, 2 nov 2026 a las 9:30, Anna Kunde (<anna@customer.example>) escribió:", "De: Anna\nEnviado: lunes, 2 de noviembre de 2026 9:30\nPara: Support\nAsunto: Impresora"},
		"it": {"Il giorno lun 2 nov 2026 alle ore 09:30 Anna Kunde <anna@customer.example> ha scritto:", "Da: Anna\nInviato: lunedì 2 novembre 2026 09:30\nA: Support\nOggetto: Stampante"},
		"nl": {"Op ma 2 nov 2026 om 09:30 schreef Anna Kunde <anna@customer.example>:", "Van: Anna\nVerzonden: maandag 2 november 2026 09:30\nAan: Support\nOnderwerp: Printer"},
		"pl": {"W dniu 2.11.2026 o 09:30, Anna Kunde napisał(a):", "Od: Anna\nWysłano: poniedziałek, 2 listopada 2026 09:30\nDo: Support\nTemat: Drukarka"},
		"pt": {"Em seg., 2 de nov. de 2026 às 09:30, Anna Kunde <anna@customer.example> escreveu:", "De: Anna\nEnviada em: segunda-feira, 2 de novembro de 2026 09:30\nPara: Support\nAssunto: Impressora"},
		"sv": {"Den mån 2 nov. 2026 kl 09:30 skrev Anna Kunde <anna@customer.example>:", "Från: Anna\nSkickat: den 2 november 2026 09:30\nTill: Support\nÄmne: Skrivare"},
		"da": {"Den man. 2. nov. 2026 kl. 09.30 skrev Anna Kunde <anna@customer.example>:", "Fra: Anna\nSendt: 2. november 2026 09:30\nTil: Support\nEmne: Printer"},
		"nb": {"man. 2. nov. 2026 kl. 09:30 skrev Anna Kunde <anna@customer.example\n>:", "Fra: Anna\nDato: mandag 2. november 2026\nTil: Support\nEmne: Skriver"},
		"fi": {"ma 2. marrask. 2026 klo 9.30 Anna Kunde (anna@customer.example) kirjoitti:", "Lähettäjä: Anna\nLähetetty: maanantai 2. marraskuuta 2026 9.30\nVastaanottaja: Support\nAihe: Tulostin"},
		"cs": {"po 2. 11. 2026 v 9:30 odesílatel Anna Kunde <anna@customer.example> napsal:", "Od: Anna\nOdesláno: pondělí 2. listopadu 2026 9:30\nKomu: Support\nPředmět: Tiskárna"},
		"sk": {"po 2. 11. 2026 o 9:30 Anna Kunde <anna@customer.example> napísal(a):", "Od: Anna\nOdoslané: pondelok 2. novembra 2026 9:30\nKomu: Support\nPredmet: Tlačiareň"},
		"hu": {"Anna Kunde <anna@customer.example> ezt írta (időpont: 2026. nov. 2., H, 9:30):", "Feladó: Anna\nKüldve: 2026. november 2., hétfő 9:30\nCímzett: Support\nTárgy: Nyomtató"},
		"ro": {"În lun., 2 nov. 2026 la 09:30, Anna Kunde <anna@customer.example> a scris:", "De la: Anna\nTrimis: luni, 2 noiembrie 2026 09:30\nCătre: Support\nSubiect: Imprimantă"},
		"ru": {"пн, 2 нояб. 2026 г. в 09:30, Anna Kunde <anna@customer.example>:", "От: Anna\nОтправлено: 2 ноября 2026 г. 9:30\nКому: Support\nТема: Принтер"},
		"uk": {"пн, 2 лист. 2026 р. о 09:30 Anna Kunde <anna@customer.example> пише:", "Від: Anna\nНадіслано: 2 листопада 2026 р. 9:30\nКому: Support\nТема: Принтер"},
		"tr": {"Anna Kunde <anna@customer.example>, 2 Kas 2026 Pzt, 09:30 tarihinde şunu yazdı:", "Kimden: Anna\nGönderildi: 2 Kasım 2026 Pazartesi 09:30\nKime: Support\nKonu: Yazıcı"},
		"el": {"Στις Δευ 2 Νοε 2026 στις 9:30 π.μ., ο χρήστης Anna Kunde <anna@customer.example> έγραψε:", "Από: Anna\nΗμερομηνία: Δευτέρα 2 Νοεμβρίου 2026\nΠρος: Support\nΘέμα: Εκτυπωτής"},
		"ja": {"2026年11月2日(月) 9:30 Anna Kunde <anna@customer.example>:", "差出人: Anna\n送信日時: 2026年11月2日 9:30\n宛先: Support\n件名: プリンター"},
		"zh": {"Anna Kunde <anna@customer.example> 于2026年11月2日周一 09:30写道：", "发件人: Anna\n发送时间: 2026年11月2日 9:30\n收件人: Support\n主题: 打印机"},
		"ko": {"2026년 11월 2일 (월) 오전 9:30, Anna Kunde <anna@customer.example>님이 작성:", "보낸 사람: Anna\n보낸 날짜: 2026년 11월 2일 9:30\n받는 사람: Support\n제목: 프린터"},
		"vi": {"Vào Th 2, 2 thg 11, 2026 vào lúc 09:30 Anna Kunde <anna@customer.example> đã viết:", "Từ: Anna\nNgày: 2 tháng 11 2026\nĐến: Support\nChủ đề: Máy in"},
		// A language we have no words of: an address and a time say enough above
		// quote marks.
		"sw": {"Mnamo Jtt, 2 Nov 2026 saa 09:30 Anna Kunde <anna@customer.example> aliandika:", ""},
	} {
		for name, rest := range map[string]string{
			"quoted":   tt.intro + "\n\n> old\n>\n> text",
			"header":   tt.header + "\n\nold text\n\nmore",
			"with cc":  strings.Replace(tt.header, "\n", "\nCc: x@y.example\n", 1) + "\n\nold",
			"bold":     "*" + strings.ReplaceAll(strings.ReplaceAll(tt.header, "\n", "\n*"), ":", ":*") + "\n\nold",
			"below --": "-- \nAnna\n\n" + tt.intro + "\n> old",
		} {
			if tt.header == "" && (name == "bold" || name == "header" || name == "with cc") {
				continue
			}
			if visible, _ := VisibleText("My answer.\n\n" + rest); visible != "My answer." {
				t.Errorf("%s, %s: visible %q", lang, name, visible)
			}
		}
	}
}

// TestVisibleHTMLPrograms: an answer above the quotation, as programs write it.
// The introductions are in no language, so that the structure alone decides.
func TestVisibleHTMLPrograms(t *testing.T) {
	t.Parallel()
	const old = "<div>old words</div><p>more of them</p>"
	for name, rest := range map[string]string{
		"gmail":                    `<div class="gmail_quote gmail_quote_container"><div dir="ltr" class="gmail_attr">Xyz abc<br></div><blockquote class="gmail_quote" style="margin:0">` + old + `</blockquote></div>`,
		"gmail, old":               `<div class="gmail_extra"><br><div class="gmail_quote">Xyz abc<br><blockquote class="gmail_quote">` + old + `</blockquote></div><br></div>`,
		"gmail, forward":           `<div class="gmail_quote"><div class="gmail_attr">Xyz</div><br>` + old + `</div>`,
		"gmail, quoted once more":  `<div class="m_-4711gmail_quote">Xyz<blockquote class="m_-4711gmail_quote">` + old + `</blockquote></div>`,
		"hotmail of gmail":         `<div class="ecxgmail_quote">Xyz<blockquote class="ecxgmail_quote">` + old + `</blockquote></div>`,
		"apple":                    `<div><br><blockquote type="cite"><div>Xyz abc:</div>` + old + `</blockquote></div>`,
		"thunderbird":              `<div class="moz-cite-prefix">Xyz abc<br></div><blockquote type="cite" cite="mid:x@y">` + old + `</blockquote>`,
		"thunderbird, forward":     `<div class="moz-forward-container"><table class="moz-email-headers-table"><tr><th>Xyz:<td>abc</table>` + old + `</div>`,
		"yahoo":                    `<div id="yahoo_quoted_1234567" class="yahoo_quoted"><div>Xyz abc</div>` + old + `</div>`,
		"yahoo, new":               `<div id="ydp1a2b3cyahoo_quoted_12" class="ydp1a2b3cyahoo_quoted"><div>Xyz</div>` + old + `</div>`,
		"proton":                   `<div class="protonmail_quote">Xyz abc<br><blockquote class="protonmail_quote" type="cite">` + old + `</blockquote></div>`,
		"outlook on the web":       `<div id="appendonsend"></div><hr style="display:inline-block"><div id="divRplyFwdMsg" dir="ltr"><b>Xyz:</b> abc<br><b>Uvw:</b> d</div>` + old,
		"outlook on the web, more": `<hr><div id="x_divRplyFwdMsg">Xyz</div>` + old + `<p>and more</p>`,
		"outlook for mac":          `<span id="OLK_SRC_BODY_SECTION"><div>Xyz abc</div>` + old + `</span>`,
		"outlook, ios":             `<div id="mail-editor-reference-message-container"><div>Xyz</div>` + old + `</div>`,
		"outlook express":          `<div class="OutlookMessageHeader">Xyz</div>` + old,
		"hotmail":                  `<div><hr id="stopSpelling">Xyz abc<br>` + old + `</div>`,
		"zoho":                     `<div class="zmail_extra"><div>Xyz</div><blockquote style="margin:0">` + old + `</blockquote></div>`,
		"tutanota":                 `<div class="tutanota_quote">` + old + `</div>`,
		"mail.ru and the like":     `2026.11.02, 9:30, Anna &lt;a@b.example&gt;:<br><blockquote style="border-left:1px solid #0857A6">` + old + `</blockquote>`,
		"ours":                     `<div class="ticketgate-mail"><p>We wrote.</p><p>Xyz</p><blockquote type="cite">` + old + `</blockquote></div>`,
		"signature":                `<div class="gmail_signature" data-smartmail="gmail_signature">Anna<br>Customer Ltd</div>`,
		"signature, thunderbird":   `<pre class="moz-signature" cols="72">Anna</pre>`,
		"signature, windows":       `<div data-signatureblock="true">Anna</div>`,
		"signature and quotation":  `<div id="Signature"><p>Anna</p></div><div class="gmail_quote">Xyz<blockquote class="gmail_quote">` + old + `</blockquote></div>`,
		"not closed":               `<div class="gmail_quote">Xyz<blockquote class="gmail_quote">` + old,
	} {
		page := `<html><body><div dir="ltr">My answer.<div><br></div><p>Second &amp; last.</p></div>` + rest + "</body></html>"
		visible, quoted := VisibleHTML(page)
		if visible != "My answer.\n\nSecond & last." {
			t.Errorf("%s: visible %q", name, visible)
		}
		if quoted == "" {
			t.Errorf("%s: nothing quoted", name)
		}
	}
}

// TestVisibleHTMLKeeps: what a page's structure must not take from the author.
func TestVisibleHTMLKeeps(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ page, visible string }{
		"answers between, gmail": {`<div class="gmail_quote"><div class="gmail_attr">On 2 Nov 2026, Bob wrote:</div><blockquote class="gmail_quote">one?</blockquote><div>yes</div><blockquote class="gmail_quote">two?</blockquote><div>no</div></div>`,
			"On 2 Nov 2026, Bob wrote:\n> one?\nyes\n> two?\nno"},
		"answers between, apple": {`<blockquote type="cite"><div>one?</div></blockquote><div>yes</div><blockquote type="cite"><div>two?</div></blockquote><div>no</div>`, "> one?\nyes\n> two?\nno"},
		"indented text":          {`<div>My list:</div><blockquote style="margin:0 0 0 40px;border:none;padding:0px">one<br>two</blockquote>`, "My list:\n> one\n> two"},
		"only a quotation":       {`<blockquote type="cite">old</blockquote>`, "> old"},
		"only a forward":         {`<div class="gmail_quote"><div class="gmail_attr">---------- Forwarded message ---------<br>From: a</div>hello</div>`, "---------- Forwarded message ---------\nFrom: a\nhello"},
		"text below":             {`<div class="gmail_quote">Xyz<blockquote class="gmail_quote">old</blockquote></div><p>My answer.</p>`, "My answer."},
		"text above a signature": {`<div class="gmail_signature">Anna</div>`, "Anna"},
		"no such class":          {`<div class="my_gmail_quote_like">a</div><div class="quote">b</div>`, "a\nb"},
	} {
		if visible, quoted := VisibleHTML(tt.page); visible != tt.visible {
			t.Errorf("%s: visible %q, quoted %q", name, visible, quoted)
		}
	}
}

const heldReply = `Hello Anna,

the printer in room 12 needs a new drum. Please tell us the serial number
that is printed on its back, and whether the red lamp is on or off.

Also we would like to know who switched it off last Friday evening.

Kind regards
Otto`

// TestVisibleTextHeld: what the messages we hold add.
func TestVisibleTextHeld(t *testing.T) {
	t.Parallel()
	quotedLines := "> " + strings.ReplaceAll(heldReply, "\n", "\n> ")
	rewrapped := strings.Join(strings.Fields(heldReply), " ")
	header := "From: Support <support@help.example>\nSent: Monday\nTo: Anna\nSubject: Printer\n\n"
	marker := "[ref:aeroqbybgz5ui57tzhhy64ixhy7q4fy:ref]"
	for name, tt := range map[string]struct{ text, visible string }{
		"copied without marks":           {"It is 4711.\n\n" + heldReply, "It is 4711."},
		"copied and wrapped anew":        {"It is 4711.\n\n" + rewrapped, "It is 4711."},
		"copied, unknown introduction":   {"It is 4711.\n\nMnamo 2 Nov 2026 saa 09:30 Support aliandika:\n\n" + heldReply, "It is 4711."},
		"copied, unknown header":         {"It is 4711.\n\nKutoka: Support <support@help.example>\nImetumwa: 2 Nov 2026\nKwa: Anna\n\n" + heldReply + "\n\nand something else", "It is 4711."},
		"unknown header above a marker":  {"It is 4711.\n\nKutoka: Support <support@help.example>\nImetumwa: 2 Nov 2026\nKwa: Anna\n\nanother text\n\n" + marker, "It is 4711."},
		"a form of somebody":             {"It is 4711.\n\nName: Anna\nMail: anna@customer.example\nDay: 2 Nov 2026\n\nPlease call.", "It is 4711.\n\nName: Anna\nMail: anna@customer.example\nDay: 2 Nov 2026\n\nPlease call."},
		"quoted above the answer":        {quotedLines + "\n\nIt is 4711.", "It is 4711."},
		"answers between quoted lines":   {"Hi,\n> that is printed on its back, and whether the red lamp is on or off.\nIt is on.\n> Also we would like to know who switched it off last Friday evening.\nNobody.\n", "Hi,\nIt is on.\nNobody."},
		"answers to others' lines stay":  {"> a question that nobody of us asked at all\nyes\n> and one more of the same sort here\nno", "> a question that nobody of us asked at all\nyes\n> and one more of the same sort here\nno"},
		"answers inside an older mail":   {"See below.\n\n" + header + strings.Replace(heldReply, "Also we", "It is 4711 and the lamp is on.\n\nAlso we", 1), "See below.\n\nIt is 4711 and the lamp is on."},
		"an answer in the line":          {"See below.\n\n" + header + strings.Replace(heldReply, "on or off.", "on or off. It is on.", 1), "See below.\n\nthat is printed on its back, and whether the red lamp is on or off. It is on."},
		"a copy with a correction":       {"Once more.\n\n" + strings.Replace(heldReply, "room 12", "room 13", 1), "Once more.\n\nHello Anna,\n\nthe printer in room 13 needs a new drum. Please tell us the serial number"},
		"answer below our marker":        {header + heldReply + "\n\n" + marker + "\n\nIt is 4711.", "It is 4711."},
		"answer below, nothing held yet": {header + "another text of ours\n\n" + marker + "\n\nIt is 4711.", "It is 4711."},
		"marker under no quote marks":    {"It is 4711.\n\nMnamo 2 Nov 2026 saa 09:30 Support aliandika:\n\nanother text of ours\n\n" + marker, "It is 4711."},
		"marker in an answered quote":    {"> one question of ours\nyes\n> " + marker + "\n> two questions of ours\nno", "> one question of ours\nyes\n> two questions of ours\nno"},
		"marker, wrapped":                {"Yes.\n\n> old\n> [ref:aeroqbybgz5ui57tz\n> hhy64ixhy7q4fy:ref]\n\nAnd no.", "Yes.\n\n> old\n\nAnd no."},
		"nothing but a copy":             {heldReply, heldReply},
		"the same greeting":              {"Hello Anna,\n\nthe printer in room 12 is fine.\n\nKind regards\nOtto", "Hello Anna,\n\nthe printer in room 12 is fine.\n\nKind regards\nOtto"},
		"a sentence of ours and no more": {"You asked:\n\nPlease tell us the serial number\n\nIt is 4711.", "You asked:\n\nPlease tell us the serial number\n\nIt is 4711."},
	} {
		for _, end := range []string{"\n", "\r\n"} {
			visible, quoted := VisibleText(strings.ReplaceAll(tt.text, "\n", end), "Something else, long ago.", heldReply)
			if visible = strings.ReplaceAll(visible, "\r\n", "\n"); normalBlank(visible) != normalBlank(tt.visible) {
				t.Errorf("%s: visible %q, quoted %q", name, visible, quoted)
			}
		}
	}
}

// normalBlank makes one blank line of several.
func normalBlank(s string) string {
	for strings.Contains(s, "\n\n\n") {
		s = strings.ReplaceAll(s, "\n\n\n", "\n\n")
	}
	return s
}

// TestLegalFooters fold, sentences about secrets do not.
func TestLegalFooters(t *testing.T) {
	t.Parallel()
	for lang, footer := range map[string]string{
		"en": "This e-mail is confidential and may be privileged. If you are not the intended recipient,\nplease notify the sender and delete it.",
		"de": "Diese E-Mail enthält vertrauliche Informationen. Wenn Sie nicht der richtige Adressat sind oder diese E-Mail irrtümlich erhalten haben, löschen Sie sie bitte.",
		"fr": "Ce message est confidentiel et destiné à l'usage exclusif de son destinataire. Si vous l'avez reçu par erreur, merci de le supprimer.",
		"es": "Este mensaje es confidencial y está dirigido exclusivamente a su destinatario. Si lo ha recibido por error, elimínelo.",
		"it": "Le informazioni contenute in questo messaggio sono riservate e per uso esclusivo del destinatario. Se ricevuto per errore, cancellarlo.",
		"pl": "Ta wiadomość jest poufna i przeznaczona wyłącznie dla adresata. Jeżeli otrzymali ją Państwo omyłkowo, prosimy o jej usunięcie.",
		"nl": "Dit bericht is vertrouwelijk en uitsluitend bestemd voor de geadresseerde. Indien abusievelijk ontvangen, verwijder het dan.",
		"sv": "Detta meddelande är konfidentiellt och endast avsett för mottagaren. Har du fått det av misstag, vänligen radera det.",
		"ru": "Это сообщение конфиденциально и предназначено только для получателя. Если вы получили его ошибочно, удалите его.",
	} {
		for _, text := range []string{"My answer.\n\n" + footer, "My answer.\n\n" + footer + "\n\n> old\n> words", "My answer.\n\nSent from my iPhone\n\n" + footer} {
			if visible, _ := VisibleText(text); visible != "My answer." {
				t.Errorf("%s: visible %q", lang, visible)
			}
		}
		if visible, _ := VisibleText(footer); visible != footer {
			t.Errorf("%s: the footer alone became %q", lang, visible)
		}
	}
	for _, text := range []string{
		"My answer.\n\nPlease treat this as confidential and delete all that you have about me, as the law says that you must.",
		"My answer.\n\nThe addressee on the parcel is wrong: it says Bob, and the parcel came to me. What shall I do with it now?",
		"My answer.\n\nI received this parcel in error. Shall I destroy it or send it back to where it came from?",
	} {
		if visible, _ := VisibleText(text); visible != text {
			t.Errorf("visible %q", visible)
		}
	}
}

// TestReplyOfMail: the text part decides; HTML where there is no text, or where
// the text shows no quotation and the HTML does.
func TestReplyOfMail(t *testing.T) {
	t.Parallel()
	page := `<p>My answer.</p><div class="gmail_quote">Xyz<blockquote class="gmail_quote">old</blockquote></div>`
	both := func(text string) string {
		return "Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\n" + text + "\n--b\nContent-Type: text/html\n\n" + page + "\n--b--\n"
	}
	for name, tt := range map[string]struct{ raw, visible string }{
		"text":                         {"\nMy answer.\n\nOn 2 Nov 2026 09:30, Bob wrote:\n> old\n", "My answer."},
		"html":                         {"Content-Type: text/html\n\n" + page, "My answer."},
		"both":                         {both("My answer.\n\n> old"), "My answer."},
		"text without marks":           {both("My answer.\n\nXyz\nold"), "My answer."},
		"text that is something else":  {both("Your program shows no HTML."), "Your program shows no HTML."},
		"html in pieces, a page alone": {"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>one</p>\n--b\nContent-Type: text/html\n\n<p>two</p>\n--b--\n", "one\ntwo"},
	} {
		raw := crlf("From: a@b.example\n" + tt.raw)
		m, err := Parse(strings.NewReader(raw), int64(len(raw)), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		r := m.Reply()
		if strings.TrimSpace(r.Visible) != tt.visible {
			t.Errorf("%s: visible %q, quoted %q", name, r.Visible, r.Quoted)
		}
		if r.Text != m.Text() {
			t.Errorf("%s: text %q", name, r.Text)
		}
	}
}

// TestNothingLost: every word of a text is in one of the halves, once, and never
// is nothing visible.
func TestNothingLost(t *testing.T) {
	t.Parallel()
	line := rapid.SampledFrom([]string{
		"", "", "my own words", "yes", "> quoted words here", ">> deeper", ">", "-- ", "--", "Sent from my iPhone", "On 2 Nov 2026 09:30, Bob <b@c.example> wrote:", "-----Original Message-----", "From: a", "Sent: b", "To: c", "Subject: d",
		"________", "the printer in room 12 needs a new drum. Please tell us the serial number", "that is printed on its back, and whether the red lamp is on or off.", "> Also we would like to know who switched it off last Friday evening.",
		"[ref:aeroqbybgz5ui57tzhhy64ixhy7q4fy:ref]", "This is confidential and only for the intended recipient. Delete it if you received this in error.", "Xyz 2026 at 09:30:", "##- type above this line -##", "\u200e", "\t",
	})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(line, 0, 30).Draw(t, "lines"), "\n")
		held := rapid.SampledFrom([][]string{nil, {heldReply}, {"x", heldReply, "my own words"}}).Draw(t, "held")
		visible, quoted := VisibleText(text, held...)
		if a, b := len(strings.Fields(text)), len(strings.Fields(visible))+len(strings.Fields(quoted)); a != b {
			t.Fatalf("%d words became %d: %q and %q", a, b, visible, quoted)
		}
		if strings.TrimSpace(text) != "" && strings.TrimSpace(visible) == "" {
			t.Fatalf("nothing visible of %q", text)
		}
	})
}

// TestSplitIsLinear: the work grows with the length and no faster, whatever the
// text is. What is counted are the looks that are taken at other lines and
// elements.
func TestSplitIsLinear(t *testing.T) {
	t.Parallel()
	texts := map[string]string{
		"introductions":     "On 2 Nov 2026 09:30, Bob\n",
		"introductions of4": "On 2 Nov 2026\nat 1\nb\nc\n",
		"with blanks":       "On 2 Nov 2026 09:30, Bob wrote:\n\n\n\n\n\n\n> x\n",
		"blanks":            "\n\n\n\n\n\n\n\n\n",
		"header names":      "From: a\nFrom: b\n",
		"older mails":       "From: a\nTo: b\nSubject: c\n\nthe printer in room 12 needs a new drum\n",
		"quotes":            ">\n> a\n",
		"markers":           "[ref:aeroqbybgz5ui57tzhhy64ixhy7q4fy:ref]\n",
		"marks and heads":   "From: a\nTo: b\nSubject: c\n[ref:aeroqbybgz5ui57tzhhy64ixhy7q4fy:ref]\n",
		"colons":            "2026 at 09:30 x:\n",
		"copies":            "Please tell us the serial number\nmine\n",
		"dashes":            "--\n-- \n____\n",
	}
	for name, unit := range texts {
		looks := func(n int) int {
			text := strings.Repeat(unit, n)
			s := newSplitter(text, nil, []string{heldReply})
			s.classify()
			s.foldTail()
			return s.looks
		}
		if few, many := looks(200), looks(3200); many > 20*few+100 {
			t.Errorf("%s: 16 times the text, %d looks instead of %d", name, many, few)
		}
	}
	for name, unit := range map[string]string{
		"blockquotes":   "<blockquote>a",
		"regions":       `<div class="gmail_quote">a`,
		"open elements": "<b><i><div>",
		"stray ends":    "<td></b></div></td></table></p>",
		"cells":         "<td><tr>x",
		"items":         "<ul><li><li>x",
		"weak quotes":   "<blockquote>a</blockquote><br><br><br>",
	} {
		looks := func(n int) int {
			w := &textWriter{skipHidden: true}
			w.render(strings.Repeat(unit, n))
			w.settleRegions(len(w.marks))
			return w.looks + len(w.regions)
		}
		if few, many := looks(1000), looks(16000); many > 20*few+100 {
			t.Errorf("%s: 16 times the page, %d looks instead of %d", name, many, few)
		}
	}
}

func FuzzVisibleHTML(f *testing.F) {
	for _, s := range []string{
		`<div class="gmail_quote">x<blockquote class="gmail_quote">y</blockquote>z</div>`, `<blockquote type=cite>a</blockquote>b`, `<div id=divRplyFwdMsg>a</div>b`, `a<hr id=stopSpelling>b`, `<div class=gmail_signature>a`, `<p>a<blockquote>b`, "<table><tr><td>a<div></td>b</div>", "<pre>\r\r\n",
	} {
		f.Add(s, heldReply)
	}
	f.Fuzz(func(t *testing.T, page, held string) {
		text := HTMLToText(page)
		checkText(t, "text", text)
		visible, quoted := VisibleHTML(page, held)
		if a, b := len(strings.Fields(text)), len(strings.Fields(visible))+len(strings.Fields(quoted)); a != b {
			t.Errorf("%d words became %d: %q and %q of %q", a, b, visible, quoted, text)
		}
		if strings.TrimSpace(text) != "" && strings.TrimSpace(visible) == "" {
			t.Errorf("nothing visible of %q", text)
		}
	})
}
