package message

import (
	"regexp"
	"strings"
)

func set(names string) map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(names) {
		m[n] = true
	}
	return m
}

func elements(list string) map[string]string {
	m := map[string]string{}
	for _, n := range strings.Fields(list) {
		name, as, other := strings.Cut(n, "=")
		if !other {
			as = name
		}
		m[name] = as
	}
	return m
}

// The forms that values of attributes have.
var (
	formLength = regexp.MustCompile(`^[0-9]{1,5}(\.[0-9]{1,3})?(%|px)?$`)
	formNumber = regexp.MustCompile(`^[0-9]{1,4}$`)
	formColor  = regexp.MustCompile(`^#?[0-9A-Za-z]{1,20}$`)
	formWord   = regexp.MustCompile(`^[A-Za-z0-9-]{1,35}$`)
	formSize   = regexp.MustCompile(`^[+-]?[0-9]{1,2}$`)
	formFonts  = regexp.MustCompile(`^[\p{L}0-9 ,_-]{1,200}$`)
	formAlign  = regexp.MustCompile(`(?i)^(left|right|center|justify|top|middle|bottom|baseline|absmiddle)$`)
	formDir    = regexp.MustCompile(`(?i)^(ltr|rtl|auto)$`)
	formList   = regexp.MustCompile(`^(?i:1|a|i|disc|circle|square)$`)
	formCite   = regexp.MustCompile(`(?i)^cite$`)
	formHidden = regexp.MustCompile(`^(display|size|color|opacity)$`)
	formTime   = regexp.MustCompile(`^[0-9A-Za-z:.+ -]{1,40}$`)
)

// plainAttributes are those whose value only needs a form, by element; "" is
// every element.
var plainAttributes = map[string]map[string]*regexp.Regexp{
	"":           {"dir": formDir, "lang": formWord},
	"table":      {"width": formLength, "height": formLength, "align": formAlign, "bgcolor": formColor, "border": formNumber, "cellpadding": formNumber, "cellspacing": formNumber},
	"tr":         {"align": formAlign, "valign": formAlign, "bgcolor": formColor, "height": formLength},
	"td":         {"width": formLength, "height": formLength, "align": formAlign, "valign": formAlign, "bgcolor": formColor, "colspan": formNumber, "rowspan": formNumber},
	"th":         {"width": formLength, "height": formLength, "align": formAlign, "valign": formAlign, "bgcolor": formColor, "colspan": formNumber, "rowspan": formNumber},
	"tbody":      {"align": formAlign, "valign": formAlign},
	"thead":      {"align": formAlign, "valign": formAlign},
	"tfoot":      {"align": formAlign, "valign": formAlign},
	"div":        {"align": formAlign},
	"p":          {"align": formAlign},
	"h1":         {"align": formAlign},
	"h2":         {"align": formAlign},
	"h3":         {"align": formAlign},
	"hr":         {"align": formAlign, "width": formLength, "size": formSize, "color": formColor},
	"img":        {"width": formLength, "height": formLength, "align": formAlign, "border": formNumber},
	"font":       {"color": formColor, "face": formFonts, "size": formSize},
	"ol":         {"start": formNumber, "type": formList},
	"ul":         {"type": formList},
	"li":         {"type": formList, "value": formNumber},
	"blockquote": {"type": formCite},
	"span":       {"data-hidden": formHidden},
	"time":       {"datetime": formTime},
}

// element writes the start of an element with what is left of its attributes.
func (s *sanitizer) element(name, as string, attrs attributes) {
	state := s.state
	var shown []attribute
	switch as {
	case "a":
		href := link(attrs)
		if href == "" {
			return
		}
		shown = append(shown, attribute{"href", href})
		if strings.HasPrefix(href, "http") {
			shown = append(shown, attribute{"rel", "noreferrer noopener"}, attribute{"target", "_blank"})
		}
	case "img":
		if shown = s.image(attrs); shown == nil {
			return
		}
	}
	general, special := plainAttributes[""], plainAttributes[as]
	for _, a := range attrs {
		form := special[a.name]
		if form == nil {
			form = general[a.name]
		}
		v := strings.TrimSpace(a.value)
		switch {
		case form != nil && form.MatchString(v):
			shown = append(shown, attribute{a.name, v})
			state.attribute(a.name, v)
		case a.name == "title" || a.name == "alt" && as == "img":
			if v = cutRunes(cleanLine(v), maxTitle); v != "" {
				shown = append(shown, attribute{a.name, v})
			}
		case a.name == "style":
			if style := state.style(v); style != "" {
				shown = append(shown, attribute{"style", style})
			}
		case a.name == "hidden":
			state.none = true
		case a.name == "open" && as == "details":
			shown = append(shown, attribute{"open", ""})
		}
	}
	if emptyElements[as] {
		s.write(as, shown)
		return
	}
	if s.push(name, as, shown) {
		s.state = state
	}
}

// link returns where a link may lead, "" if nowhere.
func link(attrs attributes) string {
	v, _ := attrs.get("href")
	return safeURL(v, "http://", "https://", "mailto:", "tel:")
}

// safeURL returns a URL that begins with one of the prefixes, without what
// browsers take out of URLs before they look at the scheme.
func safeURL(v string, prefixes ...string) string {
	v = strings.Map(func(r rune) rune {
		switch {
		case r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 || isBidiControl(r) || r == 0xfeff:
			return -1
		}
		return r
	}, v)
	v = strings.ReplaceAll(strings.TrimSpace(v), " ", "%20")
	if len(v) > maxURL {
		return ""
	}
	for _, p := range prefixes {
		if len(v) > len(p) && strings.EqualFold(v[:len(p)], p) {
			if next := v[len(p)]; strings.HasSuffix(p, "//") && (next == '/' || next == '\\' || next == '?' || next == '#') {
				return "" // no host
			}
			return strings.ToLower(v[:len(p)]) + v[len(p):]
		}
	}
	return ""
}

// rasterImage is what an image may hold itself. SVG is a document that can hold
// scripts, so it is none of these.
var rasterImage = regexp.MustCompile(`^(?i:data:image/(png|gif|jpe?g|webp|bmp);base64,)[A-Za-z0-9+/=]+$`)

var formContentID = regexp.MustCompile(`^[^\s"'<>\x00-\x1f\x7f]{1,250}$`)

// image returns where an image is, nil if there is nothing to show. What an
// earlier run wrote is read again.
func (s *sanitizer) image(attrs attributes) []attribute {
	src, _ := attrs.get("src")
	alt, _ := attrs.get("alt")
	src = strings.TrimSpace(src)
	if strings.HasPrefix(src, "//") {
		src = "https:" + src
	}
	if cid, ok := attrs.get("data-cid"); ok && safeURL(src, "http://", "https://", "data:") == "" {
		src = "cid:" + cid
	}
	if later, ok := attrs.get("data-src"); ok && src == "" {
		src = later
	}
	remote := safeURL(src, "http://", "https://")
	switch {
	case remote != "" && s.o.RemoteImages:
		return []attribute{{"src", remote}, {"referrerpolicy", "no-referrer"}}
	case remote != "":
		return []attribute{{"data-src", remote}}
	case hasPrefixFold(src, "cid:") && formContentID.MatchString(cleanLine(src[4:])):
		id := cleanLine(src[4:])
		if s.o.Image == nil {
			return []attribute{{"src", "cid:" + id}}
		}
		if at := s.o.Image(strings.Trim(unescapePercent(id), "<>")); at != "" {
			return []attribute{{"src", at}, {"data-cid", id}}
		}
		return []attribute{{"data-cid", id}}
	case hasPrefixFold(src, "data:") && len(src) <= maxDataImage:
		if data := strings.Join(strings.Fields(src), ""); rasterImage.MatchString(data) {
			return []attribute{{"src", data}}
		}
	}
	if cleanLine(alt) != "" {
		return []attribute{}
	}
	return nil
}

// unescapePercent undoes the escapes of a cid: URL (RFC 2392).
func unescapePercent(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi >= 0 && lo >= 0 {
				out = append(out, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}
