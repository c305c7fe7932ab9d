package notify

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

func withFile(size int) string {
	content := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("0123456789abcde"), size/15))
	var lines strings.Builder
	for chunk := range slices.Chunk([]byte(content), 76) {
		lines.Write(chunk)
		lines.WriteByte('\n')
	}
	head, _, _ := strings.Cut(annasMail, "Content-Type")
	return head + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nSee the file.\n--b\n" +
		"Content-Type: application/pdf; name=plan.pdf\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=plan.pdf\n\n" +
		lines.String() + "--b--\n"
}

// scene is a day's work: a ticket opened, answered with a large file, noted on.
func scene(w *world) {
	k := w.ticket()
	k.Followers = []ticketing.Follower{{Agent: "fred", Address: "fred@elsewhere.example"}}
	w.put("ticket_created", k, w.add(k, ticketing.Message{MessageID: "<a1@customer.example>"}, annasMail))
	answer := ticketing.Message{Author: by("otto", "Otto", "otto@staff.example"), Direction: "out"}
	w.put("public_message", k, w.add(k, answer, withFile(200<<10)))
	note := ticketing.Message{Author: by("ada", "Ada", "ada@staff.example"), Visibility: "internal", Direction: "none"}
	w.put("internal_message", k, w.add(k, note, annasMail))
}

// told says who got what, by recipient and message, with the hash of the bytes.
func told(t *testing.T, w *world) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, s := range w.sent() {
		key := s.To + " " + s.Message + " " + s.Class
		if out[key] != "" {
			t.Errorf("%s was told twice", key)
		}
		out[key] = s.SHA256
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	scene(w)
	w.tell()
	if n := w.pending(); n != 0 {
		t.Errorf("%d notices are still there", n)
	}
	got := slices.Sorted(maps.Keys(told(t, w)))
	want := []string{
		"ada@staff.example msg_1000_1 notification",
		"anna@customer.example  autoack",
		"anna@customer.example msg_1000_2 reply",
		"bo@customer.example msg_1000_1 notification",
		"bo@customer.example msg_1000_2 reply",
		"fred@elsewhere.example msg_1000_1 notification",
		"fred@elsewhere.example msg_1000_2 notification",
		"fred@elsewhere.example msg_1000_3 notification",
		"otto@staff.example msg_1000_1 notification",
	}
	if !slices.Equal(got, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	before := len(w.sent())
	w.clock.move(time.Hour)
	w.tell()
	if after := len(w.sent()); after != before {
		t.Errorf("an hour later there are %d mails, were %d", after, before)
	}
}

// chunks counts the uploads that lie in the store, linked or not.
func chunks(w *world) (n int) {
	w.t.Helper()
	err := w.db.View(context.Background(), func(r store.Reader) error {
		n = 0
		for _, err := range r.ChunkIDs(nil) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// A worker that was overtaken leaves nothing: no mail, no bytes.
func TestLostClaim(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.ticket()
	w.put("public_message", k, w.add(k, ticketing.Message{Author: by("otto", "Otto", "otto@staff.example")}, withFile(200<<10)))
	before := chunks(w)
	var other []agenda.Job
	w.desk.onThread = sync.OnceFunc(func() {
		w.clock.move(2 * claimLease)
		var err error
		if other, err = w.agenda.Claim(context.Background(), ticketing.NoticeLane, 10, time.Minute, nil); err != nil {
			t.Error(err)
		}
	})
	if _, _, err := w.n.Step(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(other) != 1 {
		t.Fatalf("the other worker claimed %d notices", len(other))
	}
	if sent := w.sent(); len(sent) != 0 {
		t.Errorf("the overtaken worker sent to %v", recipients(sent))
	}
	if after := chunks(w); after != before {
		t.Errorf("%d uploads in the store, were %d", after, before)
	}
	w.update(func(tx store.Tx) error { return w.agenda.Again(tx, other[0], tx.Now()) })
	w.tell()
	if got := recipients(w.sent()); !slices.Equal(got, []string{"anna@customer.example", "bo@customer.example"}) {
		t.Errorf("told %v", got)
	}
}

// What fails for now is told later; nothing is sent in part.
func TestOutboxFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.ticket()
	w.put("public_message", k, w.add(k, ticketing.Message{Author: by("otto", "Otto", "otto@staff.example")}, withFile(200<<10)))
	before := chunks(w)
	w.outbox.fail = func(p message.Outbound) error {
		if p.To == "bo@customer.example" {
			return errors.New("no room")
		}
		return nil
	}
	w.tell()
	if sent := w.sent(); len(sent) != 0 || w.pending() != 1 {
		t.Errorf("sent to %v, %d notices wait", recipients(sent), w.pending())
	}
	if after := chunks(w); after != before {
		t.Errorf("%d uploads in the store, were %d", after, before)
	}
	if !strings.Contains(w.log.String(), "no room") {
		t.Errorf("the operator was not told why: %s", w.log)
	}
	w.outbox.fail = nil
	if w.tell(); len(w.sent()) != 0 {
		t.Error("it was tried again at once")
	}
	w.clock.move(retryMin)
	if w.tell(); len(w.sent()) != 2 {
		t.Errorf("told %v", recipients(w.sent()))
	}
}

// A notice that cannot be told keeps no other from being told.
func TestOneBadNotice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.ticket()
	m := w.add(k, ticketing.Message{Author: by("otto", "Otto", "otto@staff.example")}, annasMail)
	w.put("public_message", k, m, func(n *ticketing.Notice) { n.Message = "msg_gone" })
	w.update(func(tx store.Tx) error {
		return w.agenda.Put(tx, agenda.Job{Lane: ticketing.NoticeLane, Key: "garbage", Payload: []byte("{")})
	})
	w.put("public_message", k, m)
	w.tell()
	if len(w.sent()) != 2 || w.pending() != 2 {
		t.Errorf("told %v, %d notices wait", recipients(w.sent()), w.pending())
	}
}

// An address that is none is left out of the headers and of the audience.
func TestUnwritableAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.ticket()
	long := strings.Repeat("x", 70) + "@customer.example"
	k.CCs = append(k.CCs, ticketing.Person{Address: "broken@", Name: "Nobody"}, ticketing.Person{Address: long})
	w.put("public_message", k, w.add(k, ticketing.Message{Author: by("otto", "Otto", "otto@staff.example")}, annasMail))
	w.tell()
	if got := recipients(w.sent()); !slices.Equal(got, []string{"anna@customer.example", "bo@customer.example"}) || w.pending() != 0 {
		t.Errorf("told %v, %d notices wait", got, w.pending())
	}
	if cc := w.only("anna@customer.example").header("Cc"); strings.Contains(cc, "broken") || strings.Contains(cc, "xxx") {
		t.Errorf("Cc: %s", cc)
	}
	if log := w.log.String(); strings.Count(log, "cannot be written") != 2 || !strings.Contains(log, "broken@") {
		t.Errorf("the operator was told: %s", log)
	}
}

// Forty-eight CCs and a file: everybody gets the whole file, and what is kept
// in memory is a chunk of each mail.
func TestManyLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.ticket()
	k.CCs = nil
	for i := range 48 {
		k.CCs = append(k.CCs, ticketing.Person{Address: fmt.Sprintf("cc%d@customer.example", i)})
	}
	w.put("public_message", k, w.add(k, ticketing.Message{Author: by("otto", "Otto", "otto@staff.example")}, withFile(300<<10)))
	w.tell()
	list := w.sent()
	if len(list) != 49 {
		t.Fatalf("%d mails, want 49", len(list))
	}
	for _, s := range list {
		files := s.mail.Attachments()
		if len(files) != 1 {
			t.Fatalf("%s got %d files", s.To, len(files))
		}
		n, err := io.Copy(io.Discard, s.mail.Open(files[0]))
		if want := int64(300 << 10 / 15 * 15); n != want || err != nil {
			t.Fatalf("%s got %d bytes of the file, want %d (%v)", s.To, n, want, err)
		}
	}
}

// Staff get the files that fit, and are told of those that do not.
func TestFilesForStaff(t *testing.T) {
	t.Parallel()
	const size = 100
	mail, err := message.Parse(strings.NewReader(withFile(size)), int64(len(withFile(size))), message.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	file := mail.Attachments()[0]
	for _, c := range []struct {
		size       int64
		agent      string
		want, left int
	}{
		{size, "otto", 1, 0}, {maxCopiedFiles, "otto", 1, 0}, {maxCopiedFiles + 1, "otto", 0, 1}, {maxCopiedFiles + 1, "", 1, 0},
	} {
		file.End = file.Start + c.size
		got, left := files(&affair{mail: mail}, letter{agent: c.agent})
		if len(got) != c.want || left != c.left {
			t.Errorf("%d bytes for %q: %d files, %d left; want %d and %d", c.size, c.agent, len(got), left, c.want, c.left)
		}
	}
	a := stage("public_message", ticketing.Actor{Address: "anna@c"})
	if text, _ := body(a.affair, letter{agent: "otto"}, 2, ""); !strings.Contains(text, "2 more files are in the ticket") {
		t.Errorf("the text does not say what is left out:\n%s", text)
	}
}

// One customer needs SMTPUTF8: the others' mail does not.
func TestUnicodeAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.ticket()
	k.CCs = append(k.CCs, ticketing.Person{Address: "jürgen@müller.example", Name: "Jürgen"}, ticketing.Person{Address: "eva@müller.example"})
	w.put("public_message", k, w.add(k, ticketing.Message{Author: by("otto", "Otto", "otto@staff.example")}, annasMail))
	w.tell()
	for _, s := range w.sent() {
		if want := s.To == "jürgen@müller.example"; s.UTF8 != want {
			t.Errorf("the mail to %s: UTF8 %v, want %v", s.To, s.UTF8, want)
		}
	}
	for _, a := range w.only("anna@customer.example").mail.Header.Addresses("Cc") {
		if a.Name != "Jürgen" {
			continue
		}
		tag := strings.TrimPrefix(a.Local(), "support+")
		token, err := w.desk.keys.ParseAddressToken("support", tag)
		if err != nil || token.Kind != message.KindAlias || token.Person != message.PersonHash("jürgen@müller.example") {
			t.Errorf("Jürgen stands in it as %s: %+v, %v", a.Addr, token, err)
		}
		return
	}
	t.Error("Jürgen does not stand in Anna's mail")
}

// Run serves a notice that comes while it sleeps, and ends with its context.
func TestRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	arrived := make(chan struct{}, 10)
	w.outbox.fail = func(message.Outbound) error { arrived <- struct{}{}; return nil }
	go func() { done <- w.n.Run(ctx) }()
	k := w.ticket()
	m := w.add(k, ticketing.Message{Author: by("otto", "Otto", "otto@staff.example")}, annasMail)
	w.put("public_message", k, m)
	<-arrived
	<-arrived
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
