package message

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// show writes a command as tests expect it.
func (c Command) show() string {
	if c.Err != "" {
		return c.Word + "!"
	}
	out := c.Word
	for _, s := range []string{c.Value, c.Role} {
		if s != "" {
			out += " " + s
		}
	}
	if len(c.Add)+len(c.Remove) > 0 {
		out += fmt.Sprintf(" +%v -%v", c.Add, c.Remove)
	}
	if c.Minutes != 0 {
		out += fmt.Sprintf(" %dmin", c.Minutes)
	}
	if c.Ticket != 0 {
		out += fmt.Sprintf(" #%d", c.Ticket)
	}
	if !c.At.IsZero() {
		out += " " + c.At.Format("2006-01-02T15:04")
	}
	if c.In != 0 {
		out += " in " + c.In.String()
	}
	return out
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"#status solved":                         "status solved",
		"#STATUS On Hold":                        "status on_hold",
		"#status on-hold":                        "status on_hold",
		"#status Waiting  Customer":              "status pending",
		"#status":                                "status!",
		"#status gone":                           "status!",
		"#solved":                                "status solved",
		"#solved now":                            "status!",
		"#close":                                 "status closed",
		"  #close\t":                             "status closed",
		"#close\u00a0":                           "status closed",
		"#assign otto":                           "assign otto",
		"#assign":                                "assign!",
		"#priority HIGH":                         "priority high",
		"#priority 1":                            "priority!",
		"#queue billing":                         "queue billing",
		"#category Hardware and such":            "category Hardware and such",
		"#tag +vip -old new":                     "tag +[vip new] -[old]",
		"#tag +":                                 "tag!",
		"#tag":                                   "tag!",
		"#due 2026-12-01":                        "due 2026-12-01T00:00",
		"#due 2026-12-01 17:30":                  "due 2026-12-01T17:30",
		"#due 2026-13-01":                        "due!",
		"#due none":                              "due",
		"#snooze 3d":                             "snooze in 72h0m0s",
		"#snooze 2W":                             "snooze in 336h0m0s",
		"#snooze 0d":                             "snooze!",
		"#snooze -1d":                            "snooze!",
		"#snooze 99999d":                         "snooze!",
		"#public":                                "visibility public",
		"#public please":                         "visibility!",
		"#note":                                  "visibility internal",
		"#note he is angry":                      "visibility internal",
		"#time 25m":                              "time 25min",
		"#time 25 min":                           "time 25min",
		"#time 1h":                               "time 60min",
		"#time 1h30":                             "time 90min",
		"#time 1h 30m":                           "time 90min",
		"#time 1,5h":                             "time 90min",
		"#time 1:05":                             "time 65min",
		"#time 1:5":                              "time!",
		"#time 25":                               "time!",
		"#time 0m":                               "time!",
		"#time 25h":                              "time!",
		"#time -5m":                              "time!",
		"#time 1e3h":                             "time!",
		"#cc +x@y.example -z@w.example":          "cc +[x@y.example] -[z@w.example]",
		"#cc <mailto:x@y.example>; q@y.org":      "cc +[x@y.example q@y.org] -[]",
		"#cc":                                    "cc!",
		"#merge 123":                             "merge #123",
		"#merge #123":                            "merge #123",
		"#merge x":                               "merge!",
		"#link 7":                                "link #7",
		"#task call the supplier":                "task call the supplier",
		"#task":                                  "task!",
		"#T=0.25":                                "time 15min",
		"#T=0.25 #R=Senior Engineer #S=Complete": "time Senior Engineer 15min, status solved",
		"#s=Waiting Customer #t=1,5":             "time 90min, status pending",
		"#S=In Progress":                         "status open",
		"#R=Engineer":                            "time!",
		"#T=":                                    "time!",
		"#T=x #S=Complete":                       "time!",
		"#T=1 #S=lost":                           "time!",
		"#T=1 #T=2":                              "time!",
		"#task " + strings.Repeat("x", 600):      "task!",
		"#word":                                  "",
		"#":                                      "",
		"# heading":                              "",
		"#123":                                   "",
		"#status:solved":                         "",
		"#solved.":                               "",
		"#notes":                                 "",
		"solved":                                 "",
		"> #solved":                              "",
		"##solved":                               "",
		"#T 0.25":                                "",
		"#TT=0.25":                               "",
		"＃solved":                                "",
	} {
		list, _, _ := Commands(line)
		var got []string
		for _, c := range list {
			got = append(got, c.show())
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%q: %q, want %q", line, s, want)
		}
	}
}

func TestCommandBlock(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		text, words, rest string
		lines             int
	}{
		{"Hello\n#solved", "", "Hello\n#solved", 0},
		{"#solved\nHello", "status", "Hello", 1},
		{"\n\n#solved\n\n #tag +a\n\nHello\n#close", "status tag", "Hello\n#close", 2},
		{"#solved\n#wow this is big\n#close", "status", "#wow this is big\n#close", 1},
		{"#solved\n#note don't tell\n#close", "status visibility", "#note don't tell\n#close", 1},
		{"#note\nsecret", "visibility", "secret", 1},
		{"#solved", "status", "", 1},
		{"#solved\n\n\n", "status", "", 1},
		{"", "", "", 0},
		{"\n\n", "", "\n\n", 0},
	} {
		list, lines, rest := Commands(x.text)
		var words []string
		for _, c := range list {
			words = append(words, c.Word)
		}
		if strings.Join(words, " ") != x.words || lines != x.lines || rest != x.rest {
			t.Errorf("%q: %v, %d lines, rest %q", x.text, words, lines, rest)
		}
		if got := SkipCommands(x.text, lines); got != x.rest {
			t.Errorf("%q skipped is %q", x.text, got)
		}
	}
	// However many there are, no command line becomes text.
	list, lines, rest := Commands(strings.Repeat("#solved\n", 30) + "Bye")
	if lines != 30 || rest != "Bye" || list[19].Err != "" || list[20].Err == "" {
		t.Errorf("%d lines, rest %q", lines, rest)
	}
	// What is no command is never skipped, whatever the count says.
	if got := SkipCommands("#solved\nDear Anna\n#close", 3); got != "Dear Anna\n#close" {
		t.Errorf("skipped %q", got)
	}
}

func TestHideCommands(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		text, visible, html       string
		lines                     int
		wantText, wantVis, wantIn string
		gone                      []string
	}{
		"plain": {"#solved\n#tag +x\n\nHello\n> old", "#solved\n#tag +x\n\nHello", "", 2, "Hello\n> old", "Hello", "", nil},
		"paragraphs": {"#solved\n\nHello", "#solved\n\nHello", "<html><body><p>#solved</p><p>Hello <b>you</b></p></body></html>", 1,
			"Hello", "Hello", "<p>Hello <b>you</b></p>", []string{"solved"}},
		"breaks, and a link": {"#cc +x@y.example\nHello", "#cc +x@y.example\nHello", `<div>#cc +<a href="mailto:x@y.example">x@y.example</a><br>Hello</div>`, 1,
			"Hello", "Hello", "Hello</div>", []string{"#cc", ">x@y.example<"}},
		"told apart by nothing": {"#solved\nHello <b>", "#solved\nHello <b>", "<p>#solved Hello</p>", 1, "Hello <b>", "Hello <b>", "<p>Hello &lt;b&gt;</p>", []string{"solved"}},
		"nothing to hide":       {"#solved", "#solved", "<p>#solved</p>", 0, "#solved", "#solved", "<p>#solved</p>", nil},
		"nothing left":          {"#solved", "#solved", "<p>#solved", 1, "", "", "<p>", []string{"solved"}},
	} {
		text, visible, html := HideCommands(x.text, x.visible, x.html, x.lines)
		if text != x.wantText || visible != x.wantVis || !strings.Contains(html, x.wantIn) {
			t.Errorf("%s: text %q, visible %q, html %q", name, text, visible, html)
		}
		for _, gone := range x.gone {
			if strings.Contains(html, gone) {
				t.Errorf("%s: %q is left in %q", name, gone, html)
			}
		}
	}
}

func FuzzCommands(f *testing.F) {
	f.Add("#T=0.25 #R=Engineer #S=Complete\n#cc +a@b -c@d\n\n#note x\n#close\nHello")
	f.Add("#snooze 3d\n#due 2026-12-01 17:30\n#time 1h30m\n#merge #7\n# x")
	f.Fuzz(func(t *testing.T, text string) {
		list, lines, rest := Commands(text)
		if len(list) == 0 && (lines != 0 || rest != text) {
			t.Fatalf("%q: no command, and the rest is %q", text, rest)
		}
		if got := SkipCommands(text, lines); strings.Trim(got, "\r\n") != strings.Trim(rest, "\r\n") && strings.TrimSpace(got) != strings.TrimSpace(rest) {
			t.Fatalf("%q: rest %q, skipped %q", text, rest, got)
		}
		if lines > 0 {
			if first, _, _ := Commands(rest); len(first) > 0 && first[0].Word != "visibility" {
				t.Fatalf("%q: the rest begins with the command %+v", text, first[0])
			}
		}
		for _, c := range list {
			switch {
			case c.Word == "" || len(c.Line) > maxCommandLine || !strings.HasPrefix(c.Line, "#"):
				t.Fatalf("%q: %+v", text, c)
			case c.Minutes < 0 || c.Minutes > maxCommandMinutes || c.In < 0 || c.In > 1000*7*24*time.Hour:
				t.Fatalf("%q: %+v", text, c)
			case c.Err == "" && (c.Word == "merge" || c.Word == "link") && c.Ticket == 0:
				t.Fatalf("%q: %+v", text, c)
			}
		}
		HideCommands(text, text, "<p>"+text+"</p>", lines)
	})
}
