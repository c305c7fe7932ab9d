package message

import "strings"

// lineMark is what the structure of a page says about a line of its text.
type lineMark uint8

const (
	markQuoted  lineMark = 1 << iota // in an element that holds nothing but an older mail
	markIntro                        // in an element that introduces a quotation
	markHistory                      // in the header of an older mail, which goes on to the end
	markSig                          // in a signature
	markWeak                         // its quote marks are of blockquotes that may be mere indentation
)

// structures are the classes and ids by which mail programs tell a quotation
// from an answer, without regard to letter case and to the prefixes that
// programs put before the names of what they quote.
var structures = map[string]lineMark{
	// All of it is older.
	"yahoo_quoted": markQuoted, "tutanota_quote": markQuoted, "olk_src_body_section": markQuoted, "moz-forward-container": markQuoted, "hmquote": markQuoted,
	"mail-editor-reference-message-container": markQuoted, "ms-outlook-mobile-reference-message": markQuoted, "reply_mail_container": markQuoted, "quoted_msg": markQuoted, "mail_extra": markQuoted,
	"replyforwardcontainer": markQuoted, "forwardedmsg": markQuoted, "quotedmessage": markQuoted, "wmquote": markQuoted, "quoted-message": markQuoted, OwnMailClass: markQuoted,

	// The line above the quotation.
	"gmail_attr": markIntro, "moz-cite-prefix": markIntro, "moz-email-headers-table": markIntro, "reply-intro": markIntro, "zmail_extra_hr": markIntro, "quote-header": markIntro, "replyintro": markIntro,

	// The header of an older mail.
	"divrplyfwdmsg": markHistory, "outlookmessageheader": markHistory, "replyseparator": markHistory, "stopspelling": markHistory, "orm_header": markHistory,

	"gmail_signature": markSig, "moz-signature": markSig, "applemailsignature": markSig, "ms-outlook-mobile-signature": markSig, "ms-outlook-ios-signature": markSig, "protonmail_signature_block": markSig, "signature": markSig, "mail_signature": markSig, "zmail_signature": markSig, "zm-signature": markSig,
}

// splitting are the classes of elements that hold an introduction and its
// blockquotes, between which the author may have answered.
var splitting = map[string]bool{"gmail_quote": true, "gmail_quote_container": true, "protonmail_quote": true, "zmail_extra": true, "front-blockquote": true, "cite": true}

// citing are the classes of blockquotes that are quotations for sure.
var citing = map[string]bool{"gmail_quote": true, "protonmail_quote": true, "tutanota_quote": true, "cite": true, "quote": true, "mailquote": true, "mcntcite": true, "spark_quote": true, "front-blockquote": true}

// region is a splitting element that is or was open.
type region struct {
	first, quote, end int // lines; quote is -1 before a blockquote begins
}

const maxRegions = 100

// structure notes what an element that begins says about its lines.
func (w *textWriter) structure(name string, attr attributes) {
	mark, split, cites := structureOf(attr.value("class") + " " + attr.value("id"))
	if _, ok := attr.get("data-signatureblock"); ok {
		mark |= markSig
	}
	if name == "blockquote" {
		style := strings.ReplaceAll(strings.ToLower(attr.value("style")), " ", "")
		w.quote++
		if cites || attr.value("cite") != "" || strings.EqualFold(attr.value("type"), "cite") || w.region > 0 || w.mark&markQuoted != 0 ||
			strings.Contains(style, "border-left:") && !strings.Contains(style, "border-left:none") && !strings.Contains(style, "border-left:0") {
			w.cited++
		}
		for i := range w.regions {
			if r := &w.regions[i]; r.end < 0 && r.quote < 0 {
				r.quote = len(w.marks)
			}
		}
		mark &^= markIntro
	}
	if mark&markHistory != 0 && voidElements[name] {
		// <hr id=stopSpelling>: what follows is older, whatever element it is in.
		for i := range w.open {
			w.open[i].before.mark |= markHistory
		}
	}
	if mark != 0 {
		w.flush()
		w.mark |= mark
	}
	if split && name != "blockquote" && len(w.regions) < maxRegions {
		w.flush()
		w.regions = append(w.regions, region{len(w.marks), -1, -1})
		w.region = len(w.regions)
	}
}

// maxNames bounds the classes of one element that are looked at.
const maxNames = 20

func structureOf(names string) (mark lineMark, split, cites bool) {
	for i, n := range strings.Fields(names) {
		if i == maxNames {
			break
		}
		if len(n) > 100 {
			continue
		}
		n = strings.ToLower(n)
		for {
			mark |= structures[n]
			split = split || splitting[n]
			cites = cites || citing[n]
			p := prefixEnd(n)
			if p == 0 {
				break
			}
			n = n[p:]
		}
	}
	return mark, split, cites
}

// prefixEnd finds where a name goes on behind "ecx", "x_", "m_-1234" or "ydp1a2b".
func prefixEnd(n string) int {
	if strings.HasPrefix(n, "ecx") {
		return 3
	}
	if strings.HasPrefix(n, "x_") || strings.HasPrefix(n, "m_") && len(n) > 2 {
		i := 2
		for i < len(n) && (n[i] == '-' || digit(n[i])) {
			i++
		}
		return i
	}
	if strings.HasPrefix(n, "ydp") {
		i := 3
		for i < len(n) && (digit(n[i]) || n[i] >= 'a' && n[i] <= 'f') {
			i++
		}
		return i
	}
	return 0
}

// lineMark is the mark of a line that is written now.
func (w *textWriter) lineMark() lineMark {
	m := w.mark
	if w.quote > 0 && w.cited == 0 {
		m |= markWeak
	}
	return m
}

// endRegion notes that a splitting element has ended.
func (w *textWriter) endRegion(n int) {
	if n > 0 {
		w.regions[n-1].end = len(w.marks)
	}
}

// settleRegions marks the lines of the splitting elements: what stands above
// the first blockquote introduces it; without a blockquote all of it is older;
// below one may be an answer.
func (w *textWriter) settleRegions(lines int) {
	for _, r := range w.regions {
		if r.end < 0 {
			r.end = lines
		}
		mark, to := markQuoted, r.end
		if r.quote >= 0 {
			mark, to = markIntro, r.quote
		}
		for i := r.first; i < to && i < lines; i++ {
			w.marks[i] |= mark
		}
	}
}
