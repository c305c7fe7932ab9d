package main

import (
	"context"
	"fmt"
	"net/mail"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ticketgate/test/peers"
	"ticketgate/ticketing/message"
)

// converse is what a conversation's stories share: a small internet, and how
// far each reader has read.
type converse struct {
	world *demoWorld
	read  map[string]int // by address: mails of the sink already looked at
	last  atomic.Int64   // of Message-IDs
}

// TestConversations runs the stories of testdata/conversation: mail goes in over
// SMTP, and what people get is read at a sink. customer.example and
// staff.example authorise this host and publish DMARC; stranger.example does
// not, and nobody may write in another's name.
func TestConversations(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/conversation",
		Setup: func(env *testscript.Env) error {
			w, err := newDemoWorld()
			if err != nil {
				return err
			}
			env.Defer(w.Close)
			for _, domain := range []string{"customer.example", "staff.example", "elsewhere.example"} {
				w.names.publish(domain, "v=spf1 ip4:127.0.0.1 -all")
				w.names.publish("_dmarc."+domain, "v=DMARC1; p=none")
			}
			for _, name := range []string{"SMTP", "HTTP", "ADMIN"} {
				env.Setenv(name, peers.FreeAddr(t))
			}
			env.Setenv("SINK", w.sink.addr)
			env.Setenv("RESOLVER", w.dnsAddr)
			env.Setenv("GORACE", goRace)
			env.Values["conversation"] = &converse{world: w, read: map[string]int{}}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"expand": expandFiles,
			"write":  storyWrite, "answer": storyAnswer, "gets": storyGets, "total": storyTotal, "pick": storyPick, "rest": storyRest,
			// thirdid, messageid and firmid NAME WORDS: see idOf.
			"thirdid":   func(ts *testscript.TestScript, _ bool, args []string) { idOf(ts, args[0], args[1]) },
			"messageid": func(ts *testscript.TestScript, _ bool, args []string) { idOf(ts, args[0], args[1]) },
			"firmid":    func(ts *testscript.TestScript, _ bool, args []string) { idOf(ts, args[0], args[1]) },
		},
	})
}

func expandFiles(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(os.Expand(ts.ReadFile(name), ts.Getenv)), 0o600))
	}
}

func conversation(ts *testscript.TestScript) *converse { return ts.Value("conversation").(*converse) }

// options reads "name=value" words and returns the rest.
func wordsOf(args []string) (rest []string, named map[string]string) {
	named = map[string]string{}
	for _, a := range args {
		if name, value, ok := strings.Cut(a, "="); ok && !strings.Contains(name, " ") {
			named[name] = value
			continue
		}
		rest = append(rest, a)
	}
	return rest, named
}

// write FROM SUBJECT TEXT [to=A,B] [cc=A,B] [env=SENDER] sends a new mail. What
// of to and cc is ours is where it is handed to us.
func storyWrite(ts *testscript.TestScript, neg bool, args []string) {
	rest, named := wordsOf(args)
	if len(rest) != 3 {
		ts.Fatalf("usage: write FROM SUBJECT TEXT [to=…] [cc=…] [env=…]")
	}
	to := named["to"]
	if to == "" {
		to = "support@help.example"
	}
	send(ts, neg, rest[0], named["env"], to, named["cc"], "Subject: "+rest[1]+"\n", rest[2])
}

// answer FILE FROM one|all TEXT [cc=A] [to=A] [env=SENDER] sends what a mail
// program makes of Reply (one) or Reply-all to the mail in FILE; cc and to are
// added by hand.
func storyAnswer(ts *testscript.TestScript, neg bool, args []string) {
	rest, named := wordsOf(args)
	if len(rest) != 4 {
		ts.Fatalf("usage: answer FILE FROM one|all TEXT [cc=…] [to=…] [env=…]")
	}
	m, err := mail.ReadMessage(strings.NewReader(ts.ReadFile(rest[0])))
	ts.Check(err)
	list := func(name string) (out []string) {
		addresses, _ := m.Header.AddressList(name)
		for _, a := range addresses {
			if a.Address != rest[1] {
				out = append(out, a.Address)
			}
		}
		return out
	}
	to, cc := list("Reply-To"), []string{}
	if rest[2] == "all" {
		to, cc = append(to, list("To")...), list("Cc")
	}
	if named["to"] != "" {
		to = append(to, strings.Split(named["to"], ",")...)
	}
	if named["cc"] != "" {
		cc = append(cc, strings.Split(named["cc"], ",")...)
	}
	id := m.Header.Get("Message-ID")
	subject := "Re: " + strings.TrimPrefix(message.DecodeWords(m.Header.Get("Subject")), "Re: ")
	head := "Subject: " + subject + "\nIn-Reply-To: " + id + "\nReferences: " + strings.TrimSpace(m.Header.Get("References")+" "+id) + "\n"
	send(ts, neg, rest[1], named["env"], strings.Join(to, ", "), strings.Join(cc, ", "), head, rest[3])
}

func send(ts *testscript.TestScript, neg bool, from, env, to, cc, head, text string) {
	c := conversation(ts)
	if env == "" {
		env = from
	}
	var ours []string
	for _, a := range strings.Split(to+","+cc, ",") {
		if a = strings.TrimSpace(a); (strings.HasSuffix(a, "@help.example") || strings.HasSuffix(a, "@sales.example")) && !slices.Contains(ours, a) {
			ours = append(ours, a)
		}
	}
	raw := "From: <" + from + ">\nTo: " + to + "\n"
	if cc != "" {
		raw += "Cc: " + cc + "\n"
	}
	raw += head + fmt.Sprintf("Message-ID: <story%d@%s>\n", c.last.Add(1), env[strings.IndexByte(env, '@')+1:]) +
		"Date: " + time.Now().Format(time.RFC1123Z) + "\n\n" + text + "\n"
	answer, err := sendMail(ts.Getenv("SMTP"), env, ours, raw)
	if (err != nil) != neg {
		ts.Fatalf("mail: %v", err)
	}
	if err != nil {
		answer = err.Error()
	}
	fmt.Fprintln(ts.Stdout(), answer)
}

// gets WHO FILE waits for the next mail to WHO and stores it.
func storyGets(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: gets WHO FILE")
	}
	c := conversation(ts)
	ctx, stop := context.WithTimeout(context.Background(), peers.Patience)
	defer stop()
	m, at, err := c.world.sink.Await(ctx, c.read[args[0]], func(m sunkMail) bool { return m.to == args[0] })
	if err != nil {
		ts.Fatalf("%s: %v", args[0], err)
	}
	c.read[args[0]] = at + 1
	parsed, err := message.Parse(strings.NewReader(string(m.raw)), int64(len(m.raw)), message.DefaultLimits())
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), m.raw, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]+".txt"), []byte(parsed.Text()), 0o600))
}

// rest waits until everybody has what is for him, and the daemon knows it.
func storyRest(ts *testscript.TestScript, _ bool, _ []string) {
	api := newClient(ts.MkAbs("data/ctl.sock"))
	for deadline := time.Now().Add(peers.Patience); ; time.Sleep(20 * time.Millisecond) {
		rest, err := atRest(ts.Getenv("ADMIN"), api)
		ts.Check(err)
		if rest {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("there is still mail under way")
		}
	}
}

// total WHO N fails unless WHO gets N mails in all, up to now.
func storyTotal(ts *testscript.TestScript, neg bool, args []string) {
	storyRest(ts, neg, nil)
	n := 0
	for _, m := range conversation(ts).world.sink.All() {
		if m.to == args[0] {
			n++
		}
	}
	if len(args) != 2 || fmt.Sprint(n) != args[1] {
		ts.Fatalf("%s has %d mails: %q", args[0], n, args)
	}
}

// idOf sets NAME to the id of a message or firm in the line of the last command's output
// before, or with, the words: a ticket is shown with a line per message, its
// text below.
func idOf(ts *testscript.TestScript, name, words string) {
	id := ""
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "msg_") || strings.HasPrefix(word, "org_") {
				id = word
			}
		}
		if strings.Contains(line, words) && id != "" {
			ts.Setenv(name, id)
			return
		}
	}
	ts.Fatalf("nothing with %q", words)
}

// pick OUT A B WORDS stores the one of two mails that has the words.
func storyPick(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args[1:3] {
		if text := ts.ReadFile(name); strings.Contains(text, args[3]) {
			ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
			return
		}
	}
	ts.Fatalf("neither has %q", args[3])
}
