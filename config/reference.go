package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Reference returns the manual of all keys as Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Configuration

One TOML file. The file says how the server runs and which queues and agents it has; what people work with lives in the store.
Unknown keys are errors. Relative paths are relative to the file. Durations are written as in ` + "`90s`, `1h30m`, `4d`" + `
(w, d, h, m, s, ms); sizes as in ` + "`35MB`" + ` (steps of 1000) or ` + "`512KiB`" + ` (steps of 1024); rates as in ` + "`20/s`, `300/m`" + `.
` + "`ticketgate config check`" + ` reads the file without starting anything; ` + "`ticketgate config example`" + ` prints one to begin with.

This page is generated from the program; do not edit it.

`)
	root := reflect.TypeFor[Config]()
	b.WriteString("## Top level\n\n")
	referenceTable(&b, "", root, reflect.ValueOf(Default()).Elem())
	for _, f := range fieldsOf(root) {
		t, v, heading := f.Type, reflect.ValueOf(Default()).Elem().FieldByIndex(f.Index), f.key
		switch {
		case t.Kind() == reflect.Map:
			t, v = t.Elem().Elem(), reflect.New(t.Elem().Elem()).Elem()
			setDefaults(v)
			heading += "." + f.Tag.Get("name")
		case !isSection(t):
			continue
		}
		fmt.Fprintf(&b, "## [%s]\n\n%s\n\n", heading, f.Tag.Get("doc"))
		referenceTable(&b, "", t, v)
		for _, l := range fieldsOf(t) {
			if isList(l.Type) {
				fmt.Fprintf(&b, "## [[%s.%s]]\n\n%s\n\n", heading, l.key, l.Tag.Get("doc"))
				referenceTable(&b, "", l.Type.Elem(), reflect.New(l.Type.Elem()).Elem())
			}
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func referenceTable(b *strings.Builder, prefix string, t reflect.Type, v reflect.Value) {
	if t.NumField() == 0 {
		return
	}
	if prefix == "" {
		b.WriteString("| Key | Type | Default | Meaning |\n|---|---|---|---|\n")
	}
	for _, f := range fieldsOf(t) {
		fv := v.FieldByIndex(f.Index)
		if isSection(f.Type) {
			if t != reflect.TypeFor[Config]() {
				referenceTable(b, prefix+f.key+".", f.Type, fv)
			}
			continue
		}
		if f.Type.Kind() == reflect.Map || isList(f.Type) {
			continue
		}
		def := "`" + literal(fv) + "`"
		if f.Tag.Get("required") != "" {
			def = "required"
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s | %s |\n", prefix, f.key, typeWords(f), def, strings.ReplaceAll(f.Tag.Get("doc"), "|", `\|`))
	}
	if prefix == "" {
		b.WriteString("\n")
	}
}

// typeWords is the type column of the reference.
func typeWords(f field) string {
	t, list := f.Type, ""
	if t.Kind() == reflect.Slice {
		t, list = t.Elem(), "list of "
	}
	if words := f.Tag.Get("enum"); words != "" {
		return list + "`" + strings.ReplaceAll(words, "|", "`, `") + "`"
	}
	switch t.Kind() {
	case reflect.Bool:
		return list + "true or false"
	case reflect.Int:
		lo, hi := bounds(f)
		return fmt.Sprintf("%swhole number, %d to %d", list, lo, hi)
	}
	if name, ok := typeNames[t]; ok {
		return list + name
	}
	return list + "text"
}

var typeNames = map[reflect.Type]string{
	reflect.TypeFor[Duration]():   "duration",
	reflect.TypeFor[Size]():       "size",
	reflect.TypeFor[Rate]():       "rate",
	reflect.TypeFor[Burst]():      "number/duration",
	reflect.TypeFor[Secret]():     "secret",
	reflect.TypeFor[Path]():       "path",
	reflect.TypeFor[Hostname]():   "host name",
	reflect.TypeFor[Address]():    "mail address",
	reflect.TypeFor[ListenAddr](): "host:port",
	reflect.TypeFor[SocketAddr](): "host:port or unix:path",
	reflect.TypeFor[Resolver]():   "ip:port",
	reflect.TypeFor[HostPort]():   "host:port",
	reflect.TypeFor[Network]():    "network",
	reflect.TypeFor[NextHop]():    "host:port or unix:path",
	reflect.TypeFor[IPAddr]():     "IP address",
	reflect.TypeFor[Forwarder]():  "forwarder",
}

// literal writes a value as TOML.
func literal(v reflect.Value) string {
	if s, ok := v.Interface().(fmt.Stringer); ok && v.Kind() != reflect.Slice {
		return strconv.Quote(s.String())
	}
	switch v.Kind() {
	case reflect.String:
		return strconv.Quote(v.String())
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = literal(v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	}
	return strconv.FormatInt(v.Int(), 10)
}

// exampleValue writes a key's example as TOML, or its default if it has none.
func exampleValue(f field) string {
	example := f.Tag.Get("example")
	t := f.Type
	switch {
	case t.Kind() == reflect.Slice && example != "":
		return "[" + strconv.Quote(example) + "]"
	case example != "":
		return strconv.Quote(example)
	case t.Kind() == reflect.Bool:
		return "true"
	case t.Kind() == reflect.Int:
		return f.Tag.Get("max")
	case f.Tag.Get("enum") != "":
		first, _, _ := strings.Cut(f.Tag.Get("enum"), "|")
		return strconv.Quote(first)
	case isSection(t), t.Kind() == reflect.Map:
		return "{ … }"
	}
	return exampleOf(t)
}

func exampleOf(t reflect.Type) string {
	if t.Kind() == reflect.Slice {
		return "[" + exampleOf(t.Elem()) + "]"
	}
	switch t {
	case reflect.TypeFor[Duration]():
		return `"1h30m"`
	case reflect.TypeFor[Size]():
		return `"35MB"`
	case reflect.TypeFor[Rate]():
		return `"20/s"`
	case reflect.TypeFor[Burst]():
		return `"20/10m"`
	case reflect.TypeFor[ListenAddr]():
		return `":25"`
	}
	return `"…"`
}

var _ encoding.TextUnmarshaler = (*Duration)(nil)

// Example returns a configuration file to begin with. The short one has what
// must be there; the full one shows every key with its default, and those
// without a default as comments.
func Example(full bool) string {
	if !full {
		return shortExample
	}
	var b strings.Builder
	b.WriteString("# Ticketgate: every key with its default. Lines that begin with #key show keys without one.\n# Relative paths are relative to this file.\n\n")
	v := reflect.ValueOf(Default()).Elem()
	exampleTable(&b, "", v)
	for _, f := range fieldsOf(v.Type()) {
		fv, heading := v.FieldByIndex(f.Index), f.key
		switch {
		case f.Type.Kind() == reflect.Map:
			fv = reflect.New(f.Type.Elem().Elem()).Elem()
			setDefaults(fv)
			heading += "." + quoteKey(f.Tag.Get("example"))
		case !isSection(f.Type):
			continue
		}
		comment(&b, f.Tag.Get("doc"))
		fmt.Fprintf(&b, "[%s]\n", heading)
		exampleTable(&b, "", fv)
		b.WriteString("\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func exampleTable(b *strings.Builder, prefix string, v reflect.Value) {
	top := v.Type() == reflect.TypeFor[Config]()
	for _, f := range fieldsOf(v.Type()) {
		fv := v.FieldByIndex(f.Index)
		switch {
		case isSection(f.Type) && !top:
			exampleTable(b, prefix+f.key+".", fv)
			continue
		case isSection(f.Type), f.Type.Kind() == reflect.Map:
			continue
		}
		comment(b, f.Tag.Get("doc"))
		if isList(f.Type) {
			fmt.Fprintf(b, "#%s%s = [%s]\n", prefix, f.key, exampleInline(f.Type.Elem()))
			continue
		}
		switch {
		case f.Tag.Get("required") != "" || f.Name == "Agents":
			fmt.Fprintf(b, "%s%s = %s\n", prefix, f.key, exampleValue(f))
		case f.Type.Kind() != reflect.Bool && f.Type.Kind() != reflect.Int && fv.IsZero():
			fmt.Fprintf(b, "#%s%s = %s\n", prefix, f.key, exampleValue(f))
		default:
			fmt.Fprintf(b, "%s%s = %s\n", prefix, f.key, literal(fv))
		}
		if top {
			b.WriteString("\n")
		}
	}
}

// isList tells lists of tables from lists of values.
func isList(t reflect.Type) bool { return t.Kind() == reflect.Slice && isSection(t.Elem()) }

// exampleInline writes a table with all keys that have an example on one line.
func exampleInline(t reflect.Type) string {
	var parts []string
	for _, f := range fieldsOf(t) {
		switch {
		case isSection(f.Type):
			parts = append(parts, f.key+" = "+exampleInline(f.Type))
		case f.Tag.Get("example") != "":
			parts = append(parts, f.key+" = "+exampleValue(f))
		}
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

// comment writes words as comment lines of at most 100 characters.
func comment(b *strings.Builder, text string) {
	line := "#"
	for _, w := range strings.Fields(text) {
		if len(line)+1+len(w) > 100 {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + w
	}
	if line != "#" {
		b.WriteString(line + "\n")
	}
}

const shortExample = `hostname = "mail.help.example"           # our name in HELO; must match the PTR record
admin    = "ada@help.example"            # who reads what the server says about itself

[domain."help.example"]                  # we are MX for it; DKIM keys are made on first start

[agent.otto]
name      = "Otto"
addresses = ["otto@help.example"]        # addresses he writes from

[queue.support]
address = "support@help.example"
agents  = ["otto"]
`
