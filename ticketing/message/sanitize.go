package message

import (
	"regexp"
	"strings"
	"sync"

	"github.com/microcosm-cc/bluemonday"
)

// SanitizeHTML returns HTML that is safe to show under an allow-list: no
// script, style sheet, form, frame, object, event attribute or javascript: and
// data: link. Images that come with the mail (cid:, kept as it is, and small
// raster data: images) stay; remote ones lose their address, so that showing a
// mail tells nobody that it was read. Links open elsewhere with rel=noopener.
// Tags are not balanced: show the result in a frame of its own.
func SanitizeHTML(html string) string {
	return policy().Sanitize(strings.ToValidUTF8(html, "\uFFFD"))
}

// policy is built once and only read afterwards.
var policy = sync.OnceValue(func() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("a", "abbr", "address", "article", "aside", "b", "bdi", "bdo", "big", "blockquote", "br", "caption", "center", "cite", "code", "col", "colgroup",
		"dd", "del", "details", "dfn", "div", "dl", "dt", "em", "figcaption", "figure", "font", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "i", "img", "ins",
		"kbd", "li", "main", "mark", "ol", "p", "pre", "q", "rp", "rt", "ruby", "s", "samp", "section", "small", "span", "strike", "strong", "sub", "summary", "sup",
		"table", "tbody", "td", "tfoot", "th", "thead", "time", "tr", "tt", "u", "ul", "var", "wbr")
	p.AllowAttrs("dir", "lang", "title").Globally()
	p.AllowAttrs("align", "valign", "bgcolor", "width", "height").Matching(bluemonday.Paragraph).OnElements("table", "tbody", "thead", "tfoot", "tr", "td", "th", "col", "colgroup", "div", "p", "img", "hr", "h1", "h2", "h3")
	p.AllowAttrs("border", "cellpadding", "cellspacing").Matching(bluemonday.Integer).OnElements("table", "img")
	p.AllowAttrs("colspan", "rowspan").Matching(bluemonday.Integer).OnElements("td", "th")
	p.AllowAttrs("start", "type").Matching(bluemonday.SpaceSeparatedTokens).OnElements("ol", "ul", "li")
	p.AllowAttrs("color", "face", "size").Matching(bluemonday.Paragraph).OnElements("font")
	p.AllowAttrs("type").Matching(regexp.MustCompile(`^cite$`)).OnElements("blockquote")
	p.AllowAttrs("alt").Matching(bluemonday.Paragraph).OnElements("img")
	p.AllowAttrs("src").Matching(ownImage).OnElements("img")
	p.AllowAttrs("href").OnElements("a")
	p.AllowStyles("background-color", "border-collapse", "color", "direction", "font-family", "font-size", "font-style", "font-weight", "line-height", "list-style-type",
		"text-align", "text-decoration", "vertical-align", "white-space", "margin", "margin-left", "margin-top", "margin-bottom", "margin-right", "padding", "padding-left", "width", "border", "border-left").Globally()
	p.RequireParseableURLs(true)
	p.AllowRelativeURLs(false)
	p.AllowURLSchemes("http", "https", "mailto", "tel", "cid")
	p.AllowDataURIImages()
	p.AddTargetBlankToFullyQualifiedLinks(true)
	p.RequireNoReferrerOnLinks(true)
	p.SkipElementsContent("script", "style", "title", "noscript", "svg", "math", "template", "select", "textarea", "object", "iframe", "frameset", "noframes", "xmp")
	return p
})

// ownImage is what an image may be loaded from: the mail itself. SVG is a
// document that can hold scripts, so it is none of these.
var ownImage = regexp.MustCompile(`(?i)^(cid:[^\s"'<>]+|data:image/(png|gif|jpe?g|webp|bmp);base64,[a-z0-9+/=\s]+)$`)
