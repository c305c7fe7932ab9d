package smtpd

import (
	"strings"
	"testing"
	"testing/synctest"
)

// TestGrammar sends malformed and merely unusual lines. Each row: lines before
// it (after EHLO), the line, the start of its reply, and whether the session
// goes on.
func TestGrammar(t *testing.T) {
	const mail, rcpt = "MAIL FROM:<a@customer.example>\r\n", "RCPT TO:<support@help.example>\r\n"
	long := strings.Repeat("x", 64)
	label := strings.Repeat("d", 63)
	type row struct {
		name, before, line, reply string
		closes                    bool
	}
	rows := []row{
		// EHLO and HELO
		{"EHLO without a name", "", "EHLO", "501 5.5.2", false},
		{"EHLO with blanks", "", "EHLO  ", "501 5.5.2", false},
		{"HELO", "", "HELO x", "250 2.0.0", false},
		{"EHLO literal", "", "EHLO [192.0.2.7]", "250 ", false},
		{"EHLO IPv6 literal", "", "EHLO [IPv6:2001:db8::1]", "250 ", false},
		{"EHLO nonsense", "", "EHLO <>()\x01\"", "250 ", false},
		{"EHLO U-label", "", "EHLO kundé.example", "250 ", false},
		{"LHLO", "", "LHLO x", "500 5.5.1", false},
		{"lower case", "", "ehlo x", "250 ", false},
		// MAIL
		{"MAIL null", "", "MAIL FROM:<>", "250 2.0.0", false},
		{"MAIL blank before the path", "", "MAIL FROM: <a@b.example>", "250 2.0.0", false},
		{"MAIL lower case", "", "mail from:<a@b.example>", "250 2.0.0", false},
		{"MAIL without FROM", "", "MAIL", "501 5.5.2", false},
		{"MAIL with TO", "", "MAIL TO:<a@b.example>", "501 5.5.2", false},
		{"MAIL empty path", "", "MAIL FROM:", "501 5.5.2", false},
		{"MAIL unclosed", "", "MAIL FROM:<a@b.example", "501 5.5.2", false},
		{"MAIL no domain", "", "MAIL FROM:<a>", "501 5.5.2", false},
		{"MAIL empty domain", "", "MAIL FROM:<a@>", "501 5.5.2", false},
		{"MAIL empty local part", "", "MAIL FROM:<@b.example>", "501 5.5.2", false},
		{"MAIL quoted", "", `MAIL FROM:<"a b"@c.example>`, "250 2.0.0", false},
		{"MAIL unclosed quote", "", `MAIL FROM:<"a@b.example>`, "501 5.5.2", false},
		{"MAIL quoted >", "", `MAIL FROM:<"a>b"@c.example>`, "250 2.0.0", false},
		{"MAIL quoted control", "", "MAIL FROM:<\"a\x01b\"@c.example>", "553 5.1.7", false},
		{"MAIL control", "", "MAIL FROM:<a\x01b@c.example>", "553 5.1.7", false},
		{"MAIL NUL", "", "MAIL FROM:<a\x00b@c.example>", "553 5.1.7", false},
		{"MAIL CR within", "", "MAIL FROM:<a\rb@c.example>", "553 5.1.7", false},
		{"MAIL local part too long", "", "MAIL FROM:<" + long + "x@c.example>", "553 5.1.7", false},
		{"MAIL local part of 64", "", "MAIL FROM:<" + long + "@c.example>", "250 2.0.0", false},
		{"MAIL path too long", "", "MAIL FROM:<a@" + label + "." + label + "." + label + "." + label + "." + label + ">", "553 5.1.7", false},
		{"MAIL dotted domain", "", "MAIL FROM:<a@b..example>", "553 5.1.7", false},
		{"MAIL leading dot in the domain", "", "MAIL FROM:<a@.b.example>", "553 5.1.7", false},
		{"MAIL two at signs", "", "MAIL FROM:<a@b@c.example>", "250 2.0.0", false},
		{"MAIL bang path", "", "MAIL FROM:<c.example!a>", "501 5.5.2", false},
		{"MAIL source route", "", "MAIL FROM:<@x.example,@y.example:a@b.example>", "250 2.0.0", false},
		{"MAIL broken source route", "", "MAIL FROM:<@x.example a@b.example>", "501 5.5.2", false},
		{"MAIL literal", "", "MAIL FROM:<a@[192.0.2.7]>", "250 2.0.0", false},
		{"MAIL IPv6 literal", "", "MAIL FROM:<a@[IPv6:2001:db8::1]>", "250 2.0.0", false},
		{"MAIL bad literal", "", "MAIL FROM:<a@[300.1.1.1]>", "553 5.1.7", false},
		{"MAIL U-label without SMTPUTF8", "", "MAIL FROM:<a@kündé.example>", "553 5.6.7", false},
		{"MAIL U-label", "", "MAIL FROM:<a@kündé.example> SMTPUTF8", "250 2.0.0", false},
		{"MAIL broken UTF-8", "", "MAIL FROM:<\xff@b.example> SMTPUTF8", "553 5.1.7", false},
		{"MAIL A-label", "", "MAIL FROM:<a@xn--knd-hoa.example>", "250 2.0.0", false},
		{"SIZE of nothing", "", "MAIL FROM:<a@b.example> SIZE=", "501 5.5.4", false},
		{"SIZE negative", "", "MAIL FROM:<a@b.example> SIZE=-1", "501 5.5.4", false},
		{"SIZE 2^64", "", "MAIL FROM:<a@b.example> SIZE=18446744073709551616", "501 5.5.4", false},
		{"SIZE over the limit", "", "MAIL FROM:<a@b.example> SIZE=36700161", "552 5.3.4", false},
		{"SIZE at the limit", "", "MAIL FROM:<a@b.example> SIZE=36700160", "250 2.0.0", false},
		{"BODY unknown", "", "MAIL FROM:<a@b.example> BODY=x", "501 5.5.4", false},
		{"BODY 7BIT", "", "MAIL FROM:<a@b.example> BODY=7bit", "250 2.0.0", false},
		{"BODY BINARYMIME", "", "MAIL FROM:<a@b.example> BODY=BINARYMIME", "504 5.5.4", false},
		{"unknown parameter", "", "MAIL FROM:<a@b.example> X=1", "500 5.5.4", false},
		{"two equal signs", "", "MAIL FROM:<a@b.example> SIZE=1=2", "501 5.5.4", false},
		{"doubled parameter", "", "MAIL FROM:<a@b.example> SIZE=1 SIZE=2", "250 2.0.0", false},
		{"RET", "", "MAIL FROM:<a@b.example> RET=FULL", "504 5.5.4", false},
		{"AUTH parameter", "", "MAIL FROM:<a@b.example> AUTH=<>", "250 2.0.0", false},
		// RCPT
		{"RCPT before MAIL", "", "RCPT TO:<support@help.example>", "502 5.5.1", false},
		{"RCPT null", mail, "RCPT TO:<>", "501 5.5.2", false},
		{"RCPT postmaster", mail, "RCPT TO:<postmaster>", "501 5.5.2", false}, // the library's parser, see the package comment
		{"RCPT postmaster with domain", mail, "RCPT TO:<postmaster@help.example>", "250 2.0.0", false},
		{"RCPT with FROM", mail, "RCPT FROM:<a@b.example>", "501 5.5.2", false},
		{"RCPT domain in upper case", mail, "RCPT TO:<support@HELP.EXAMPLE>", "250 2.0.0", false},
		{"RCPT percent hack", mail, "RCPT TO:<user%elsewhere.example@help.example>", "550 5.1.1", false},
		{"RCPT source route through us", mail, "RCPT TO:<@help.example:user@elsewhere.example>", "550 5.1.1", false},
		{"RCPT quoted at sign", mail, `RCPT TO:<"user@elsewhere.example"@help.example>`, "550 5.1.1", false},
		{"RCPT subdomain", mail, "RCPT TO:<support@sub.help.example>", "550 5.1.1", false},
		{"RCPT elsewhere", mail, "RCPT TO:<user@elsewhere.example>", "550 5.1.1", false},
		{"RCPT shell", mail, "RCPT TO:<\";touch /tmp/x;\"@help.example>", "550 5.1.1", false},
		{"RCPT backtick", mail, "RCPT TO:<`id`@help.example>", "550 5.1.1", false},
		{"RCPT NOTIFY", mail, "RCPT TO:<support@help.example> NOTIFY=NEVER", "504 5.5.4", false},
		{"RCPT unknown parameter", mail, "RCPT TO:<support@help.example> X", "500 5.5.4", false},
		// DATA and BDAT
		{"DATA before MAIL", "", "DATA", "502 5.5.1", false},
		{"DATA before RCPT", mail, "DATA", "502 5.5.1", false},
		{"DATA with an argument", mail + rcpt, "DATA x", "501 5.5.4", false},
		{"BDAT without a size", mail + rcpt, "BDAT", "501 5.5.4", false},
		{"BDAT negative", mail + rcpt, "BDAT -1", "501 5.5.4", false},
		{"BDAT 2^64", mail + rcpt, "BDAT 18446744073709551616", "501 5.5.4", false},
		{"BDAT of words", mail + rcpt, "BDAT 1 LAST PLEASE", "501 5.5.4", false},
		{"BDAT 0 LAST", mail + rcpt, "BDAT 0 LAST", "250 2.0.0 Ok: rcpt_", false},
		{"BDAT before RCPT", mail, "BDAT 0 LAST", "502 5.5.1", false},
		// the rest
		{"AUTH", "", "AUTH PLAIN", "504 5.7.4", false},
		{"AUTH without mechanism", "", "AUTH", "502 5.5.4", false},
		{"VRFY", "", "VRFY support", "252 ", false},
		{"EXPN", "", "EXPN list", "502 5.5.1", false},
		{"HELP", "", "HELP", "502 5.5.1", false},
		{"TURN", "", "TURN", "502 5.5.1", false},
		{"unknown", "", "XYZZY 1", "501 5.5.2", false},
		{"unknown of four letters", "", "XYZZ 1", "500 5.5.2", false},
		{"too short", "", "X", "501 5.5.2", false},
		{"empty", "", "", "500 5.5.2", false},
		{"blank first", "", " NOOP", "501 5.5.2", false},
		{"STARTTLS where there is none", "", "STARTTLS", "502 5.5.1", false},
		{"QUIT with an argument", "", "QUIT now", "221 2.0.0", true},
		{"garbage", "", "\x00\xff\xfe\x01", "500 5.5.2", false},
		{"a line without end", "", strings.Repeat("A", 5000), "500 5.5.2", true},
	}
	blobs := newBlobs(t)
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, setting{blobs: blobs})
				defer h.close()
				c := h.dial("192.0.2.7")
				defer c.drop()
				c.reply()
				c.say("EHLO x")
				if r.before != "" {
					c.send(r.before)
					for range strings.Count(r.before, "\n") {
						if got := last(c.reply()); !strings.HasPrefix(got, "250") {
							t.Fatal("before:", got)
						}
					}
				}
				if got := c.say(r.line); !strings.HasPrefix(got, r.reply) {
					t.Errorf("%.80q: %q, not %q", r.line, got, r.reply)
				}
				got := c.say("NOOP")
				if closed := got == "EOF"; closed != r.closes || !closed && !strings.HasPrefix(got, "250") {
					t.Errorf("%q: afterwards %q", r.line, got)
				}
			})
		})
	}
	if len(rows) < 70 {
		t.Errorf("only %d rows", len(rows))
	}
	t.Logf("%d rows", len(rows))
}
