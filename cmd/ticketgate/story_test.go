package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
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
			// a NAME IP, ptr IP NAME and mx NAME PREFERENCE HOST publish
			// records of these types.
			"a":   func(ts *testscript.TestScript, neg bool, args []string) { names.A(args[0], args[1]) },
			"ptr": func(ts *testscript.TestScript, neg bool, args []string) { names.PTR(args[0], args[1]) },
			"mx": func(ts *testscript.TestScript, neg bool, args []string) {
				preference, err := strconv.ParseUint(args[1], 10, 16)
				ts.Check(err)
				names.MX(args[0], uint16(preference), args[2])
			},
			// sink takes mail at $SINK for everybody but nobody@….
			"sink": func(ts *testscript.TestScript, neg bool, args []string) {
				l, err := net.Listen("tcp", ts.Getenv("SINK"))
				ts.Check(err)
				server := smtp.NewServer(sink{ts.MkAbs("sink")})
				server.Domain = "sink.example"
				go server.Serve(l)
				ts.Defer(func() { server.Close() })
			},
			// got FILE WORDS waits until a mail with the words has come to the
			// sink and copies it to FILE.
			"got": func(ts *testscript.TestScript, neg bool, args []string) {
				for deadline := time.Now().Add(peers.Patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
					mails, _ := filepath.Glob(filepath.Join(ts.MkAbs("sink"), "*.eml"))
					for _, name := range mails {
						if mail, err := os.ReadFile(name); err == nil && strings.Contains(string(mail), args[1]) {
							ts.Check(os.WriteFile(ts.MkAbs(args[0]), mail, 0o600))
							return
						}
					}
				}
				ts.Fatalf("no mail with %q came", args[1])
			},
			// click METHOD FILE follows the List-Unsubscribe link of a mail at
			// the daemon's HTTP address and prints the page.
			"click": func(ts *testscript.TestScript, neg bool, args []string) {
				mail := strings.ReplaceAll(ts.ReadFile(args[1]), "\r\n ", "")
				_, link, ok := strings.Cut(mail, "List-Unsubscribe: <https://")
				_, path, _ := strings.Cut(link, "/")
				path, _, closed := strings.Cut(strings.ReplaceAll(path, " ", ""), ">")
				if !ok || !closed {
					ts.Fatalf("no link in %s", mail)
				}
				req, err := http.NewRequest(args[0], "http://"+ts.Getenv("HTTP")+"/"+path, strings.NewReader("List-Unsubscribe=One-Click"))
				ts.Check(err)
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				res, err := http.DefaultClient.Do(req)
				ts.Check(err)
				page, err := io.ReadAll(res.Body)
				res.Body.Close()
				ts.Check(err)
				fmt.Fprintf(ts.Stdout(), "%s\n%s", res.Status, page)
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
				for deadline := time.Now().Add(peers.Patience); ; time.Sleep(50 * time.Millisecond) {
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

// sink is a mail server that takes everything but mail to nobody, and puts it
// into a folder.
type sink struct{ dir string }

func (s sink) NewSession(*smtp.Conn) (smtp.Session, error) { return s, nil }
func (sink) Mail(string, *smtp.MailOptions) error          { return nil }
func (sink) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "who is that?"}
	}
	return nil
}

func (s sink) Data(r io.Reader) error {
	mail, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.dir, "*.tmp")
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(mail); err != nil {
		return err
	}
	return os.Rename(f.Name(), strings.TrimSuffix(f.Name(), ".tmp")+".eml")
}
func (sink) Reset()        {}
func (sink) Logout() error { return nil }
