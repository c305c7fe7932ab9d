package ticketing

import (
	"slices"
	"strings"
	"unicode"
)

// maxThanks is the longest text, in bytes, that may be nothing but thanks.
const maxThanks = 120

// thankWords may stand in a mail that says thank you and nothing else, folded;
// at least one of them must be of the first list.
var (
	thankWords = []string{
		"thanks", "thank", "thx", "ty", "cheers", "danke", "dank", "dankeschön", "merci", "gracias", "grazie", "bedankt", "dankjewel", "dankuwel", "dzięki", "dziękuję", "dziekuje", "dzieki",
		"obrigado", "obrigada", "tack", "tak", "takk", "děkuji", "díky", "dekuji", "kiitos", "köszönöm", "спасибо", "дякую", "teşekkürler", "ευχαριστώ", "谢谢", "ありがとう",
	}
	thankFillers = []string{
		"you", "a", "lot", "so", "very", "much", "many", "all", "team", "again", "works", "it", "now", "perfect", "great", "for", "your", "the", "help", "quick", "fast", "support", "reply", "answer",
		"vielen", "besten", "herzlichen", "lieben", "schön", "sehr", "für", "die", "ihre", "deine", "eure", "hilfe", "schnelle", "antwort", "alles", "klar", "funktioniert", "super", "prima",
		"beaucoup", "mille", "bien", "votre", "aide", "pour", "muchas", "mil", "por", "su", "ayuda", "mille", "molto", "tante", "per", "l'aiuto", "hartelijk", "erg", "voor", "je", "uw", "hulp", "u", "wel",
		"bardzo", "za", "pomoc", "muito", "pela", "ajuda", "mycket", "så", "för", "hjälpen", "mange", "hjælpen", "hjelpen", "moc", "ok", "okay", "super", "perfekt", "hi", "hello", "hallo", "dear", "best", "regards", "kind",
	}
)

// onlyThanks reports whether a text says thank you and nothing else. A question
// mark or a digit is more than that.
func onlyThanks(text string) bool {
	if text == "" || len(text) > maxThanks || strings.ContainsFunc(text, func(r rune) bool { return r == '?' || unicode.IsDigit(r) }) {
		return false
	}
	thanked := false
	for _, word := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && r != '\'' }) {
		switch {
		case slices.Contains(thankWords, word):
			thanked = true
		case !slices.Contains(thankFillers, word):
			return false
		}
	}
	return thanked
}

// readThanks looks only where a queue asks.
func (d *Desk) readThanks(in *incoming) {
	if !slices.ContainsFunc(in.units, func(u *unit) bool { return u.queue.KeepSolved }) || len(in.mail.Attachments()) > 0 {
		return
	}
	text := in.mail.Reply().Visible
	in.thanks = onlyThanks(strings.TrimSpace(text))
}
