package message

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The corpus's description of a mail.
type (
	wantMail struct {
		TextBody    []int      `json:"text_body"`
		HTMLBody    []int      `json:"html_body"`
		Attachments []int      `json:"attachments"`
		Parts       []wantPart `json:"parts"`
	}
	wantPart struct {
		Headers []struct {
			Name  any             `json:"name"`
			Value json.RawMessage `json:"value"`
		} `json:"headers"`
		Problem bool                       `json:"is_encoding_problem"`
		Body    map[string]json.RawMessage `json:"body"`
	}
	wantAddress struct {
		Name    string `json:"name"`
		Address string `json:"address"`
	}
	wantDate struct {
		Year, Month, Day, Hour, Minute, Second int
		Before                                 bool `json:"tz_before_gmt"`
		ZoneHour                               int  `json:"tz_hour"`
		ZoneMinute                             int  `json:"tz_minute"`
	}
)

func (w wantDate) time() time.Time {
	off := w.ZoneHour*3600 + w.ZoneMinute*60
	if w.Before {
		off = -off
	}
	return time.Date(w.Year, time.Month(w.Month), w.Day, w.Hour, w.Minute, w.Second, 0, time.FixedZone("", off))
}

func (p *wantPart) header(name string) json.RawMessage {
	for _, h := range p.Headers {
		if n, ok := h.Name.(string); ok && n == name {
			return h.Value
		}
	}
	return nil
}

// contentType returns type/subtype, "" if the part states none.
func (p *wantPart) contentType() string {
	var v struct {
		ContentType struct {
			Type string `json:"c_type"`
			Sub  string `json:"c_subtype"`
		}
	}
	if raw := p.header("content_type"); raw != nil {
		_ = json.Unmarshal(raw, &v)
	}
	if v.ContentType.Sub == "" {
		return ""
	}
	return strings.ToLower(v.ContentType.Type + "/" + v.ContentType.Sub)
}

func addressesOf(raw json.RawMessage) (list []wantAddress, ok bool) {
	var v struct {
		Address struct {
			List  []wantAddress
			Group []struct{ Addresses []wantAddress }
		}
	}
	if raw == nil || json.Unmarshal(raw, &v) != nil {
		return nil, false
	}
	list = v.Address.List
	for _, g := range v.Address.Group {
		list = append(list, g.Addresses...)
	}
	return slices.DeleteFunc(list, func(a wantAddress) bool { return !strings.Contains(a.Address, "@") }), list != nil
}

// tally counts checks of one kind.
type tally struct{ met, all int }

type scores struct {
	t   *testing.T
	sum map[string]*tally
}

func (s *scores) check(kind, where string, ok bool, format string, args ...any) {
	if s.sum[kind] == nil {
		s.sum[kind] = &tally{}
	}
	s.sum[kind].all++
	if ok {
		s.sum[kind].met++
	} else if testing.Verbose() {
		s.t.Logf("%s %s: %s", where, kind, cutRunes(fmt.Sprintf(format, args...), 400))
	}
}

// report prints the scores and holds them to their floors, in percent.
func (s *scores) report(floors map[string]float64) {
	s.t.Helper()
	for kind := range floors {
		if s.sum[kind] == nil {
			s.t.Errorf("%s: nothing was scored", kind)
		}
	}
	for kind, c := range s.sum {
		pct := 100 * float64(c.met) / float64(c.all)
		s.t.Logf("%-12s %4d of %4d  %5.1f %%", kind, c.met, c.all, pct)
		floor, ok := floors[kind]
		if !ok || pct < floor {
			s.t.Errorf("%s: %.1f %% is under the floor of %.1f %%", kind, pct, floor)
		}
	}
}

// TestMIMECorpus scores the walker against another reader's view of 107 mails.
// Of malformed mails only the content counts: their tree is a matter of opinion.
func TestMIMECorpus(t *testing.T) {
	t.Parallel()
	s := &scores{t: t, sum: map[string]*tally{}}
	files := corpusFiles(t, "mime/eml", func(n string) bool { return strings.HasSuffix(n, ".json") })
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want wantMail
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		m := parseFile(t, strings.TrimSuffix(file, ".json")+".eml")
		name := filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file)
		s.mail(name, m, m.Root, &want)
		s.attachments(name, m, &want)
	}
	s.report(map[string]float64{"structure": 98, "text": 97, "bytes": 100, "attachments": 97, "names": 100, "subject": 97, "addresses": 98, "date": 98})
}

func (s *scores) mail(name string, m *Mail, root *Part, want *wantMail) {
	got := flatten(root)
	s.headers(name, root.Header, &want.Parts[0])
	var gotShape, wantShape []string
	for _, p := range got {
		gotShape = append(gotShape, fmt.Sprintf("%s/%d", kindOf(p), len(childrenOf(p))))
	}
	for _, p := range want.Parts {
		n := 0
		if raw, ok := p.Body["Multipart"]; ok {
			var c []int
			_ = json.Unmarshal(raw, &c)
			n = len(c)
		}
		wantShape = append(wantShape, fmt.Sprintf("%s/%d", p.kind(), n))
	}
	same := slices.Equal(gotShape, wantShape)
	for i, p := range want.Parts {
		if p.Problem && !same && i < len(gotShape) && len(gotShape) == len(wantShape) {
			gotShape[i] = wantShape[i] // one reader's guess
			same = slices.Equal(gotShape, wantShape)
		}
	}
	if !strings.HasPrefix(name, "malformed/") {
		s.check("structure", name, same, "got %v, want %v", gotShape, wantShape)
	}
	if !same {
		return
	}
	for i, p := range got {
		s.part(fmt.Sprintf("%s[%d]", name, i), m, p, &want.Parts[i])
	}
}

func (p *wantPart) kind() string {
	for k := range p.Body {
		switch k {
		case "InlineBinary":
			return "Binary"
		case "Html":
			return "Text"
		default:
			return k
		}
	}
	return ""
}

func kindOf(p *Part) string {
	switch {
	case strings.HasPrefix(p.Type, "multipart/"):
		return "Multipart"
	case isMessage(p.Type) && len(p.Parts) > 0:
		return "Message"
	case strings.HasPrefix(p.Type, "text/"):
		return "Text"
	}
	return "Binary"
}

func childrenOf(p *Part) []*Part {
	if isMessage(p.Type) {
		return nil
	}
	return p.Parts
}

// flatten lists the parts of one mail in order, not those of nested mails.
func flatten(p *Part) []*Part {
	all := []*Part{p}
	for _, c := range childrenOf(p) {
		all = append(all, flatten(c)...)
	}
	return all
}

func (s *scores) part(name string, m *Mail, p *Part, want *wantPart) {
	if want.Problem || p.Encoding == "x-uuencode" { // the corpus leaves uuencode undone
		return
	}
	for kind, raw := range want.Body {
		switch kind {
		case "Text", "Html":
			var text string
			_ = json.Unmarshal(raw, &text)
			got := m.PartText(p)
			if len(p.uu) > 0 || strings.ContainsRune(text, '\uFFFD') {
				return // we take uuencoded files out of the text; the corpus's reader gave up on the charset
			}
			if strings.EqualFold(p.Params["format"], "flowed") {
				s.check("text", name, noSpace(got) == noSpace(cleanText(text)), "got %q, want %q", got, text)
				return
			}
			s.check("text", name, tidy(got) == tidy(cleanText(text)), "got %q, want %q", got, text)
		case "Binary", "InlineBinary":
			var list []int
			_ = json.Unmarshal(raw, &list)
			want := make([]byte, len(list))
			for i, v := range list {
				want[i] = byte(v)
			}
			got, _ := io.ReadAll(m.Open(p))
			s.check("bytes", name, sameBytes(got, want), "got %d bytes %q, want %d %q", len(got), cutRunes(string(got), 60), len(want), cutRunes(string(want), 60))
		case "Message":
			var inner wantMail
			if json.Unmarshal(raw, &inner) == nil && len(p.Parts) == 1 && len(inner.Parts) > 0 {
				s.mail(name, m, p.Parts[0], &inner)
			}
		}
	}
}

// sameBytes forgives the line ends of unencoded parts.
func sameBytes(got, want []byte) bool {
	lf := func(b []byte) []byte {
		return bytes.TrimRight(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), "\r\n")
	}
	return bytes.Equal(got, want) || bytes.Equal(lf(got), lf(want))
}

func (s *scores) headers(name string, h Header, want *wantPart) {
	var subject struct{ Text string }
	if raw := want.header("subject"); raw != nil && json.Unmarshal(raw, &subject) == nil {
		got := h.Text("Subject")
		if strings.ContainsRune(subject.Text, '\uFFFD') {
			return
		}
		s.check("subject", name, strings.Join(strings.Fields(got), " ") == strings.Join(strings.Fields(cleanLine(subject.Text)), " "), "got %q, want %q", got, subject.Text)
	}
	for _, f := range []string{"from", "to", "cc"} {
		if list, ok := addressesOf(want.header(f)); ok {
			got := h.Addresses(f)
			s.check("addresses", name, sameAddresses(got, list), "%s: got %v, want %v", f, got, list)
		}
	}
	var date struct{ DateTime wantDate }
	if raw := want.header("date"); raw != nil && json.Unmarshal(raw, &date) == nil && date.DateTime.Year > 0 {
		got, ok := h.Date()
		s.check("date", name, ok && got.Equal(date.DateTime.time()), "got %v, want %v", got, date.DateTime.time())
	}
}

// sameAddresses: the same mailboxes. Names are compared where both have one;
// ours never holds a comment beside a phrase, the corpus's does.
func sameAddresses(got []Address, want []wantAddress) bool {
	if len(got) != len(want) {
		return false
	}
	for i, w := range want {
		if strings.ContainsRune(w.Name, '\uFFFD') { // the corpus's reader gave up on the charset
			w.Name = got[i].Name
		}
		addr := strings.Map(func(r rune) rune {
			if r == ' ' {
				return -1
			}
			return r
		}, w.Address)
		if strings.HasPrefix(addr, "@") {
			_, addr, _ = strings.Cut(addr, ":")
		}
		if Fold(got[i].Addr) != Fold(addr) || !strings.HasPrefix(strings.TrimSpace(w.Name), got[i].Name) {
			return false
		}
	}
	return true
}

func (s *scores) attachments(name string, m *Mail, want *wantMail) {
	if strings.HasPrefix(name, "malformed/") {
		return
	}
	var got []*Part
	for _, p := range m.Attachments() {
		if p.Encoding != "x-uuencode" || p.Header != nil {
			got = append(got, p)
		}
	}
	s.check("attachments", name, len(got) == len(want.Attachments), "got %d, want %d", len(got), len(want.Attachments))
	if len(got) != len(want.Attachments) {
		return
	}
	for i, n := range want.Attachments {
		var disp struct {
			ContentType struct {
				Attributes []struct{ Name, Value string }
			}
		}
		names := ""
		for _, f := range []string{"content_disposition", "content_type"} {
			if raw := want.Parts[n].header(f); raw != nil && json.Unmarshal(raw, &disp) == nil {
				for _, a := range disp.ContentType.Attributes {
					if names == "" && (a.Name == "filename" || a.Name == "name") {
						names = a.Value
					}
				}
			}
			disp.ContentType.Attributes = nil
		}
		// The source's reader gave up on some charsets, and reads the backslashes
		// of a Windows path as escapes.
		path := len(names) > 2 && names[1] == ':' && got[i].Filename != "" && strings.HasSuffix(names, got[i].Filename)
		if names != "" && !strings.ContainsRune(names, '\uFFFD') {
			s.check("names", name, path || got[i].Filename == safeFilename(cleanLine(names)), "got %q, want %q", got[i].Filename, names)
		}
	}
}

// TestHeaderCorpus scores single header values.
func TestHeaderCorpus(t *testing.T) {
	t.Parallel()
	s := &scores{t: t, sum: map[string]*tally{}}
	vectors := func(file string, f func(value string, want json.RawMessage)) {
		b, err := os.ReadFile(filepath.Join(corporaDir(t), "mime", "headers", file+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var list []struct {
			Header   string
			Expected json.RawMessage
		}
		if err := json.Unmarshal(b, &list); err != nil {
			t.Fatal(err)
		}
		for _, v := range list {
			f(headerValue(v.Header), v.Expected)
		}
	}
	vectors("address", func(value string, raw json.RawMessage) {
		want, _ := addressesOf(json.RawMessage(`{"Address":` + string(raw) + `}`))
		got, _ := ParseAddressList(value, 100)
		for i, w := range want {
			want[i].Address = strings.TrimPrefix(strings.Split(w.Address+"?", "?")[0], "mailto:")
		}
		s.check("address", value, sameAddresses(got, want), "got %v, want %v", got, want)
	})
	vectors("content_type", func(value string, raw json.RawMessage) {
		var want *struct {
			Type       string `json:"c_type"`
			Sub        string `json:"c_subtype"`
			Attributes [][2]string
		}
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		got, params := parseParams(value)
		if want == nil {
			s.check("content_type", value, mediaType(got, "text/plain") == "text/plain", "got %q, want none", got)
			return
		}
		ok := strings.HasPrefix(got, strings.ToLower(want.Type))
		for _, a := range want.Attributes {
			if !strings.HasSuffix(a[0], "-language") {
				ok = ok && strings.TrimSpace(params[a[0]]) == cleanLine(a[1])
			}
		}
		s.check("content_type", value, ok, "got %q %v, want %v", got, params, *want)
	})
	vectors("date", func(value string, raw json.RawMessage) {
		var want *wantDate
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		got, ok := ParseDate(value)
		s.check("date", value, ok == (want != nil) && (want == nil || got.Equal(want.time())), "got %v %v, want %s", got, ok, raw)
	})
	vectors("id", func(value string, raw json.RawMessage) {
		var want []string
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		got := Header{{"Message-ID", value}}.IDs("message-id")
		ok := len(got) == len(want)
		for i := range min(len(got), len(want)) {
			ok = ok && got[i] == "<"+cleanID(want[i])+">"
		}
		s.check("id", value, ok, "got %q, want %q", got, want)
	})
	vectors("unstructured", func(value string, raw json.RawMessage) {
		var want string
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		got := DecodeWords(value)
		s.check("unstructured", value, got == want, "got %q, want %q", got, want)
	})
	s.report(map[string]float64{"address": 98, "content_type": 97, "date": 95, "id": 90, "unstructured": 86})
}

// headerValue unfolds a vector as the walker does; what follows an unfolded
// line end belongs to the next header.
func headerValue(raw string) string {
	m, err := Parse(strings.NewReader("X:"+raw), int64(len(raw)+2), DefaultLimits())
	if err != nil {
		return ""
	}
	return m.Header.Get("X")
}

// TestMailsCorpus scores subjects, addresses and attachments of real mails.
func TestMailsCorpus(t *testing.T) {
	t.Parallel()
	s := &scores{t: t, sum: map[string]*tally{}}
	mails := map[string]*Mail{}
	for _, row := range tsvRows(t, "mails/expected.tsv") {
		m := mails[row["file"]]
		if m == nil {
			b, err := os.ReadFile(filepath.Join(corporaDir(t), "mails", row["file"]))
			if err != nil {
				t.Fatal(err)
			}
			m = parseBytes(t, crlf(strings.ReplaceAll(string(b), "\r\n", "\n"))) // as on the wire
			mails[row["file"]] = m
		}
		want := row["value"]
		switch row["field"] {
		case "subject":
			got := m.Header.Text("Subject")
			s.check("subject", row["file"], got == want, "got %q, want %q", got, want)
		case "from", "to":
			list := m.Header.Addresses(row["field"])
			ok := want == "" && len(list) == 0
			for _, a := range list {
				ok = ok || strings.EqualFold(a.Addr, want)
			}
			s.check("address", row["file"], ok, "got %v, want %q", list, want)
		case "attachment":
			s.attachment(row["file"], m, want, row["sha256"])
		}
	}
	s.report(map[string]float64{"subject": 100, "address": 97, "attachment": 94})
}

// attachment finds a file by its content; of several with the same content the
// one with the right name.
func (s *scores) attachment(file string, m *Mail, name, sum string) {
	var seen []string
	for _, p := range m.Attachments() {
		b, _ := io.ReadAll(m.Open(p))
		whole, trimmed := sha256Of(b), sha256Of(bytes.TrimRight(b, "\r\n"))
		if (sum == "" || sum == whole || sum == trimmed) && (name == "" || p.Filename == safeFilename(name)) {
			s.check("attachment", file, true, "")
			return
		}
		seen = append(seen, p.Type+" "+p.Filename+" "+whole[:8])
	}
	s.check("attachment", file, false, "%q %s is not among %v", name, sum, seen)
}
