package corpora

import (
	"fmt"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Quotation is one expectation about how a text is split into what its author
// newly wrote and the rest.
type Quotation struct {
	File                          string // below quotations/
	Field, Op, Value, Basis, Note string
}

// Quotations reads the table of quotations/.
func Quotations(t testing.TB) (rows []Quotation) {
	t.Helper()
	b, err := os.ReadFile(Path(t, "quotations", "expected.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	unescape := strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t", `\r`, "\r")
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	columns := strings.Split(lines[0], "\t")
	for _, l := range lines[1:] {
		var q Quotation
		fields := map[string]*string{"file": &q.File, "field": &q.Field, "op": &q.Op, "value": &q.Value, "basis": &q.Basis, "note": &q.Note}
		for i, f := range strings.Split(l, "\t") {
			if i < len(columns) && fields[columns[i]] != nil {
				*fields[columns[i]] = unescape.Replace(f)
			}
		}
		rows = append(rows, q)
	}
	if len(rows) < 150 {
		t.Fatalf("%d rows: the table is not whole", len(rows))
	}
	return rows
}

// Set is the group of files that are scored together.
func (q Quotation) Set() string {
	if set, _, _ := strings.Cut(q.File, "/"); set != "talon" {
		return set
	}
	return path.Dir(q.File)
}

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

// SetAside says why a row is no expectation of ours, "" if it is one.
func (q Quotation) SetAside() string {
	if q.Field == "signature" || q.Field == "quoted" {
		return "what is shown is split in two, not in kinds"
	}
	for note, why := range otherHouses {
		if strings.HasPrefix(q.Note, note) {
			return why
		}
	}
	return ""
}

// Floors of each set: the share of rows that are met, the share of texts whose
// visible part is exactly the expected one, and the share of the author's lines
// that may be missing from it.
const (
	quotationFloor = 0.85
	lostCeiling    = 0.01
)

// Splits scores answers to the rows.
type Splits struct {
	sets, strict map[string]*splitScore
	aside        splitScore
}

type splitScore struct {
	rows, met    int
	texts, exact int // rows that give the whole visible text
	lines, lost  int // of the author's, in those
}

// Judge scores one row and logs what is not met.
func (s *Splits) Judge(t testing.TB, q Quotation, visible, quoted string) {
	t.Helper()
	if s.sets == nil {
		s.sets, s.strict = map[string]*splitScore{}, map[string]*splitScore{}
	}
	of := func(m map[string]*splitScore) *splitScore {
		if m[q.Set()] == nil {
			m[q.Set()] = &splitScore{}
		}
		return m[q.Set()]
	}
	of(s.strict).judge(q, visible, quoted)
	if why := q.SetAside(); why != "" {
		if ok, _ := s.aside.judge(q, visible, quoted); !ok {
			t.Logf("set aside: %s %s: %s", q.File, q.Field, why)
		}
		return
	}
	if ok, lost := of(s.sets).judge(q, visible, quoted); !ok {
		t.Logf("not met (author's lines lost: %v): %s %s %s\n want %.200q\n  got %.700q", lost, q.File, q.Field, q.Op, tidy(q.Value), visible)
	}
}

// Report prints the scores and fails the test if a set is under a floor.
func (s *Splits) Report(t testing.TB) {
	t.Helper()
	sets := slices.Sorted(maps.Keys(s.sets))
	for _, set := range sets {
		c := s.sets[set]
		t.Logf("quotations %-24s %s", set, c)
		if share(c.met, c.rows) < quotationFloor || c.texts > 0 && share(c.exact, c.texts) < quotationFloor || c.lines > 0 && share(c.lost, c.lines) > lostCeiling {
			t.Errorf("%s is under its floor", set)
		}
	}
	for _, set := range slices.Sorted(maps.Keys(s.strict)) {
		t.Logf("with nothing set aside %-36s %s", set, s.strict[set])
	}
	t.Logf("quotations set aside: %d rows, %d of them met all the same", s.aside.rows, s.aside.met)
	if len(sets) < 4 || s.aside.rows > 30 {
		t.Errorf("sets %v, %d rows set aside: the corpus is not whole", sets, s.aside.rows)
	}
}

func (s *splitScore) String() string {
	return fmt.Sprintf("rows %3d of %3d, exact visible text %2d of %2d (%.1f %%), lines lost %d of %d (%.2f %%)",
		s.met, s.rows, s.exact, s.texts, 100*share(s.exact, s.texts), s.lost, s.lines, 100*share(s.lost, s.lines))
}

func share(n, of int) float64 { return float64(n) / float64(max(of, 1)) }

func (s *splitScore) judge(q Quotation, visible, quoted string) (ok, lostLine bool) {
	got, want := tidy(visible), tidy(q.Value)
	if q.Field == "elided" || q.Field == "quoted" || q.Field == "signature" {
		got = tidy(quoted)
	}
	switch q.Op {
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
		ok = regexp.MustCompile(`(?m)` + q.Value).MatchString(got)
	case "max-seconds":
		ok = true // it came back at all; how the time grows is tested by itself
	}
	s.rows++
	if ok {
		s.met++
	}
	if q.Field != "reply" || q.Op != "equals" && q.Op != "equals-nospace" {
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

// tidy brings a text to the form the table compares.
func tidy(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t\u00a0")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}

func noSpace(s string) string { return strings.Join(strings.Fields(s), "") }
