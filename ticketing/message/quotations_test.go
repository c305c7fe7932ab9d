package message

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
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

// quotedSource returns the text that a file of quotations/ is about.
func quotedSource(t testing.TB, file string) string {
	t.Helper()
	path := filepath.Join(corporaDir(t), "quotations", file)
	switch filepath.Ext(file) {
	case ".eml":
		m := parseFile(t, path)
		return m.Text()
	case ".html":
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return HTMLToText(toUTF8(b, ""))
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return cleanText(toUTF8(b, ""))
}

// quotationFloor is the share of rows met today.
const quotationFloor = 0.88

// TestQuotationsCorpus scores VisibleText against what other reply parsers
// promise. Our house rule differs from some of them on purpose, so the score is
// not meant to reach 100 %.
func TestQuotationsCorpus(t *testing.T) {
	t.Parallel()
	var met, all int
	for _, row := range tsvRows(t, "quotations/expected.tsv") {
		if row["field"] == "signature" {
			continue // detecting signatures without a mark is no promise of ours
		}
		text := quotedSource(t, row["file"])
		start := time.Now()
		visible, quoted := VisibleText(text)
		if strings.TrimSpace(text) != "" && strings.TrimSpace(visible) == "" {
			t.Errorf("%s: nothing visible", row["file"])
		}
		got := visible
		if row["field"] != "reply" {
			got = quoted
		}
		got = tidy(got)
		want := tidy(row["value"])
		ok := false
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
			ok = time.Since(start) < 10*time.Second
		default:
			t.Errorf("%s: unknown op %q", row["file"], row["op"])
		}
		all++
		if ok {
			met++
		} else if testing.Verbose() {
			t.Logf("%s %s %s want %q, got %q", row["file"], row["field"], row["op"], cutRunes(want, 200), cutRunes(got, 300))
		}
	}
	t.Logf("quotations: %d of %d rows, %.1f %%", met, all, 100*float64(met)/float64(all))
	if float64(met) < quotationFloor*float64(all) {
		t.Errorf("%d of %d rows are under the floor of %.0f %%", met, all, 100*quotationFloor)
	}
}
