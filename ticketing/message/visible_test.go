package message

import (
	"strings"
	"testing"
)

// TestVisibleText: the author's own words, whatever program wrote the rest.
func TestVisibleText(t *testing.T) {
	t.Parallel()
	const own = "Thanks, that helped.\n\nOne more question: why?"
	folded := map[string]string{
		"en":                  "On Mon, 2 Nov 2026 at 09:30, Anna Kunde <anna@customer.example> wrote:\n\n> old\n> text",
		"en, over two lines":  "On Mon, 2 Nov 2026 at 09:30, Anna Kunde <\nanna@customer.example> wrote:\n\n> old",
		"en, not quoted":      "On Mon, 2 Nov 2026 at 09:30, Anna Kunde <anna@customer.example> wrote:\nold text\nmore",
		"de":                  "Am 02.11.2026 um 09:30 schrieb Anna Kunde:\n> alt",
		"de, verb first":      "Am Mo., 2. Nov. 2026 um 09:30 Uhr schrieb Anna Kunde <anna@customer.example>:\n\n> alt",
		"fr":                  "Le lun. 2 nov. 2026 à 09:30, Anna Kunde <anna@customer.example> a écrit :\n> vieux",
		"es":                  "El lun, 2 nov 2026 a las 9:30, Anna Kunde (<anna@customer.example>) escribió:\n> viejo",
		"it":                  "Il giorno lun 2 nov 2026 alle ore 09:30 Anna Kunde <anna@customer.example> ha scritto:\n> vecchio",
		"nl":                  "Op ma 2 nov. 2026 om 09:30 schreef Anna Kunde <anna@customer.example>:\n> oud",
		"pl":                  "W dniu 02.11.2026 o 09:30, Anna Kunde pisze:\n> stare",
		"pl, past":            "pon., 2 lis 2026 o 09:30 Anna Kunde <anna@customer.example> napisał(a):\n> stare",
		"pt":                  "Em seg., 2 de nov. de 2026 às 09:30, Anna Kunde <anna@customer.example> escreveu:\n> velho",
		"sv":                  "Den mån 2 nov. 2026 kl 09:30 skrev Anna Kunde <anna@customer.example>:\n> gammalt",
		"cs":                  "po 2. 11. 2026 v 9:30 odesílatel Anna Kunde <anna@customer.example> napsal:\n> staré",
		"ru":                  "пн, 2 нояб. 2026 г. в 09:30, Anna Kunde <anna@customer.example>:\n> старое",
		"ja":                  "2026年11月2日(月) 9:30 Anna Kunde <anna@customer.example>:\n> 古い",
		"zh":                  "Anna Kunde <anna@customer.example> 于2026年11月2日周一 09:30写道：\n> 旧",
		"outlook":             "________________________________\nFrom: Anna Kunde <anna@customer.example>\nSent: Monday, November 2, 2026 9:30\nTo: Support\nSubject: Printer\n\nold",
		"outlook, de":         "Von: Anna Kunde <anna@customer.example>\nGesendet: Montag, 2. November 2026 09:30\nAn: Support\nBetreff: Drucker\n\nalt",
		"outlook, fr":         "De : Anna Kunde\nEnvoyé : lundi 2 novembre 2026 09:30\nÀ : Support\nObjet : Imprimante\n\nvieux",
		"outlook, bold":       "*From:* Anna Kunde\n*Date:* Monday\n*To:* Support\n*Subject:* Printer\n\nold",
		"original message":    "-----Original Message-----\nFrom: Anna\n\nold",
		"original, de":        "-----Ursprüngliche Nachricht-----\nVon: Anna\n\nalt",
		"forwarded":           "---------- Forwarded message ---------\nFrom: Anna\n\nold",
		"quotes alone":        "> old\n> text",
		"signature":           "-- \nAnna Kunde\nCustomer Ltd",
		"phone":               "Sent from my iPhone",
		"phone, de":           "Von meinem iPhone gesendet",
		"phone and quote":     "Sent from my iPhone\n\n> On 2 Nov 2026, at 09:30, Anna <anna@customer.example> wrote:\n> \n> old",
		"signature and quote": "-- \nAnna\n\nOn 2 Nov 2026 09:30, Bob wrote:\n> old",
		"marker":              "##- Please type your reply above this line -##\n\nold",
		"list footer":         "_______________________________________________\nusers mailing list\nusers@lists.example",
	}
	for name, rest := range folded {
		for _, end := range []string{"\n", "\r\n"} {
			text := strings.ReplaceAll(own+"\n\n"+rest+"\n", "\n", end)
			visible, quoted := VisibleText(text)
			if visible != own {
				t.Errorf("%s: visible %q", name, visible)
			}
			if want := strings.Fields(rest); strings.Join(strings.Fields(quoted), " ") != strings.Join(want, " ") {
				t.Errorf("%s: quoted %q", name, quoted)
			}
		}
	}
}

// TestVisibleTextKeeps: what must not be folded.
func TestVisibleTextKeeps(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, visible string }{
		"interleaved":           {"On 2 Nov 2026, Bob wrote:\n> one?\nyes\n> two?\nno\n> three", "On 2 Nov 2026, Bob wrote:\n> one?\nyes\n> two?\nno"},
		"answer below":          {"On 2 Nov 2026 09:30, Bob wrote:\n> one?\n\nyes", "yes"},
		"only a quote":          {"> one\n> two", "> one\n> two"},
		"only a forward":        {"-----Original Message-----\nFrom: a\n\nhello", "-----Original Message-----\nFrom: a\n\nhello"},
		"only a signature":      {"-- \nAnna", "-- \nAnna"},
		"only a phone":          {"Sent from my iPhone", "Sent from my iPhone"},
		"a sentence with wrote": {"On Monday my colleague wrote: it is broken.\nIs it?", "On Monday my colleague wrote: it is broken.\nIs it?"},
		"a sentence about mail": {"Sent from my desk, as always.\nBye", "Sent from my desk, as always.\nBye"},
		"from in a text":        {"From: Berlin\nI want to go home.\nThanks", "From: Berlin\nI want to go home.\nThanks"},
		"a journey":             {"I want to book:\nFrom: Berlin\nTo: Rome\nDate: Friday\nThanks", "I want to book:\nFrom: Berlin\nTo: Rome\nDate: Friday\nThanks"},
		"a line on paper":       {"The stamp is above this line.\nCan you see it?", "The stamp is above this line.\nCan you see it?"},
		"an error of a server":  {"It says:\n  error after RCPT TO:<a@b.example>:\n  host 192.0.2.22 [192.0.2.22]: 550 5.1.1 <a@b.example>:\n  unknown\nWhy?", "It says:\n  error after RCPT TO:<a@b.example>:\n  host 192.0.2.22 [192.0.2.22]: 550 5.1.1 <a@b.example>:\n  unknown\nWhy?"},
		"a report of an hour":   {"At 10:30 your technician wrote:\nplease restart\nbut that did not help.", "At 10:30 your technician wrote:\nplease restart\nbut that did not help."},
		"a border of dashes":    {"one\n--" + strings.Repeat("\nmore", 50), "one\n--" + strings.Repeat("\nmore", 50)},
		"dashes in a text":      {"a\n-----\nb", "a\n-----\nb"},
		"empty":                 {"", ""},
		"blank":                 {" \n\n", " \n\n"},
	} {
		visible, _ := VisibleText(tt.text)
		if visible != tt.visible {
			t.Errorf("%s: got %q, want %q", name, visible, tt.visible)
		}
	}
}
