package message

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ticketgate/test/corpora"
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

// TestQuotationsCorpus scores the public functions against what other reply
// parsers promise, set by set. What fails is listed; rows whose expectation
// contradicts our rule are counted apart, with the reason.
func TestQuotationsCorpus(t *testing.T) {
	t.Parallel()
	var scores corpora.Splits
	for _, row := range corpora.Quotations(t) {
		text, visible, quoted := splitFile(t, row.File)
		if strings.TrimSpace(text) != "" && strings.TrimSpace(visible) == "" {
			t.Errorf("%s: nothing visible", row.File)
		}
		if a, b := len(strings.Fields(text)), len(strings.Fields(visible))+len(strings.Fields(quoted)); a != b {
			t.Errorf("%s: %d words became %d", row.File, a, b)
		}
		scores.Judge(t, row, visible, quoted)
	}
	scores.Report(t)
}
