package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ticketgate/gateway/mailauth"
)

// maxTested is how many signatures of a mail dkim test judges: more than any
// honest mail has, and than any receiver looks at.
const maxTested = 100

// testedMail is what dkim test has to say.
type testedMail struct {
	Author     mailauth.Author      `json:"author"`
	Signatures []mailauth.Signature `json:"signatures"`
	Ignored    int                  `json:"ignored"`
	Converted  bool                 `json:"converted"` // the file had bare LF line ends
	Note       string               `json:"note,omitempty"`
}

// dkimTest judges a mail as any receiver would: by its own bytes and DNS. It
// needs no daemon.
func dkimTest(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "test FILE",
		Short: "Verify the signatures of a mail, and say of each what holds and why not",
		Long: `Verifies every DKIM signature of a mail as a receiver would, with the resolver of the
configuration. FILE is the mail as it was received, with its whole header; - is standard
input. Exit code 0 if there are signatures and all of them pass, 1 otherwise.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := o.load(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			limit := int64(cfg.Limits.MessageSize)
			mail, err := readFile(args[0], cmd.InOrStdin(), limit)
			if err != nil {
				return err
			}
			if int64(len(mail)) > limit {
				return exitWith(exitUsage, "the mail is larger than limits.message_size (%s)", cfg.Limits.MessageSize)
			}
			w, err := realWorld(cfg, os.Stderr)
			if err != nil {
				return err
			}
			fresh, err := w.freshResolver(string(cfg.Resolver))
			if err != nil {
				return err
			}
			checker, err := mailauth.New(mailauth.Options{DNS: fresh, Now: w.now, MaxSignatures: maxTested})
			if err != nil {
				return err
			}
			tested := testedMail{Signatures: []mailauth.Signature{}}
			if mail, tested.Converted = crlfs(mail); tested.Converted {
				fmt.Fprintln(cmd.ErrOrStderr(), "ticketgate: the file has line ends of LF alone; it is judged with CRLF, as mail travels")
			}
			_, found := checker.Evaluate(cmd.Context(), mailauth.Input{Raw: bytes.NewReader(mail), Size: int64(len(mail))})
			tested.Author, tested.Ignored, tested.Note = found.Author, found.Ignored, found.Note
			tested.Signatures = append(tested.Signatures, found.DKIM...)
			raw, err := json.Marshal(tested)
			if err != nil {
				return err
			}
			if err := o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { tested.print(w) }); err != nil {
				return err
			}
			return tested.verdict()
		},
	}
}

// crlfs gives a mail that was kept with LF alone the line ends it had on its way.
// One with any CRLF is taken as it is.
func crlfs(mail []byte) ([]byte, bool) {
	if bytes.Contains(mail, []byte("\r\n")) || !bytes.Contains(mail, []byte("\n")) {
		return mail, false
	}
	return bytes.ReplaceAll(mail, []byte("\n"), []byte("\r\n")), true
}

func (t *testedMail) print(w *tabwriter.Writer) {
	fmt.Fprintln(w, "RESULT\tDOMAIN\tSELECTOR\tALGORITHM\tOF THE AUTHOR\tWHY")
	for _, s := range t.Signatures {
		aligned := "no"
		if s.Aligned {
			aligned = "yes"
		}
		why := s.Reason
		if why == "" && s.Result == mailauth.Pass {
			why = "header, body and key agree"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Result, orWord(s.Domain, "–"), orWord(s.Selector, "–"), orWord(s.Algorithm, "–"), aligned, why)
	}
	if t.Ignored > 0 {
		fmt.Fprintf(w, "%d signatures were not looked at%s\n", t.Ignored, prefixed(": ", t.Note))
	}
	if t.Author.Domain == "" {
		fmt.Fprintf(w, "the From field names no one author%s\n", prefixed(": ", t.Author.Problem))
	}
}

func (t *testedMail) verdict() error {
	failed := t.Ignored
	for _, s := range t.Signatures {
		if s.Result != mailauth.Pass {
			failed++
		}
	}
	switch all := len(t.Signatures) + t.Ignored; {
	case all == 0:
		return exitWith(exitFailed, "the mail has no DKIM signature")
	case failed > 0:
		return exitWith(exitFailed, "%d of %d signatures do not hold", failed, all)
	}
	return nil
}
