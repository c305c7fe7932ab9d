package message

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"pgregory.net/rapid"
)

func TestSanitizeHTML(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"<p onclick=x()>a</p>":                                     "<p>a</p>",
		"<script>x</script>a<style>b</style>":                      "a",
		`<img src="cid:a@b" onerror=x>`:                            `<img src="cid:a@b">`,
		`<img src="https://spy.example/x.gif" alt="x">`:            `<img data-src="https://spy.example/x.gif" alt="x">`,
		`<img src="//spy.example/x.gif">`:                          `<img data-src="https://spy.example/x.gif">`,
		`<img src="/x.gif">`:                                       "",
		`<img src="/x.gif" alt="a cat">`:                           `<img alt="a cat">`,
		`<img src="data:image/png;base64,aGk=">`:                   `<img src="data:image/png;base64,aGk=">`,
		`<img src="data:image/svg+xml;base64,aGk=">`:               "",
		`<img srcset="https://spy.example/x 2x">`:                  "",
		`<a href="data:text/html,x">a</a>`:                         "a",
		`<a href="https://x.example">a</a>`:                        `<a href="https://x.example" rel="noreferrer noopener" target="_blank">a</a>`,
		`<a href="mailto:a@b.example">a</a>`:                       `<a href="mailto:a@b.example">a</a>`,
		`<form action=x><input name=y>a</form>`:                    "<div>a</div>",
		`<iframe src=x></iframe><object data=x>b</object>`:         "b",
		`<div style="color:red;background-image:url(x)">a</div>`:   `<div style="color: red">a</div>`,
		`<svg><a href=x>a</a></svg>b`:                              "b",
		`<base href=x><meta http-equiv=refresh content=0>a`:        "a",
		`<td>a</td><tr>b`:                                          "ab",
		"<table>a<tr>b<td>c</table>":                               "<table><tr><td>a</td></tr><tr><td>b</td><td>c</td></tr></table>",
		"<table><td>a<table><td>b</table>c</table>":                "<table><tr><td>a<table><tr><td>b</td></tr></table>c</td></tr></table>",
		"<table><table><tr><td>a":                                  "<table><tr><td><table><tr><td>a</td></tr></table></td></tr></table>",
		"<p>a<p>b<div>c":                                           "<p>a</p><p>b</p><div>c</div>",
		"<ul><li>a<li>b</ul>":                                      "<ul><li>a</li><li>b</li></ul>",
		"<li>a<li>b":                                               "<div>a</div><div>b</div>",
		"<b>a<p>b</b>c":                                            "<b>a<p>b</p></b>c",
		"</div></td>a</b>":                                         "a",
		"<h1>a<h2>b":                                               "<h1>a</h1><h2>b</h2>",
		`<a href="http://x.example">a<a href="http://y.example">b`: `<a href="http://x.example" rel="noreferrer noopener" target="_blank">a</a><a href="http://y.example" rel="noreferrer noopener" target="_blank">b</a>`,
		"<xmp><b>a</xmp>":                                          "<pre>&lt;b&gt;a</pre>",
		"<textarea><img src=x></textarea>b":                        "<pre>&lt;img src=x&gt;</pre>b",
		"a < b & c > d":                                            "a &lt; b &amp; c &gt; d",
		"<noscript>a</noscript>":                                   "a",
		"<blockquote type=cite cite=mid:x>a":                       `<blockquote type="cite">a</blockquote>`,
		"<font color=red size=+2 face='Comic Sans MS, x'>a":        `<font color="red" size="+2" face="Comic Sans MS, x">a</font>`,
		`<p style='font-family:"Times New Roman",serif;margin:-9999px;width:12.5%'>a`:    `<p style="font-family: times new roman,serif; width: 12.5%">a</p>`,
		`<p style="position:fixed;top:0;z-index:9;color:#123456!important">a`:            `<p style="color: #123456">a</p>`,
		`<p style="display:none">a<b>b</b></p>c`:                                         `<p><span data-hidden="display">a</span><b><span data-hidden="display">b</span></b></p>c`,
		`<p hidden>a</p>`:                                                                `<p><span data-hidden="display">a</span></p>`,
		`<td><div style="font-size:0">a<span style="font-size:12px">b</span></div>`:      `<div><span data-hidden="size">a</span><span style="font-size: 12px">b</span></div>`,
		`<font color=white>a</font>`:                                                     `<font color="white"><span data-hidden="color">a</span></font>`,
		`<div style="background:#000"><font color="#FFFFFF">a</font>b</div>`:             `<div><font color="#FFFFFF">a</font><span data-hidden="color">b</span></div>`,
		`<div style="opacity:0">a</div>`:                                                 `<div><span data-hidden="opacity">a</span></div>`,
		`<div style="max-height:0px;overflow:hidden">a</div>`:                            `<div><span data-hidden="display">a</span></div>`,
		`<div style="height:0">a</div>`:                                                  `<div>a</div>`,
		`<table bgcolor=#ffffff><tr bgcolor="red"><td style="color:rgb(255, 0,0)">a`:     `<table bgcolor="#ffffff"><tr bgcolor="red"><td style="color: rgb(255, 0,0)"><span data-hidden="color">a</span></td></tr></table>`,
		`<p dir=rtl lang=he title="a&#34;b" class=x id=y>a`:                              `<p dir="rtl" lang="he" title="a&#34;b">a</p>`,
		"<details open><summary>a</summary>b</details><summary>c":                        `<details open=""><summary>a</summary>b</details><div>c</div>`,
		"a\x00b&#0;c&#x202e;d":                                                           "ab\uFFFDcd",
		`<img src="data:image/png;base64,aG k=">`:                                        `<img src="data:image/png;base64,aGk=">`,
		`<img src="DATA:IMAGE/PNG;base64,aGk=" width=1 height="100%" style="width:1px">`: `<img src="DATA:IMAGE/PNG;base64,aGk=" width="1" height="100%" style="width: 1px">`,
	} {
		if got := SanitizeHTML(in); got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
}

// TestSanitizeImages: what a viewer decides.
func TestSanitizeImages(t *testing.T) {
	t.Parallel()
	const page = `<img src="https://x.example/a.png?b&c"><img src="cid:logo%40x" alt=l><img src=cid:none><img src="data:image/gif;base64,aGk=">`
	parts := func(id string) string {
		if id == "logo@x" {
			return "/api/v1/attachments/att_1_0"
		}
		return ""
	}
	for name, tt := range map[string]struct {
		o    HTMLOptions
		want string
	}{
		"off":    {HTMLOptions{}, `<img data-src="https://x.example/a.png?b&amp;c"><img src="cid:logo%40x" alt="l"><img src="cid:none"><img src="data:image/gif;base64,aGk=">`},
		"parts":  {HTMLOptions{Image: parts}, `<img data-src="https://x.example/a.png?b&amp;c"><img src="/api/v1/attachments/att_1_0" data-cid="logo%40x" alt="l"><img data-cid="none"><img src="data:image/gif;base64,aGk=">`},
		"remote": {HTMLOptions{RemoteImages: true}, `<img src="https://x.example/a.png?b&amp;c" referrerpolicy="no-referrer"><img src="cid:logo%40x" alt="l"><img src="cid:none"><img src="data:image/gif;base64,aGk=">`},
	} {
		got := tt.o.Sanitize(page)
		if got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tt.want)
		}
		if again := tt.o.Sanitize(got); again != got {
			t.Errorf("%s: again\n%s\n%s", name, got, again)
		}
	}
	// What was written with images off can be shown with them later.
	if got, want := (HTMLOptions{RemoteImages: true, Image: parts}).Sanitize(HTMLOptions{Image: parts}.Sanitize(page)), (HTMLOptions{RemoteImages: true, Image: parts}).Sanitize(page); got != want {
		t.Errorf("later:\n got %s\nwant %s", got, want)
	}
}

// attacks are pages that some sanitiser somewhere let through.
var attacks = []string{
	`<script>alert(1)</script>`, `<SCRIPT SRC=//x.example/a.js></SCRIPT>`, `<scr<script>ipt>alert(1)</scr</script>ipt>`, `<script/x>alert(1)</script>`, `<<script>alert(1)//<</script>`,
	`<img src=x onerror=alert(1)>`, `<img src=x:x onerror=alert(1)//`, `<img """><script>alert(1)</script>">`, `<img/src="x"/onerror=alert(1)>`, "<img src=`x` onerror=alert(1)>", `<body onload=alert(1)>`, `<p/onmouseover=alert(1)>x`,
	`<a href="javascript:alert(1)">x</a>`, `<a href="JaVaScRiPt:alert(1)">x</a>`, `<a href=" &#14; javascript:alert(1)">x</a>`, `<a href="jav&#x09;ascript:alert(1)">x</a>`, `<a href="jav&#x0A;ascript:alert(1)">x</a>`,
	`<a href="&#106;&#97;&#118;&#97;&#115;&#99;&#114;&#105;&#112;&#116;&#58;alert(1)">x</a>`, `<a href="&#0000106&#0000097&#0000118&#0000097script:alert(1)">x</a>`, `<a href="java&NewLine;script&colon;alert(1)">x</a>`,
	"<a href=\"\x01javascript:alert(1)\">x</a>", "<a href=\"java\x00script:alert(1)\">x</a>", `<a href="vbscript:x">x</a>`, `<a href="data:text/html;base64,PHNjcmlwdD4=">x</a>`, `<a href="view-source:javascript:alert(1)">x</a>`,
	`<a href="http:javascript:alert(1)">x</a>`, `<a href="http:///x">x</a>`, `<a href="//x.example">x</a>`, `<a href="https:\\x.example">x</a>`, `<a href="\\x.example\y">x</a>`, "<a href=\"https://x.example/\u202ecod.exe\">x</a>", `<a href="feed:javascript:alert(1)">x</a>`,
	`<iframe src=javascript:alert(1)>`, `<iframe srcdoc="<script>alert(1)</script>">`, `<frameset><frame src=javascript:alert(1)>`, `<object data=javascript:alert(1)>`, `<embed src=javascript:alert(1)>`, `<applet code=x>`, `<portal src=x>`, `<fencedframe src=x>`,
	`<link rel=stylesheet href=//x.example>`, `<meta http-equiv=refresh content="0;url=javascript:alert(1)">`, `<base href="javascript:/a/+">`, `<form action=javascript:alert(1)><button>x</form>`, `<button formaction=javascript:alert(1)>x`, `<isindex action=javascript:alert(1)>`, `<input onfocus=alert(1) autofocus>`, `<select autofocus onfocus=alert(1)>`, `<keygen autofocus onfocus=alert(1)>`,
	`<video src=x onerror=alert(1)>`, `<video><source onerror=alert(1)>`, `<audio src=x onerror=alert(1)>`, `<marquee onstart=alert(1)>x`, `<details open ontoggle=alert(1)>x`, `<dialog open onclose=alert(1)>x`, `<table background="javascript:alert(1)"><tr><td>x`, `<td background=x>`,
	`<style>@import '//x.example'</style>`, `<style><img src="</style><img src=x onerror=alert(1)>">`, `<div style="width:expression(alert(1))">x`, `<div style="width:e/**/xpression(alert(1))">x`, `<div style="background:url(javascript:alert(1))">x`, `<div style="background:u\72l(//x.example)">x`, `<div style="-moz-binding:url(//x.example)">x`, `<div style="behavior:url(#x)">x`, `<div style="color:red;}*{display:none">x`, "<div style=\"color:red\\\">x", `<div style="color:var(--x)">x`, `<div style="font-family:'a;background:url(x)'">x`, `<div style="width:1px;@import 'x'">x`, `<div style="position:fixed;inset:0">x`,
	`<svg onload=alert(1)>`, `<svg><script>alert(1)</script></svg>`, `<svg><animate onbegin=alert(1)>`, `<svg><a xlink:href="javascript:alert(1)"><text>x</a>`, `<svg><foreignObject><iframe src=javascript:alert(1)>`, `<svg><style><img src=x onerror=alert(1)></style>`, `<svg><title><img src=x onerror=alert(1)></title>`, `<svg></p><style><a id="</style><img src=1 onerror=alert(1)>">`, `<svg><p><img src=x onerror=alert(1)>`, `<svg/><img src=x onerror=alert(1)>`, `<svg><![CDATA[</svg><img src=x onerror=alert(1)>]]>`,
	`<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>`, `<math><mi//xlink:href="data:x,<script>alert(1)</script>">`, `<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>`, `<math><annotation-xml encoding="text/html"><style><img src=x onerror=alert(1)></style></annotation-xml></math>`, `<math href="javascript:alert(1)">x`,
	`<noscript><p title="</noscript><img src=x onerror=alert(1)>">`, `<template><img src=x onerror=alert(1)></template>`, `<template><s><template><s><img src=x onerror=alert(1)>@shafigullin</s></template></s></template>`, `<xmp><p title="</xmp><img src=x onerror=alert(1)>">`, `<textarea><p title="</textarea><img src=x onerror=alert(1)>">`, `<title><p title="</title><img src=x onerror=alert(1)>">`, `<noembed><p title="</noembed><img src=x onerror=alert(1)>">`, `<noframes><p title="</noframes><img src=x onerror=alert(1)>">`, `<iframe><p title="</iframe><img src=x onerror=alert(1)>">`, `<plaintext><img src=x onerror=alert(1)>`, `<listing>&lt;img src=x onerror=alert(1)&gt;</listing>`,
	`<!--><img src=x onerror=alert(1)>-->`, `<!--a--!><img src=x onerror=alert(1)>-->`, `<!-- --><!- -><img src=x onerror=alert(1)>`, `<!--[if gte IE 4]><script>alert(1)</script><![endif]-->`, `<?xml-stylesheet href=javascript:alert(1)?>`, `<?php echo 1 ?><img src=x onerror=alert(1)>`, `<![CDATA[<img src=x onerror=alert(1)>]]>`, `<!DOCTYPE x [<!ENTITY e "x">]>&e;`, `</script><img src=x onerror=alert(1)>`, `<p title='"><img src=x onerror=alert(1)>'>x`, `<p title="&quot;&gt;&lt;img src=x onerror=alert(1)&gt;">x`, "<p title=`\"><img src=x onerror=alert(1)>`>x", `<a title="--><img src=x onerror=alert(1)>">x`, "<p \x00onclick=alert(1)>x", "<\x00img src=x onerror=alert(1)>", "<img\x0bsrc=x onerror=alert(1)>", "<a href='https://x.example' onclick\n=\nalert(1)>x", `<image src=x onerror=alert(1)>`, `<img src="cid:x&quot; onerror=alert(1)">`, `<img src="data:image/png;base64,x&quot;onerror=alert(1)">`, `<img src="data:image/svg+xml,<svg onload=alert(1)>">`, `<img src="data:text/html;base64,x">`, `<span data-hidden="x&quot; onclick=alert(1)">x`, `<x onclick=alert(1)>x</x>`, `<custom-element is=x>y`, `<slot name=x>y`, `<p is=x-y>a`, `<a ping=//x.example href=https://y.example>x`, `<a href="https://x.example" target=_self rel=opener download>x`, `<p contenteditable accesskey=x tabindex=1 draggable=true>x`, `<bdo dir=rtl onclick=x>x`, `<bgsound src=x>`, `<layer src=x>`, `<xss style="xss:expression(alert(1))">`, `<div datasrc=#x datafld=y>x`, "<div style=\"color:\nred\nx\">x",
	`</div></div></td></tr></table></body></html><div>out`, `</td></tr><tr><td>x`, `<table><tr><td></table></table></td></tr></table>x`, `<table></td></tr></table></div>x`, `<li></ul></li></ul>x`, `</li><li>x`, `</h1></p></h2>x`, `<dd></dl><dt>x`, `<option></select>x`, `<table><td><li></table></ul>x`, `<p><table><tr><p></table></p></div>x`, strings.Repeat("<div>", 600) + "x" + strings.Repeat("</div>", 900), strings.Repeat("<b><p>", 300) + "x", strings.Repeat("<table><tr><td>", 200) + "x", strings.Repeat("<font color=red>", 400) + "<p>" + strings.Repeat("</font>", 100) + "x", strings.Repeat("<a href=http://x.example>", 50) + "x",
}

// allowedAttribute is every attribute that may be seen, and the values of the
// dangerous ones.
var allowedAttribute = map[string]*regexp.Regexp{
	"href": regexp.MustCompile(`^(https?://[^/\\?#]|mailto:|tel:)`), "src": regexp.MustCompile(`^(cid:[^\s"'<>]+|(?i:data:image/(png|gif|jpe?g|webp|bmp);base64,)[A-Za-z0-9+/=]+|/parts/[0-9]+)$`), "data-src": regexp.MustCompile(`^https?://[^/\\?#]`), "data-cid": regexp.MustCompile(`^[^\s"'<>]+$`),
	"rel": regexp.MustCompile(`^noreferrer noopener$`), "target": regexp.MustCompile(`^_blank$`), "style": regexp.MustCompile(`^([a-z-]+: [\p{L}0-9#%.,+ ()_-]+(; )?)+$`), "data-hidden": regexp.MustCompile(`^(display|size|color|opacity)$`),
	"title": nil, "alt": nil, "dir": nil, "lang": nil, "width": nil, "height": nil, "align": nil, "valign": nil, "bgcolor": nil, "border": nil, "cellpadding": nil, "cellspacing": nil, "colspan": nil, "rowspan": nil, "size": nil, "color": nil, "face": nil, "start": nil, "type": nil, "value": nil, "datetime": nil, "open": nil,
}

// checkSafe holds for every page that was sanitised: parsed as a browser does,
// within elements of a page of ours, it is made of what is allowed, and nothing
// around it moves.
func checkSafe(t interface{ Errorf(string, ...any) }, page, safe string) {
	if again := SanitizeHTML(safe); again != safe {
		t.Errorf("not idempotent: %q\nfirst %q\nthen  %q", page, safe, again)
	}
	const before, after = `<!DOCTYPE html><body><table id=t><tbody id=b><tr id=r><td id=c><ul id=u><li id=l><dl id=d><dd id=e><div id=box>`, `</div id=box><div id=after>z</div></dd></dl></li></ul></td></tr></tbody></table><p id=last>`
	doc, err := html.Parse(strings.NewReader(before + safe + after))
	if err != nil {
		t.Errorf("%q: %v", safe, err)
		return
	}
	var path []string
	boxes := 0
	var walk func(n *html.Node, inside bool)
	walk = func(n *html.Node, inside bool) {
		if n.Type == html.ElementNode {
			id := ""
			for _, a := range n.Attr {
				if a.Key == "id" {
					id = a.Val
				}
			}
			switch {
			case id == "box":
				boxes++
				inside = true
			case id == "after" || id == "last":
				var up []string
				for p := n.Parent; p != nil && p.Type == html.ElementNode; p = p.Parent {
					up = append(up, p.Data)
				}
				path = append(path, id+" "+strings.Join(up, " "))
			case inside:
				checkElement(t, page, n)
			}
		} else if inside && (n.Type == html.CommentNode || n.Type == html.DoctypeNode) {
			t.Errorf("%q: a comment in %q", page, safe)
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c, inside)
		}
	}
	walk(doc, false)
	if want := []string{"after dd dl li ul td tr tbody table body html", "last body html"}; !slices.Equal(path, want) || boxes != 1 {
		t.Errorf("%q: the page around %q became %q", page, safe, path)
	}
}

func checkElement(t interface{ Errorf(string, ...any) }, page string, n *html.Node) {
	as, ok := allowedElements[n.Data]
	if !ok || as != n.Data || n.Namespace != "" || n.DataAtom == atom.Script {
		t.Errorf("%q: element %s %s", page, n.Namespace, n.Data)
	}
	for _, a := range n.Attr {
		form, ok := allowedAttribute[a.Key]
		if !ok || a.Namespace != "" || form != nil && !form.MatchString(a.Val) {
			t.Errorf("%q: attribute %s=%q of %s", page, a.Key, a.Val, n.Data)
		}
	}
}

// TestSanitizeAttacks: nothing that runs comes through, and the page around stays
// as it is.
func TestSanitizeAttacks(t *testing.T) {
	t.Parallel()
	for _, page := range attacks {
		checkSafe(t, page, SanitizeHTML(page))
	}
}

// pieceNames are the elements that pages of the tests are made of.
var pieceNames = strings.Fields("a b p div span table tbody thead tr td th caption ul ol li dl dd dt h1 h2 pre blockquote font center img br hr svg math style script title template noscript select option textarea xmp form button iframe object details summary ruby rt rp body html head frameset plaintext nobr i em mglyph mtext desc foreignobject article col colgroup")

// TestSanitizePairs: as TestSanitizeAttacks, with every element in every other.
func TestSanitizePairs(t *testing.T) {
	t.Parallel()
	for _, a := range pieceNames {
		for _, b := range pieceNames {
			for _, page := range []string{"<" + a + "><" + b + ">x</" + a + "></" + b + ">y", "<" + a + ">w<" + b + ">", "</" + a + "><" + b + ">x</" + a + ">"} {
				checkSafe(t, page, SanitizeHTML(page))
			}
		}
	}
}

// TestSanitizeAnything: as TestSanitizeAttacks, with pages made of pieces.
func TestSanitizeAnything(t *testing.T) {
	t.Parallel()
	piece := rapid.OneOf(
		rapid.Map(rapid.SampledFrom(pieceNames), func(n string) string { return "<" + n + ">" }),
		rapid.Map(rapid.SampledFrom(pieceNames), func(n string) string { return "</" + n + ">" }),
		rapid.Map(rapid.SampledFrom(pieceNames), func(n string) string {
			return "<" + n + ` style="color:red;display:none" onclick=x href="javascript:x" src=cid:y title='">' />`
		}),
		rapid.SampledFrom([]string{"x", " ", "<", ">", "&lt;", "&", `"`, "<!--", "-->", "<![CDATA[", "]]>", "\x00", `<a href="https://x.example">`, `<font color=white>`, `<p style="font-size:0">`, "<img src=x onerror=y>", "\n"}),
	)
	rapid.Check(t, func(t *rapid.T) {
		page := strings.Join(rapid.SliceOfN(piece, 0, 25).Draw(t, "page"), "")
		checkSafe(t, page, SanitizeHTML(page))
	})
}

// TestSanitizeKeepsText: what a reader of the text sees is in the page.
func TestSanitizeKeepsText(t *testing.T) {
	t.Parallel()
	for _, file := range corpusFiles(t, "quotations/talon", func(name string) bool { return strings.HasSuffix(name, ".html") }) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		page := toUTF8(b, "")
		want, got := strings.Fields(HTMLToText(page)), strings.Fields(HTMLToText(SanitizeHTML(page)))
		if strings.Join(want, " ") != strings.Join(got, " ") {
			t.Errorf("%s\n got %q\nwant %q", file, got, want)
		}
	}
}

// TestSanitizeIsLinear: see TestSplitIsLinear.
func TestSanitizeIsLinear(t *testing.T) {
	t.Parallel()
	for name, unit := range map[string]string{
		"open": "<div><b><i>", "tables": "<table><tr><td>", "ends": "</b></td></li></table>", "cells": "<td><tr>", "lists": "<ul><li><li>", "items": "<li>", "links": "<a href=http://x.example>", "paragraphs": "<p><b><div>", "items apart": "<div><li>", "deep ends": "<td></li></b></a>",
	} {
		looks := func(n int) int {
			s := &sanitizer{count: map[string]int{}}
			s.run(strings.Repeat(unit, n))
			return s.looks
		}
		if few, many := looks(1000), looks(16000); many > 20*few+100 {
			t.Errorf("%s: 16 times the page, %d looks instead of %d", name, many, few)
		}
		if out := SanitizeHTML(strings.Repeat(unit, 5000)); len(out) > 6*5000*len(unit)*4 {
			t.Errorf("%s: %d bytes became %d", name, 5000*len(unit), len(out))
		}
	}
}

func FuzzSanitizeHTML(f *testing.F) {
	for _, s := range attacks {
		if len(s) < 500 {
			f.Add(s)
		}
	}
	f.Fuzz(func(t *testing.T, page string) {
		safe := SanitizeHTML(page)
		checkText(t, "sanitised", safe)
		checkSafe(t, page, safe)
	})
}
