package smtpd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestDialogues runs the conversations in testdata. A line of such a file is
//
//	C: text      the client sends text and CRLF; what stands in consecutive
//	             lines leaves in one packet
//	C> text      the same without CRLF, with Go's escapes, text* 100 repeats it
//	S: pattern   the last line of the next reply; * stands for anything
//	S- pattern   one of the other lines of the reply that the next S: ends
//	END          the server has closed
//	DROP         the client closes
//	TLS          the client begins its handshake
//	WAIT 61s     time passes
//	SHUTDOWN     the server is told to go down
//	TOOK 2s      that much time has passed since the last TOOK, or the beginning
//	RELEASE      the desk finishes what it received for slow@
//	= mails 2    what the desk has: mails, from, rcpts, raw (a Go string), helo,
//	             tls, header (a pattern), source, user, peer
//	= log text   the log has the text; = nolog text
//	option …     before all else: tls, size 1000, peer 192.0.2.7, full, pregreet 200ms,
//	             listener lmtp, domain help.example, proxy 10.0.0.0/8, deny 192.0.2.0/24
func TestDialogues(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatal("dialogues are missing:", files, err)
	}
	blobs := newBlobs(t)
	certificate()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &play{t: t, peer: "192.0.2.7", set: setting{blobs: blobs}}
				for n, line := range strings.Split(string(text), "\n") {
					p.at = fmt.Sprintf("%s:%d", file, n+1)
					if !p.do(line) {
						break
					}
				}
				p.end()
			})
		})
	}
}

type play struct {
	t     *testing.T
	at    string
	peer  string
	set   setting
	house *house
	c     *client
	out   strings.Builder
	seen  []string // lines of the reply not yet matched
	want  []string // of S-
	down  chan error
	mark  time.Time // of the last TOOK
}

func (p *play) do(line string) bool {
	word, rest, _ := strings.Cut(line, " ")
	if line == "" || line[0] == '#' {
		return true
	}
	if word == "option" {
		p.option(rest)
		return true
	}
	if p.house == nil {
		p.house = newHouse(p.t, p.set)
		p.c = p.house.dial(p.peer)
		p.mark = time.Now()
	}
	if word != "C:" && word != "C>" {
		p.flush()
	}
	switch word {
	case "C:":
		p.out.WriteString(rest + "\r\n")
	case "C>":
		p.out.WriteString(p.unquote(rest))
	case "S-":
		p.want = append(p.want, rest)
	case "S:":
		return p.hear(rest)
	case "END":
		return p.hear("EOF")
	case "DROP":
		p.c.drop()
	case "TLS":
		if err := p.c.startTLS(); err != nil {
			p.t.Errorf("%s: handshake: %v", p.at, err)
			return false
		}
	case "WAIT":
		d, err := time.ParseDuration(rest)
		if err != nil {
			p.t.Fatal(p.at, err)
		}
		time.Sleep(d)
	case "TOOK":
		if took := time.Since(p.mark).String(); took != rest {
			p.t.Errorf("%s: %s have passed, not %s", p.at, took, rest)
		}
		p.mark = time.Now()
	case "SHUTDOWN":
		p.down = make(chan error, 1)
		go func() { p.down <- p.house.server.Shutdown(context.Background()) }()
		synctest.Wait()
	case "RELEASE":
		<-p.house.desk.enter
		close(p.house.desk.block)
	case "=":
		synctest.Wait()
		return p.check(rest)
	default:
		p.t.Fatalf("%s: what is %q?", p.at, line)
	}
	return true
}

func (p *play) option(text string) {
	word, arg, _ := strings.Cut(text, " ")
	switch word {
	case "tls":
		p.set.tls = serverTLS()
	case "size":
		n, err := strconv.ParseInt(arg, 10, 64)
		if err != nil {
			p.t.Fatal(p.at, err)
		}
		p.set.maxSize = n
	case "peer":
		p.peer = arg
	case "full":
		p.set.space = func() error { return errors.New("disk is full: secret story") }
	case "pregreet":
		d, err := time.ParseDuration(arg)
		if err != nil {
			p.t.Fatal(p.at, err)
		}
		p.set.limits.PreGreet = d
	case "listener":
		p.set.kind = arg
	case "domain":
		p.set.domains = append(p.set.domains, arg)
	case "proxy":
		p.set.proxies = append(p.set.proxies, netip.MustParsePrefix(arg))
	case "deny":
		p.set.limits.Deny = append(p.set.limits.Deny, netip.MustParsePrefix(arg))
	default:
		p.t.Fatalf("%s: what is option %q?", p.at, text)
	}
}

func (p *play) unquote(s string) string {
	s, times, repeated := strings.Cut(s, "* ")
	s, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	if err != nil {
		p.t.Fatalf("%s: %v", p.at, err)
	}
	if repeated {
		n, err := strconv.Atoi(times)
		if err != nil {
			p.t.Fatalf("%s: %v", p.at, err)
		}
		s = strings.Repeat(s, n)
	}
	return s
}

func (p *play) flush() {
	if p.out.Len() == 0 {
		return
	}
	// Whether the server still listens shows in what it says next.
	_ = p.c.send(p.out.String())
	p.out.Reset()
}

func (p *play) hear(pattern string) bool {
	lines := p.c.reply()
	for _, w := range p.want {
		if !slices.ContainsFunc(lines, func(l string) bool { return like(w, l) }) {
			p.t.Errorf("%s: no line of the reply is like %q:\n%s", p.at, w, strings.Join(lines, "\n"))
		}
	}
	p.want = nil
	if !like(pattern, last(lines)) {
		p.t.Errorf("%s: the server said %q, not %q", p.at, lines, pattern)
		return false
	}
	return true
}

// like is a match where only * has a meaning.
func like(pattern, s string) bool {
	pattern = strings.NewReplacer(`\`, `\\`, "?", `\?`, "[", `\[`).Replace(pattern)
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(s, "/", "\x00"))
	return ok && err == nil
}

func (p *play) check(text string) bool {
	word, want, _ := strings.Cut(text, " ")
	mails := p.house.desk.all()
	if word == "log" || word == "nolog" {
		if has := strings.Contains(p.house.log.String(), want); has != (word == "log") {
			p.t.Errorf("%s: %q in the log: %v\n%s", p.at, want, has, p.house.log)
		}
		return true
	}
	if word == "mails" {
		if got := strconv.Itoa(len(mails)); got != want {
			p.t.Errorf("%s: the desk has %s mails, not %s", p.at, got, want)
			return false
		}
		return true
	}
	if len(mails) == 0 {
		p.t.Errorf("%s: the desk has no mail", p.at)
		return false
	}
	m := mails[len(mails)-1]
	var got string
	switch word {
	case "from":
		got = "<" + m.EnvelopeFrom + ">"
	case "rcpts":
		got = strings.Join(m.Recipients, " ")
	case "helo":
		got = m.HELO
	case "tls":
		got = strconv.FormatBool(m.TLS)
	case "source":
		got = m.Source
	case "user":
		got = m.User
	case "peer":
		got = m.RemoteIP.String()
	case "raw":
		got, want = string(m.raw), p.unquote(want)
	case "header":
		got = strings.ReplaceAll(m.Header, "\r\n", "|")
		if like(want, got) {
			return true
		}
	default:
		p.t.Fatalf("%s: what is %q?", p.at, word)
	}
	if got != want {
		p.t.Errorf("%s: %s is\n%q, not\n%q", p.at, word, got, want)
	}
	return true
}

// end closes everything; the bubble then notices what is left running.
func (p *play) end() {
	p.flush()
	p.c.drop()
	if p.down != nil {
		if err := <-p.down; err != nil {
			p.t.Errorf("shutdown: %v", err)
		}
		<-p.house.served
		return
	}
	p.house.close()
}
