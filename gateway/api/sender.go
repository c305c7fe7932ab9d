package api

import (
	"bufio"
	"io"
	"strings"

	"ticketgate/ticketing/message"
)

// envelopeSender reads the query's from. Besides an address and nothing, it
// takes MAILER-DAEMON for the null sender: Postfix's pipe says so unless it is
// told otherwise.
func envelopeSender(from string) (string, error) {
	if from == "" || strings.EqualFold(from, "MAILER-DAEMON") {
		return "", nil
	}
	addr, err := message.ParsePath(from)
	if err != nil || !strings.Contains(addr, "@") {
		return "", unprocessable("query.from", "this is no envelope sender: give an address, or nothing for the null sender")
	}
	return addr, nil
}

// someBody returns a body that is not empty.
func someBody(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 16)
	if _, err := b.Peek(1); err == io.EOF {
		return nil, unprocessable("/", "the body is empty: send the mail")
	}
	return b, nil // another error comes again when it is read
}

// distinct returns recipients without those that stand there before.
func distinct(to []string) (out []string) {
	seen := map[string]bool{}
	for _, addr := range to {
		if folded := message.Fold(addr); !seen[folded] {
			seen[folded] = true
			out = append(out, addr)
		}
	}
	return out
}
