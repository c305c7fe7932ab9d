package message

import (
	"regexp"
	"strconv"
	"strings"
)

// styleProperties are the properties that are kept: colours, type, and space
// inside the element's own box. None of them moves it elsewhere, loads anything
// or hides text.
var styleProperties = set(`background-color border border-bottom border-bottom-color border-bottom-style border-bottom-width border-collapse border-color border-left border-left-color
	border-left-style border-left-width border-radius border-right border-right-color border-right-style border-right-width border-spacing border-style border-top border-top-color border-top-style
	border-top-width border-width color direction font-family font-size font-style font-weight line-height list-style-type margin margin-bottom margin-left margin-right margin-top max-width
	min-width padding padding-bottom padding-left padding-right padding-top text-align text-decoration text-transform vertical-align white-space width word-break word-wrap`)

var (
	// A value is words, numbers, colours and the functions of colours.
	styleValue = regexp.MustCompile(`^[\p{L}0-9#%.,+ _-]*((rgb|rgba|hsl|hsla)\([0-9.,% ]*\)[\p{L}0-9#%.,+ _-]*)*$`)
	negative   = regexp.MustCompile(`(^|[ ,(])-[0-9.]`)
	manyDigits = regexp.MustCompile(`(^|[^#0-9a-fA-F])[0-9]{5}`)
)

// maxStyle bounds the declarations of one element that are looked at, and their
// length.
const (
	maxDeclarations = 50
	maxStyleValue   = 300
)

// style returns what is kept of a style, and notes what hides text.
func (h *hiding) style(style string) string {
	var kept []string
	cut := false // what goes over the edge is not seen
	flat := false
	for i, d := range strings.Split(style, ";") {
		if i == maxDeclarations {
			break
		}
		name, value, ok := strings.Cut(d, ":")
		if !ok || len(value) > maxStyleValue {
			continue
		}
		name = strings.ToLower(strings.TrimSpace(name))
		value = strings.TrimSpace(styleMarks.Replace(value))
		value = strings.TrimSpace(strings.TrimSuffix(strings.ToLower(value), "!important"))
		cut = cut || name == "overflow" && value == "hidden"
		flat = flat || (name == "max-height" || name == "height") && zeroLength(value)
		h.declaration(name, value)
		if !styleProperties[name] || value == "" || !styleValue.MatchString(value) || negative.MatchString(value) || manyDigits.MatchString(value) || name == "font-size" && tiny(value) {
			continue
		}
		kept = append(kept, name+": "+strings.Join(strings.Fields(value), " "))
	}
	if cut && flat {
		h.none = true
	}
	return strings.Join(kept, "; ")
}

// styleMarks leaves out quotes: a value without them means the same.
var styleMarks = strings.NewReplacer(`"`, "", "'", "", "\n", " ", "\r", " ", "\t", " ")

// hiding is what a page does to make text unseen at a place.
type hiding struct {
	none, unseen, small, faint bool
	color, back                rgb
	marked                     bool // an earlier run has marked it
}

// why says how text is hidden, "" if it is not.
func (h *hiding) why() string {
	switch {
	case h.none || h.unseen:
		return "display"
	case h.small:
		return "size"
	case h.faint:
		return "opacity"
	case h.color.like(h.back):
		return "color"
	}
	return ""
}

// declaration notes what one declaration does.
func (h *hiding) declaration(name, value string) {
	switch name {
	case "display":
		h.none = h.none || value == "none"
	case "mso-hide":
		h.none = h.none || value == "all"
	case "visibility":
		h.unseen = value == "hidden" || value == "collapse"
	case "opacity":
		h.faint = h.faint || zeroLength(value)
	case "font-size":
		switch {
		case tiny(value):
			h.small = true
		case strings.HasSuffix(value, "em") && !strings.HasSuffix(value, "rem") || strings.HasSuffix(value, "%") || value == "inherit":
		default:
			h.small = false
		}
	case "color":
		h.setColor(value)
	case "background-color", "background":
		h.setBack(value)
	}
}

// attribute notes what an attribute does.
func (h *hiding) attribute(name, value string) {
	switch name {
	case "color":
		h.setColor(strings.ToLower(value))
	case "bgcolor":
		h.setBack(strings.ToLower(value))
	case "data-hidden":
		h.marked = true
	}
}

func (h *hiding) setColor(value string) {
	switch {
	case value == "transparent":
		h.faint = true
	case value != "inherit":
		h.color = colorOf(value)
	}
}

func (h *hiding) setBack(value string) {
	for _, word := range strings.Fields(strings.ReplaceAll(value, ", ", ",")) {
		if c := colorOf(word); c.known {
			h.back = c
			return
		}
	}
}

// zeroLength knows 0, 0px, 0.0em and the like.
func zeroLength(v string) bool {
	n := strings.TrimRight(v, "abcdefghijklmnopqrstuvwxyz%")
	f, err := strconv.ParseFloat(n, 64)
	return err == nil && f == 0
}

// tiny is a size that nobody can read.
func tiny(v string) bool {
	if zeroLength(v) {
		return true
	}
	for _, unit := range []string{"px", "pt"} {
		if n, ok := strings.CutSuffix(v, unit); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(n), 64)
			return err == nil && f < 2
		}
	}
	return false
}

// rgb is a colour.
type rgb struct {
	r, g, b int
	known   bool
}

var (
	black = rgb{0, 0, 0, true}
	white = rgb{255, 255, 255, true}
)

// like reports whether nobody can tell two colours apart.
func (c rgb) like(o rgb) bool {
	const step = 10
	near := func(a, b int) bool { return a-b <= step && b-a <= step }
	return c.known && o.known && near(c.r, o.r) && near(c.g, o.g) && near(c.b, o.b)
}

var colorNames = map[string]rgb{
	"black": black, "white": white, "red": {255, 0, 0, true}, "lime": {0, 255, 0, true}, "blue": {0, 0, 255, true}, "yellow": {255, 255, 0, true}, "aqua": {0, 255, 255, true}, "cyan": {0, 255, 255, true}, "fuchsia": {255, 0, 255, true}, "magenta": {255, 0, 255, true},
	"silver": {192, 192, 192, true}, "gray": {128, 128, 128, true}, "grey": {128, 128, 128, true}, "maroon": {128, 0, 0, true}, "olive": {128, 128, 0, true}, "green": {0, 128, 0, true}, "purple": {128, 0, 128, true}, "teal": {0, 128, 128, true}, "navy": {0, 0, 128, true},
	"snow": {255, 250, 250, true}, "ivory": {255, 255, 240, true}, "ghostwhite": {248, 248, 255, true}, "whitesmoke": {245, 245, 245, true}, "floralwhite": {255, 250, 240, true}, "mintcream": {245, 255, 250, true}, "azure": {240, 255, 255, true}, "lightgray": {211, 211, 211, true}, "lightgrey": {211, 211, 211, true}, "window": white, "windowtext": black,
}

// colorOf reads a colour; what it cannot read is not known.
func colorOf(v string) rgb {
	if c, ok := colorNames[v]; ok {
		return c
	}
	if args, ok := strings.CutSuffix(v, ")"); ok {
		name, args, _ := strings.Cut(args, "(")
		if name != "rgb" && name != "rgba" {
			return rgb{}
		}
		f := strings.FieldsFunc(args, func(r rune) bool { return r == ',' || r == ' ' })
		if len(f) < 3 {
			return rgb{}
		}
		var n [3]int
		for i := range n {
			var err error
			if n[i], err = strconv.Atoi(f[i]); err != nil {
				return rgb{}
			}
		}
		return rgb{n[0], n[1], n[2], true}
	}
	hex := strings.TrimPrefix(v, "#")
	var n [6]int
	switch len(hex) {
	case 3, 4:
		for i := range 3 {
			n[2*i] = unhex(hex[i])
			n[2*i+1] = n[2*i]
		}
	case 6, 8:
		for i := range n {
			n[i] = unhex(hex[i])
		}
	default:
		return rgb{}
	}
	for _, d := range n {
		if d < 0 {
			return rgb{}
		}
	}
	return rgb{n[0]<<4 | n[1], n[2]<<4 | n[3], n[4]<<4 | n[5], true}
}
