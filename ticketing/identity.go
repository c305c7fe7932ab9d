package ticketing

import (
	"slices"
	"strings"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// known returns what is known of an address, nil if nothing is.
func (w *work) known(folded string) (*contactRow, error) {
	if c, ok := w.contacts[folded]; ok {
		return c, nil
	}
	c, err := w.d.contacts.Find(w.tx, store.Key{}.Str(folded))
	if err != nil {
		return nil, err
	}
	w.contacts[folded] = c
	return c, nil
}

// contactOf is the id of the contact an address belongs to.
func (w *work) contactOf(a message.Address) string {
	folded := message.Fold(a.Addr)
	if c := w.contacts[folded]; c != nil {
		return c.ID
	}
	return contactID(folded)
}

// otherAddresses are those under which the author of a mail is known besides
// the one he writes from. An error is that of somebody without others: the
// store will say it again where it matters.
func (w *work) otherAddresses(in *incoming) []string {
	if in.doubtful || in.ownFrom || in.folded == "" {
		return nil
	}
	c, err := w.known(in.folded)
	if err != nil || c == nil {
		return nil
	}
	return c.Others
}

// allows says whether the queue's policy lets a mail make this address a CC. Of
// "participants" are those of the requester's own organisation.
func (w *work) allows(q *queue, t *ticketRow, folded string) (bool, error) {
	switch q.CC.Allow {
	case "all":
		return true, nil
	case "participants":
		return w.colleagues(message.Fold(t.Requester.Address), folded)
	}
	return false, nil
}

// colleagues reports whether two addresses belong to one organisation: to the
// same one that is on record, or else to one domain that is a firm's own.
func (w *work) colleagues(a, b string) (bool, error) {
	x, err := w.organizationOf(a)
	if err != nil {
		return false, err
	}
	y, err := w.organizationOf(b)
	if err != nil {
		return false, err
	}
	if x != "" || y != "" {
		return x == y, nil
	}
	domain := domainOf(a)
	return domain != "" && domain == domainOf(b) && !publicProvider(domain), nil
}

// providers are domains in which everybody may have an address: that two people
// share one says nothing about them.
var providers = []string{
	"gmail.com", "googlemail.com", "outlook.com", "outlook.de", "hotmail.com", "hotmail.de", "hotmail.fr", "hotmail.co.uk", "live.com", "msn.com", "yahoo.com", "yahoo.de", "yahoo.fr", "yahoo.co.uk",
	"ymail.com", "icloud.com", "me.com", "mac.com", "aol.com", "gmx.de", "gmx.net", "gmx.at", "gmx.ch", "gmx.com", "web.de", "t-online.de", "freenet.de", "mail.com", "mail.de", "posteo.de", "mailbox.org",
	"proton.me", "protonmail.com", "pm.me", "tutanota.com", "tuta.io", "fastmail.com", "zoho.com", "yandex.ru", "yandex.com", "mail.ru", "bk.ru", "list.ru", "inbox.ru", "rambler.ru",
	"orange.fr", "wanadoo.fr", "free.fr", "laposte.net", "sfr.fr", "libero.it", "virgilio.it", "alice.it", "tiscali.it", "wp.pl", "o2.pl", "onet.pl", "interia.pl", "op.pl", "gazeta.pl",
	"seznam.cz", "centrum.cz", "email.cz", "bluewin.ch", "telenet.be", "skynet.be", "ziggo.nl", "kpnmail.nl", "hetnet.nl", "xs4all.nl", "telia.com", "comcast.net", "verizon.net", "att.net", "sbcglobal.net",
	"btinternet.com", "sky.com", "uol.com.br", "bol.com.br", "terra.com.br", "qq.com", "163.com", "126.com", "sina.com", "naver.com", "hanmail.net", "rediffmail.com", "docomo.ne.jp",
}

func publicProvider(domain string) bool { return slices.Contains(providers, strings.ToLower(domain)) }
