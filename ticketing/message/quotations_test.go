package message

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tsvRows reads one of the corpora's tables.
func tsvRows(t testing.TB, file string) []map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(corporaDir(t), file))
	if err != nil {
		t.Fatal(err)
	}
	unescape := strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t", `\r`, "\r")
	var rows []map[string]string
	var cols []string
	for _, l := range strings.Split(strings.TrimRight(string(b), "\n"), "\n") {
		f := strings.Split(strings.TrimRight(l, "\r"), "\t")
		if cols == nil {
			cols = f
			continue
		}
		row := map[string]string{}
		for i, c := range cols {
			if i < len(f) {
				row[c] = unescape.Replace(f[i])
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// tidy brings a text to the form the table compares.
func tidy(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t\u00a0")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}

func noSpace(s string) string { return strings.Join(strings.Fields(s), "") }

// splitFile splits a file of quotations/ as a mail's part of its sort is split.
func splitFile(t testing.TB, file string) (text, visible, quoted string) {
	t.Helper()
	path := filepath.Join(corporaDir(t), "quotations", file)
	if filepath.Ext(file) == ".eml" {
		r := parseFile(t, path).Reply()
		return r.Text, r.Visible, r.Quoted
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Ext(file) == ".html" {
		page := toUTF8(b, "")
		visible, quoted = VisibleHTML(page)
		return HTMLToText(page), visible, quoted
	}
	text = cleanText(toUTF8(b, ""))
	visible, quoted = VisibleText(text)
	return text, visible, quoted
}

// Floors per set: the share of texts whose visible part is exactly the expected
// one, and the share of the author's lines that may be missing from it.
const (
	exactFloor = 0.85
	lostCeil   = 0.01
)

// otherHouses are expectations that contradict our rule, which is: device lines,
// what stands below "-- " and quotations above one answer fold; a name or a
// greeting at the end stays, and so does whatever no mark sets apart, because
// losing an author's line is worse than showing one too many. The key is how
// the table's note begins.
var otherHouses = map[string]string{
	"hides a signature that":                    "-Name is a signature for one school and text for the other; it stays",
	"keeps the device or client line":           "device lines and what stands below -- fold",
	"the block from \"Regards,\" on":            "a greeting and a name stay",
	"for products that split signatures off":    "signatures without a mark stay",
	"text below the device line carries no":     "text without any mark stays",
	"the name \"Bob\" above the rule goes with": "a name stays",
}

func setAside(row map[string]string) string {
	if row["field"] == "signature" || row["field"] == "quoted" {
		return "what is shown is split in two, not in kinds"
	}
	for note, why := range otherHouses {
		if strings.HasPrefix(row["note"], note) {
			return why
		}
	}
	return ""
}

// score counts for one set of files.
type score struct {
	rows, met    int // rows of every kind
	texts, exact int // rows that give the whole visible text
	lines, lost  int // of the author's, in those
}

func (s *score) judge(row map[string]string, visible, quoted string) (ok, lostLine bool) {
	got, want := tidy(visible), tidy(row["value"])
	if row["field"] == "elided" || row["field"] == "quoted" || row["field"] == "signature" {
		got = tidy(quoted)
	}
	switch row["op"] {
	case "equals":
		ok = got == want
	case "equals-nospace":
		ok = noSpace(got) == noSpace(want)
	case "starts":
		ok = strings.HasPrefix(got, want)
	case "contains":
		ok = strings.Contains(got, want)
	case "absent":
		ok = !strings.Contains(got, want)
	case "not-empty":
		ok = got != ""
	case "matches":
		ok = regexp.MustCompile(`(?m)` + row["value"]).MatchString(got)
	case "max-seconds":
		ok = true // it came back at all; how the time grows is tested by itself
	}
	s.rows++
	if ok {
		s.met++
	}
	if row["field"] != "reply" || row["op"] != "equals" && row["op"] != "equals-nospace" {
		return ok, false
	}
	s.texts++
	if ok {
		s.exact++
	}
	all := noSpace(got)
	for _, l := range strings.Split(want, "\n") {
		if l = noSpace(l); l != "" {
			s.lines++
			if !strings.Contains(all, l) {
				s.lost++
				lostLine = true
			}
		}
	}
	return ok, lostLine
}

// TestQuotationsCorpus scores the public functions against what other reply
// parsers promise, set by set. What fails is listed; rows whose expectation
// contradicts our rule are counted apart, with the reason.
func TestQuotationsCorpus(t *testing.T) {
	t.Parallel()
	scores, strict, aside := map[string]*score{}, map[string]*score{}, &score{}
	for _, row := range tsvRows(t, "quotations/expected.tsv") {
		text, visible, quoted := splitFile(t, row["file"])
		if strings.TrimSpace(text) != "" && strings.TrimSpace(visible) == "" {
			t.Errorf("%s: nothing visible", row["file"])
		}
		if a, b := len(strings.Fields(text)), len(strings.Fields(visible))+len(strings.Fields(quoted)); a != b {
			t.Errorf("%s: %d words became %d", row["file"], a, b)
		}
		set, _, _ := strings.Cut(row["file"], "/")
		if strings.HasPrefix(row["file"], "talon/") {
			set = filepath.Dir(row["file"])
		}
		if strict[set] == nil {
			strict[set] = &score{}
		}
		strict[set].judge(row, visible, quoted)
		if why := setAside(row); why != "" {
			if ok, _ := aside.judge(row, visible, quoted); !ok {
				t.Logf("set aside: %s %s: %s", row["file"], row["field"], why)
			}
			continue
		}
		s := scores[set]
		if s == nil {
			s = &score{}
			scores[set] = s
		}
		if ok, lost := s.judge(row, visible, quoted); !ok {
			t.Logf("not met (author's lines lost: %v): %s %s %s\n want %q\n  got %q", lost, row["file"], row["field"], row["op"], cutRunes(tidy(row["value"]), 200), cutRunes(visible, 700))
		}
	}
	sets := slices.Sorted(maps.Keys(scores))
	for _, set := range sets {
		s := scores[set]
		exact, lost := float64(s.exact)/float64(max(s.texts, 1)), float64(s.lost)/float64(max(s.lines, 1))
		t.Logf("quotations %-24s rows %3d of %3d, exact visible text %2d of %2d (%.1f %%), lines lost %d of %d (%.2f %%)", set, s.met, s.rows, s.exact, s.texts, 100*exact, s.lost, s.lines, 100*lost)
		if s.texts > 0 && exact < exactFloor || lost > lostCeil || float64(s.met) < exactFloor*float64(s.rows) {
			t.Errorf("%s is under its floor", set)
		}
	}
	for _, set := range slices.Sorted(maps.Keys(strict)) {
		s := strict[set]
		t.Logf("with nothing set aside %-36s exact visible text %2d of %2d, lines lost %d of %d", set, s.exact, s.texts, s.lost, s.lines)
	}
	t.Logf("quotations set aside: %d rows, %d of them met all the same", aside.rows, aside.met)
	if len(sets) < 4 || aside.rows > 30 {
		t.Errorf("sets %v, %d rows set aside: the corpus is not whole", sets, aside.rows)
	}
}
