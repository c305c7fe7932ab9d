package message

// Address is a mailbox: an optional display name and an addr-spec.
type Address struct {
	Name string `json:"name"`
	Addr string `json:"address"` // local@domain; the local part quoted only where RFC 5321 needs it
}

// String renders the address for a header: name encoded or quoted as needed.
func (a Address) String() string { panic("contract") }

// Local and Domain return the two halves of Addr (domain in lower case).
func (a Address) Local() string  { panic("contract") }
func (a Address) Domain() string { panic("contract") }

// Fold returns the form under which two spellings of one mailbox are equal:
// Unicode lower case (local part too, as every large provider treats it), the
// domain as A-labels, no needless quotes.
func Fold(addr string) string { panic("contract") }

// ParseAddress reads one mailbox in any form people type it
// (`a@b`, `<a@b>`, `Anna <a@b>`), strictly enough to be mailed to.
func ParseAddress(s string) (Address, error) { panic("contract") }

// ParsePath reads the inside of an SMTP MAIL or RCPT path (RFC 5321 §4.1.2,
// RFC 6531): quoted local parts, address literals, source routes dropped,
// `postmaster` without domain. It refuses control bytes, paths over 254 octets
// and local parts over 64.
func ParsePath(s string) (string, error) { panic("contract") }

// ParseAddressList reads a header value as the mail world writes it: groups,
// comments, encoded words around whole addresses, unquoted commas in names,
// raw 8-bit names, trailing semicolons. It returns at most max addresses and
// whether something had to be guessed or left out.
func ParseAddressList(value string, max int) (list []Address, damaged bool) { panic("contract") }
