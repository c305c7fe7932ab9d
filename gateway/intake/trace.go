package intake

import (
	"strings"
	"time"
)

// trace returns the fields that are put on top of copies of a mail:
// Return-Path and Received (RFC 5321 §4.4). Every line ends with CR LF.
func trace(hostname string, env Envelope, at time.Time) string {
	var b strings.Builder
	b.WriteString("Return-Path: <" + clean(env.From, 320) + ">\r\n")
	b.WriteString("Received: from " + token(env.HELO))
	if env.RemoteIP.IsValid() {
		ip := env.RemoteIP.Unmap()
		if ip.Is4() {
			b.WriteString(" ([" + ip.String() + "])")
		} else {
			b.WriteString(" ([IPv6:" + ip.WithZone("").String() + "])")
		}
	}
	b.WriteString("\r\n\tby " + token(hostname) + " with " + protocol(env))
	if env.TLS != nil {
		b.WriteString("\r\n\t(version=" + token(env.TLS.Version) + " cipher=" + token(env.TLS.Cipher) + ")")
	}
	if env.Trace != "" {
		b.WriteString("\r\n\tid " + token(env.Trace))
	}
	// With several recipients none is named: one must not learn of the others.
	if len(env.Recipients) == 1 {
		b.WriteString("\r\n\tfor <" + clean(env.Recipients[0], 320) + ">")
	}
	b.WriteString(";\r\n\t" + at.UTC().Format("Mon, 2 Jan 2006 15:04:05 -0700") + "\r\n")
	return b.String()
}

// protocol is the registered "with" word (RFC 3848).
func protocol(env Envelope) string {
	var p string
	switch env.Source {
	case "lmtp":
		p = "LMTP"
	case "smtp", "submission":
		if !env.ESMTP && env.TLS == nil {
			return "SMTP"
		}
		p = "ESMTP"
	case "api":
		return "HTTP"
	case "imap":
		return "IMAP"
	default:
		return "LOCAL"
	}
	if env.TLS != nil {
		p += "S"
	}
	if env.User != "" {
		p += "A"
	}
	return p
}

// token makes a peer's word fit for a trace field: printable ASCII without
// blanks and the characters that carry meaning there, "unknown" if nothing is
// left.
func token(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune("()<>;,\"\\", r) {
			return -1
		}
		return r
	}, s)
	if s == "" {
		return "unknown"
	}
	return s[:min(len(s), 255)]
}

// clean drops what could end a line or the angle brackets around an address.
func clean(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '<' || r == '>' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), limit)]
}
