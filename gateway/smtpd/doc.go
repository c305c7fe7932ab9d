// Package smtpd speaks SMTP to whoever connects: mail exchangers, agents' mail
// programs (submission, in TLS from the first octet or after STARTTLS) and mail
// servers of our own (LMTP). It promises that
//
//   - 250 after the final dot means that the mail is durable and ticketed; the
//     reply ends with the receipt's id;
//   - a recipient is accepted only if it leads somewhere (550 5.1.1 otherwise),
//     so no bounce has to be sent later;
//   - nothing is relayed: whoever asks and however the address is written, mail
//     goes to our own queues or nowhere (550 5.7.1 for other domains);
//   - an agent's mail comes from the agent: after AUTH, from his own addresses
//     in the envelope and in From, and guessing a login costs time, the session
//     and then the network's right to try;
//   - any trouble of our own is a 4xx reply, never a 5xx, and no error text of
//     ours reaches the peer: it gets calm words, the log gets the story;
//   - octets of a message are never executed as commands, whatever line ends,
//     packets, stalls or lies about sizes the peer comes up with;
//   - a session costs bounded memory, time, octets, commands and errors.
//
// The protocol core is github.com/emersion/go-smtp as released. What it leaves
// open is closed from outside, by four things that know little of each other:
// a limiter at the listener, a guard around the connection (deadlines, budgets,
// hanging up), a tap that follows both directions in plaintext (also inside
// TLS) and recognises what must not go on, and a session that keeps the
// transaction. Each connection has a go-smtp server value of its own, because
// that is how the library offers the tap: its Debug writer sees the octets
// before the protocol does, and an error from it ends the reading.
//
// Known and left: a line of DATA that begins with a single dot before a bare CR
// loses that CR with the dot, which no peer that doubles leading dots can send;
// BDAT keeps every octet. RCPT TO:<postmaster> without a domain is refused by
// go-smtp's parser with 501 5.5.2, quickly and before we are asked;
// <postmaster@domain> works. Upstream it takes three lines in
// parser.parsePath: accept the word "postmaster" followed by '>' and return it
// as the mailbox. An answer to AUTH that is no base64 gets go-smtp's 454
// instead of 501; it counts as an error like any other. The fourth command that
// go-smtp cannot read ends the session with 500 5.5.1, before Limits.Errors
// would: the library's own limit is a constant.
package smtpd
