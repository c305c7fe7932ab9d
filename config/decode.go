package config

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Default returns a configuration in which only hostname, admin, domains,
// agents and queues are missing.
func Default() *Config {
	c := &Config{}
	setDefaults(reflect.ValueOf(c).Elem())
	return c
}

// setDefaults fills a struct and the structs in it.
func setDefaults(v reflect.Value) {
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Struct && isSection(f.Type()) {
			setDefaults(f)
		}
	}
	if d, ok := v.Addr().Interface().(interface{ setDefaults() }); ok {
		d.setDefaults()
	}
}

// isSection tells tables of ours from values that happen to be structs.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(textUnmarshaler)
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// field is one declared key of a section.
type field struct {
	reflect.StructField
	key string
}

func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		out = append(out, field{f, f.Tag.Get("toml")})
	}
	return out
}

// table decodes a TOML table into the section that ptr points to.
func (p *parser) table(at path, ptr any, doc map[string]any) {
	v := reflect.ValueOf(ptr).Elem()
	fields := fieldsOf(v.Type())
	known := map[string]field{}
	for _, f := range fields {
		known[f.key] = f
	}
	meant := map[string]bool{} // keys that were misspelt are not missing as well
	for _, key := range slices.Sorted(maps.Keys(doc)) {
		if f, ok := known[key]; ok {
			p.value(at.with(key), v.FieldByIndex(f.Index), doc[key], f)
			continue
		}
		near := nearest(key, slices.Sorted(maps.Keys(known)))
		meant[near] = true
		p.unknown(at, key, doc[key], near, known)
	}
	for _, f := range fields {
		if _, set := doc[f.key]; !set && !meant[f.key] && f.Tag.Get("required") != "" {
			p.missing(at, f)
		}
	}
}

func (p *parser) unknown(at path, key string, value any, near string, known map[string]field) {
	what, hint := "unknown key "+strconv.Quote(key), ""
	_, isTable := value.(map[string]any)
	switch {
	case isTable && len(at) == 0:
		what = fmt.Sprintf("unknown section [%s]", quoteKey(key))
		if near != "" {
			hint = fmt.Sprintf("did you mean [%s]?", near)
		}
	case near != "":
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	if len(at) > 0 {
		what += fmt.Sprintf(" in [%s]", at)
	}
	p.errorf(at.with(key), hint, "%s", what)
	if known[near].Type == reflect.TypeFor[Secret]() {
		p.problems[len(p.problems)-1].Excerpt = "" // its value may be a secret
	}
}

func (p *parser) missing(at path, f field) {
	example := fmt.Sprintf("add  %s = %s", f.key, exampleValue(f))
	if len(at) == 0 {
		p.errorf(path{f.key}, example, "%s is missing", f.key)
		return
	}
	p.errorf(at, example, "[%s] has no %s", at, f.key)
}

// value decodes one TOML value into v, noting what is wrong with it.
func (p *parser) value(at path, v reflect.Value, doc any, f field) {
	t := v.Type()
	switch {
	case reflect.PointerTo(t).Implements(textUnmarshaler):
		if s, ok := wants[string](p, at, t, doc, f); ok {
			if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s)); err != nil {
				p.errorf(at, "", "%s: %s", keyName(at), err)
			}
		}
	case t.Kind() == reflect.Struct:
		if m, ok := wants[map[string]any](p, at, t, doc, f); ok {
			p.table(at, v.Addr().Interface(), m)
		}
	case t.Kind() == reflect.Map:
		if m, ok := wants[map[string]any](p, at, t, doc, f); ok {
			p.named(at, v, m, f)
		}
	case t.Kind() == reflect.Slice:
		if list, ok := wants[[]any](p, at, t, doc, f); ok {
			p.list(at, v, list, f)
		}
	case t.Kind() == reflect.String:
		if s, ok := wants[string](p, at, t, doc, f); ok {
			p.word(at, s, f)
			v.SetString(s)
		}
	case t.Kind() == reflect.Bool:
		if b, ok := wants[bool](p, at, t, doc, f); ok {
			v.SetBool(b)
		}
	case t.Kind() == reflect.Int:
		if n, ok := wants[int64](p, at, t, doc, f); ok {
			if lo, hi := bounds(f); n < int64(lo) || n > int64(hi) {
				p.errorf(at, "", "%s = %d is outside %d to %d", keyName(at), n, lo, hi)
				return
			}
			v.SetInt(n)
		}
	}
}

// wants notes a type error unless doc is a T.
func wants[T any](p *parser, at path, t reflect.Type, doc any, f field) (T, bool) {
	v, ok := doc.(T)
	if !ok {
		hint := "write  " + f.key + " = " + exampleValue(f)
		if t.Kind() == reflect.Map {
			hint = fmt.Sprintf("write  [%s.%s]", f.key, quoteKey(f.Tag.Get("example")))
		}
		p.errorf(at, hint, "%s must be %s, not %s", keyName(at), kindOf(t), tomlKind(doc))
	}
	return v, ok
}

// keyName is a key's last part; of an array element, the array's name.
func keyName(at path) string {
	last := at[len(at)-1]
	if _, err := strconv.Atoi(last); err == nil && len(at) > 1 {
		return at[len(at)-2]
	}
	return last
}

func (p *parser) word(at path, s string, f field) {
	words := f.Tag.Get("enum")
	if words == "" {
		return
	}
	list := strings.Split(words, "|")
	if !slices.Contains(list, s) {
		p.errorf(at, didYouMean(s, list), "%s = %q is none of %s", keyName(at), s, strings.Join(list, ", "))
	}
}

func (p *parser) list(at path, v reflect.Value, list []any, f field) {
	lo, hi := bounds(f)
	if len(list) < lo {
		p.errorf(at, "write  "+f.key+" = "+exampleValue(f), "%s is empty", keyName(at))
	}
	if len(list) > hi {
		p.errorf(at, "", "%s has %d entries; at most %d are read", keyName(at), len(list), hi)
		return
	}
	out := reflect.MakeSlice(v.Type(), 0, len(list))
	for i, doc := range list {
		before := len(p.problems)
		elem := reflect.New(v.Type().Elem()).Elem()
		p.value(at.with(strconv.Itoa(i)), elem, doc, f)
		// What is checked later by its place in the list must keep it.
		if len(p.problems) == before || isSection(elem.Type()) {
			out = reflect.Append(out, elem)
		}
	}
	v.Set(out)
}

// named decodes a table of tables, as [queue.support].
func (p *parser) named(at path, v reflect.Value, doc map[string]any, f field) {
	v.Set(reflect.MakeMap(v.Type()))
	for _, name := range slices.Sorted(maps.Keys(doc)) {
		here := at.with(name)
		m, ok := doc[name].(map[string]any)
		if !ok {
			p.errorf(here, "", "%s must be a section such as [%s.%s], not %s", here, f.key, quoteKey(f.Tag.Get("example")), tomlKind(doc[name]))
			continue
		}
		elem := reflect.New(v.Type().Elem().Elem())
		setDefaults(elem.Elem())
		p.table(here, elem.Interface(), m)
		v.SetMapIndex(reflect.ValueOf(name), elem)
	}
}

// bounds returns the limits of a number or of a list's length.
func bounds(f field) (lo, hi int) {
	hi = 1 << 30
	if s := f.Tag.Get("min"); s != "" {
		lo, _ = strconv.Atoi(s)
	}
	if s := f.Tag.Get("max"); s != "" {
		hi, _ = strconv.Atoi(s)
	}
	return lo, hi
}

func tomlKind(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case int64:
		return "a whole number"
	case float64:
		return "a fraction"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	}
	return "a date"
}

// kindOf names a type as the user writes it.
func kindOf(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Duration]():
		return `a duration in quotes such as "1h30m"`
	case reflect.TypeFor[Size]():
		return `a size in quotes such as "35MB"`
	case reflect.TypeFor[Rate]():
		return `a rate in quotes such as "20/s"`
	case reflect.TypeFor[Burst]():
		return `a limit in quotes such as "20/10m"`
	}
	switch {
	case isSection(t), t.Kind() == reflect.Map:
		return "a table"
	case t.Kind() == reflect.Slice:
		return "a list"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int:
		return "a whole number"
	}
	return "a string in quotes"
}
