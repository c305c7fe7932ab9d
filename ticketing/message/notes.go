package message

import (
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
)

// contents names the parts of a mail that has no text. It is "" for a mail
// without any content.
func (m *Mail) contents() string {
	const most = 20
	var names []string
	for _, p := range m.choose().files {
		if p.End <= p.Start && p.Filename == "" && len(p.Parts) == 0 {
			continue
		}
		if len(names) == most {
			names = append(names, "more")
			break
		}
		names = append(names, m.label(p))
	}
	if len(names) == 0 {
		return ""
	}
	return "This mail has no text. It contains: " + strings.Join(names, ", ") + "."
}

// label names a part in a list.
func (m *Mail) label(p *Part) string {
	size := fmt.Sprintf("%d bytes", p.End-p.Start)
	if isMessage(p.Type) && len(p.Parts) == 1 {
		if s := p.Parts[0].Header.Text("Subject"); s != "" {
			return fmt.Sprintf("a mail %q (%s)", s, size)
		}
		return "a mail (" + size + ")"
	}
	if n := m.Note(p); n != "" && !strings.Contains(n, "\n") {
		return n + " (" + size + ")"
	}
	if p.Filename != "" {
		return fmt.Sprintf("%q (%s, %s)", p.Filename, cleanLine(p.Type), size)
	}
	return fmt.Sprintf("%s (%s)", cleanLine(p.Type), size)
}

// maxNote bounds what Note returns, in bytes.
const maxNote = 2 << 10

// Note says in plain words what a person cannot see from a part's name and
// type: when an invitation is and where, whose mail a nested mail is, that a
// signature was not checked, that a content is encrypted or elsewhere. It is ""
// for ordinary files. It may have several lines.
func (m *Mail) Note(p *Part) string {
	var s string
	switch {
	case isCalendar(p):
		s = m.invitation(p)
	case isMessage(p.Type) && len(p.Parts) == 1:
		s = nestedNote(p.Parts[0].Header)
	case p.Type == "message/partial":
		s = partialNote(p)
	case p.Type == "message/external-body":
		s = externalNote(p)
	case isTNEF(p) && p.keepWhole:
		s = "a file in Outlook's own format that could not be read whole"
	default:
		s = protectionNote(p)
	}
	return cutRunes(s, maxNote)
}

func nestedNote(h Header) string {
	var lines []string
	for _, name := range [...]string{"From", "To", "Date", "Subject"} {
		if v := h.Text(name); v != "" {
			lines = append(lines, name+": "+cutRunes(v, 300))
		}
	}
	return strings.Join(lines, "\n")
}

// partialNote describes a piece of a mail that was cut (RFC 2046 §5.2.2). The
// pieces are not put together: a filter that saw them one by one saw nothing.
func partialNote(p *Part) string {
	number, _ := strconv.Atoi(p.Params["number"])
	total, _ := strconv.Atoi(p.Params["total"])
	switch {
	case number > 0 && total > 0:
		return fmt.Sprintf("piece %d of %d of a mail that was sent in pieces", number, total)
	case number > 0:
		return fmt.Sprintf("piece %d of a mail that was sent in pieces", number)
	}
	return "a piece of a mail that was sent in pieces"
}

// externalNote says where a content is that was not sent (RFC 2046 §5.2.3, RFC
// 2017). It is never fetched.
func externalNote(p *Part) string {
	s := "a content that is not in the mail"
	if t := p.Params["access-type"]; t != "" {
		s += ", to be had by " + cleanLine(cutRunes(t, 40))
	}
	where := p.Params["url"]
	if where == "" && p.Params["site"] != "" {
		u := url.URL{Host: p.Params["site"], Path: "/" + strings.Trim(p.Params["directory"]+"/"+p.Params["name"], "/")}
		where = strings.TrimPrefix(u.String(), "//")
	}
	if where == "" {
		where = p.Params["server"]
	}
	if where = strings.Join(strings.Fields(where), ""); where != "" {
		s += " from " + cutRunes(where, 500)
	}
	return s
}

func protectionNote(p *Part) string {
	switch p.Type {
	case "application/pkcs7-signature", "application/x-pkcs7-signature":
		return "an S/MIME signature, not checked"
	case "application/pgp-signature":
		return "an OpenPGP signature, not checked"
	case "application/pgp-encrypted":
		return "a mark that the mail is encrypted with OpenPGP"
	case "application/pgp-keys":
		return "an OpenPGP key"
	}
	if !isPKCS7(p) {
		return ""
	}
	switch smimeKind(p) {
	case smimeSigned:
		return "a mail signed with S/MIME; the signature is not checked"
	case smimeCompressed:
		return "a mail compressed with S/MIME, not unpacked"
	case smimeCerts:
		return "S/MIME certificates"
	case smimeEncrypted:
		return "a mail encrypted with S/MIME; only its recipient's key opens it"
	}
	return "an S/MIME object"
}

// smimeKind is what the bytes are, else what the header says they are.
func smimeKind(p *Part) string {
	if p.sealed != "" {
		return p.sealed
	}
	switch t := strings.ToLower(p.Params["smime-type"]); t {
	case "authenveloped-data":
		return smimeEncrypted
	case "signed-receipt":
		return smimeSigned
	default:
		return t
	}
}

// Labels of what protects a mail.
const (
	LabelSMIMESigned    = "smime_signature_unverified"
	LabelSMIMEEncrypted = "smime_encrypted"
	LabelPGPSigned      = "pgp_signature_unverified"
	LabelPGPEncrypted   = "pgp_encrypted"
	LabelPartial        = "partial" // a piece of a mail that was sent in pieces
)

// Labels says what protects the mail, each word at most once: signatures that
// nobody checked, contents that nobody here can read. The bytes of what was
// signed are kept as they came, so that it can be checked elsewhere. A nested
// mail's labels are its own affair.
func (m *Mail) Labels() []string {
	l := &labels{seen: map[string]bool{}}
	l.part(m.Root)
	if b := m.choose(); len(b.text) > 0 {
		var head [512]byte
		// Armour begins a text; behind other text it is somebody's quote.
		n, _ := io.ReadFull(m.Open(b.text[0]), head[:])
		l.armour(string(head[:n]))
	}
	return l.list
}

type labels struct {
	list []string
	seen map[string]bool
}

func (l *labels) add(word string) {
	if !l.seen[word] {
		l.seen[word] = true
		l.list = append(l.list, word)
	}
}

func (l *labels) part(p *Part) {
	switch protocol := strings.ToLower(p.Params["protocol"]); {
	case p.Type == "multipart/signed" && strings.Contains(protocol, "pgp"):
		l.add(LabelPGPSigned)
	case p.Type == "multipart/signed":
		l.add(LabelSMIMESigned)
	case p.Type == "multipart/encrypted" || p.Type == "application/pgp-encrypted":
		l.add(LabelPGPEncrypted)
	case p.Type == "message/partial":
		l.add(LabelPartial)
	case isMessage(p.Type):
		return
	case isPKCS7(p) && smimeKind(p) == smimeSigned:
		l.add(LabelSMIMESigned)
	case isPKCS7(p) && smimeKind(p) == smimeEncrypted:
		l.add(LabelSMIMEEncrypted)
	}
	for _, c := range p.Parts {
		l.part(c)
	}
}

func (l *labels) armour(text string) {
	text = strings.TrimLeft(text, " \t\r\n")
	switch {
	case strings.HasPrefix(text, "-----BEGIN PGP SIGNED MESSAGE-----"):
		l.add(LabelPGPSigned)
	case strings.HasPrefix(text, "-----BEGIN PGP MESSAGE-----"):
		l.add(LabelPGPEncrypted)
	}
}
