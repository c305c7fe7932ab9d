package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ticketgate/test/dnstest"
	"ticketgate/test/peers"
)

// TestStories runs the whole-system stories of testdata: scripts that call the
// real program the way people do.
func TestStories(t *testing.T) {
	names := dnstest.Start(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"SMTP", "SUBMISSION", "IMAP", "HTTP", "ADMIN", "SINK"} {
				env.Setenv(name, peers.FreeAddr(t))
			}
			env.Setenv("RESOLVER", names.Addr())
			env.Setenv("GORACE", goRace)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// expand FILE… replaces $NAME in files by the script's variables.
			"expand": func(ts *testscript.TestScript, neg bool, args []string) {
				for _, name := range args {
					path := ts.MkAbs(name)
					text := os.Expand(ts.ReadFile(name), ts.Getenv)
					ts.Check(os.WriteFile(path, []byte(text), 0o600))
				}
			},
			// txt NAME TEXT publishes a TXT record at the name server
			// $RESOLVER, which all stories share.
			"txt": func(ts *testscript.TestScript, neg bool, args []string) {
				if len(args) != 2 {
					ts.Fatalf("usage: txt NAME TEXT")
				}
				names.TXT(args[0], args[1])
			},
			// publish puts the TXT records that stand in the last command's
			// output, as lines of a zone file, into the name server
			// $RESOLVER.
			"publish": func(ts *testscript.TestScript, neg bool, args []string) {
				found := 0
				for line := range strings.Lines(ts.ReadFile("stdout")) {
					name, value, ok := strings.Cut(strings.TrimSpace(line), " IN TXT ")
					if !ok {
						fields := strings.Fields(line)
						if len(fields) < 4 || fields[1] != "IN" || fields[2] != "TXT" {
							continue
						}
						name, value = fields[0], strings.Join(fields[3:], " ")
					}
					names.TXTStrings(strings.TrimSuffix(name, "."), strings.Split(strings.Trim(value, `"`), `" "`)...)
					found++
				}
				if found == 0 {
					ts.Fatalf("there are no records in the last output")
				}
			},
			// waitfor WORDS COMMAND… repeats a command until its output has
			// the words: what happens after an answer was given happens soon.
			"waitfor": func(ts *testscript.TestScript, neg bool, args []string) {
				if len(args) < 2 {
					ts.Fatalf("usage: waitfor WORDS COMMAND…")
				}
				words, err := regexp.Compile(args[0])
				ts.Check(err)
				for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
					ts.Check(ts.Exec(args[1], args[2:]...))
					if words.MatchString(ts.ReadFile("stdout")) {
						return
					}
					if time.Now().After(deadline) {
						ts.Fatalf("%q never said %q", args[1:], args[0])
					}
				}
			},
			// heldid NAME WORDS sets NAME to the id in the line of the last
			// command's output that has the words.
			"heldid": func(ts *testscript.TestScript, neg bool, args []string) {
				for line := range strings.Lines(ts.ReadFile("stdout")) {
					if len(args) == 2 && strings.Contains(line, args[1]) {
						ts.Setenv(args[0], strings.Fields(line)[0])
						return
					}
				}
				ts.Fatalf("usage: heldid NAME WORDS, after a list that has them: %q", args)
			},
			// mail FROM TO FILE hands a mail to the daemon over SMTP; with !
			// it must be refused. The answer is printed to the file "answer".
			"mail": func(ts *testscript.TestScript, neg bool, args []string) {
				if len(args) != 3 {
					ts.Fatalf("usage: mail FROM TO FILE")
				}
				answer, err := sendMail(ts.Getenv("SMTP"), args[0], []string{args[1]}, ts.ReadFile(args[2]))
				if (err != nil) != neg {
					ts.Fatalf("mail: %v", err)
				}
				if err != nil {
					answer = err.Error()
				}
				ts.Check(os.WriteFile(ts.MkAbs("answer"), []byte(answer+"\n"), 0o600))
				fmt.Fprintln(ts.Stdout(), answer)
			},
		},
	})
}
