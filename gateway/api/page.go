package api

import (
	"strings"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// pageOf is a message's sanitised HTML with the pictures that came with the mail
// at the addresses where this API has them. Only raster pictures can be shown
// in a page; a drawing may hold scripts and stays a file.
func pageOf(c *ticketing.Content) string {
	if !strings.Contains(c.HTML, `"cid:`) {
		return c.HTML
	}
	return message.HTMLOptions{Image: func(contentID string) string {
		for _, at := range c.Attachments {
			if at.ContentID == contentID && raster(at.ContentType) {
				return Base + "/attachments/" + at.ID
			}
		}
		return ""
	}}.Sanitize(c.HTML)
}

func raster(contentType string) bool {
	switch contentType {
	case "image/png", "image/gif", "image/jpeg", "image/jpg", "image/pjpeg", "image/webp", "image/bmp":
		return true
	}
	return false
}
