package api

import (
	"html/template"
	"net/http"
)

// personPage is what a person sees. It loads nothing and runs nothing.
var personPage = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex"><title>{{.Title}}</title></head>
<body><main><h1>{{.Title}}</h1>
<p>{{.Text}}</p>
{{if .Ask}}<form method="post"><button type="submit">Stop these mails</button></form>
{{end}}</main></body></html>
`))

type pageText struct {
	Title, Text string
	Ask         bool // with a button that posts
}

func writePage(w http.ResponseWriter, status int, text pageText) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
	_ = personPage.Execute(w, text) // a reader that went away needs no page
}
