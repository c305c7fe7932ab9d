package message

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// replyWords and forwardPrefixes are what mail programs put before a subject,
// folded. Some are words of both kinds in different languages.
var (
	replyWords = []string{
		"re", "aw", "sv", "vs", "rv", "odp", "antw", "antwort", "res", "resp", "ref", "rif", "r", "ynt", "yanıt", "vá", "válasz", "atb", "bls", "ans", "svar", "reply",
		"απ", "σχετ", "ha", "на", "отв", "ответ", "відп", "תגובה", "השב", "رد", "回复", "回覆", "答复", "答覆", "返信", "답장", "회신",
	}
	forwardPrefixes = []string{
		"fw", "fwd", "wg", "wtr", "tr", "rv", "reenv", "reenvío", "enc", "res enc", "i", "inolt", "inoltra", "doorst", "fwd", "pd", "przek", "vb", "vs", "vl", "fs", "vidarebef",
		"přep", "předáno", "přeposláno", "továbbítás", "i̇lt", "ilt", "пер", "πρθ", "הועבר", "إعادة توجيه", "转发", "轉寄", "転送", "전달",
	}
)

// maxPrefix is the longest word that counts as a prefix, in bytes.
const maxPrefix = 24

// subjectPrefix splits "AW[2]: Printer" into "aw" and "Printer"; word is "" if
// the subject begins with no short word and colon.
func subjectPrefix(s string) (word, rest string) {
	s = strings.TrimSpace(s)
	at := strings.IndexAny(s, ":：")
	if at <= 0 || at > maxPrefix {
		return "", s
	}
	_, colon := utf8.DecodeRuneInString(s[at:])
	word = strings.ToLower(strings.TrimSpace(s[:at]))
	rest = s[at+colon:]
	// Re[2], Re(3), Re^2, Re 2
	word = strings.TrimRight(word, "0123456789²³[](){}^*- ")
	return word, strings.TrimSpace(rest)
}

// ReplySubject reports whether a subject begins with a word that mail programs
// put before answers, such as Re, AW, SV, Odp or 回复.
func ReplySubject(s string) bool {
	word, _ := subjectPrefix(s)
	return slices.Contains(replyWords, word)
}

// ForwardSubject reports whether a subject begins with a word that mail
// programs put before what they pass on, such as Fwd, WG, TR or PD.
func ForwardSubject(s string) bool {
	word, _ := subjectPrefix(s)
	return slices.Contains(forwardPrefixes, word)
}

// PlainSubject is a subject without the words that mail programs put before it,
// folded, with single blanks: two mails of one thread have the same.
func PlainSubject(s string) string {
	for {
		word, rest := subjectPrefix(s)
		if word == "" || !slices.Contains(replyWords, word) && !slices.Contains(forwardPrefixes, word) {
			break
		}
		s = rest
	}
	return strings.ToLower(strings.Join(strings.Fields(s), " "))
}

// TopicSubject is a subject as it was before it was passed on: without words
// such as Fwd at its beginning, as the author spelt it.
func TopicSubject(s string) string {
	for {
		word, rest := subjectPrefix(s)
		if word == "" || !slices.Contains(forwardPrefixes, word) {
			return strings.TrimSpace(s)
		}
		s = rest
	}
}
