package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// sure is how a command that changes many things at once is told that it is
// meant: by the number of things, by a plain yes, or by asking the person in
// front of it.
type sure struct {
	yes   bool
	count int // negative: not said
}

func (s *sure) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&s.yes, "yes", false, "however many there are")
	cmd.Flags().IntVar(&s.count, "count", -1, "exactly this many, else nothing is done")
}

// ask asks at a terminal; a script has to say it by a flag.
func (s *sure) ask(cmd *cobra.Command, question string, n int) error {
	in, ok := cmd.InOrStdin().(*os.File)
	if ok {
		info, err := in.Stat()
		ok = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if !ok {
		return exitWith(exitUsage, "%s say --count %d or --yes", question, n)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question)
	line, _ := bufio.NewReader(in).ReadString('\n')
	if word := strings.ToLower(strings.TrimSpace(line)); word != "y" && word != "yes" {
		return exitWith(exitFailed, "nothing was done")
	}
	return nil
}
