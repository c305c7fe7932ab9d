package api

import (
	"testing"

	"ticketgate/ticketing"
)

// TestPictures: what a page shows of the mail's parts.
func TestPictures(t *testing.T) {
	t.Parallel()
	c := &ticketing.Content{
		HTML: `<p>a</p><img src="cid:logo@x" alt="l"><img src="cid:drawing"><img src="cid:gone"><img data-src="https://x.example/a.png">`,
		Attachments: []ticketing.Attachment{
			{ID: "att_1_0", ContentID: "other", ContentType: "image/png"}, {ID: "att_1_1", ContentID: "logo@x", ContentType: "image/png"}, {ID: "att_1_2", ContentID: "drawing", ContentType: "image/svg+xml"},
		},
	}
	const want = `<p>a</p><img src="/api/v1/attachments/att_1_1" data-cid="logo@x" alt="l"><img data-cid="drawing"><img data-cid="gone"><img data-src="https://x.example/a.png">`
	if got := pageOf(c); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	c.HTML = "<p>t & u</p>"
	if got := pageOf(c); got != c.HTML {
		t.Errorf("a page without pictures became %s", got)
	}
}
