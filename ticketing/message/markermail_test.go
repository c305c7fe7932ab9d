package message

import (
	"strings"
	"testing"
	"time"
)

// MarkersIn finds in a whole mail what FindMarkers finds in its text.
func TestMarkersIn(t *testing.T) {
	t.Parallel()
	key := make([]byte, secretLen)
	k, err := NewKeyring([]Secret{{Epoch: 1, Key: key, Created: time.Unix(0, 0)}}, []Secret{{Epoch: 1, Key: key, Created: time.Unix(0, 0)}})
	if err != nil {
		t.Fatal(err)
	}
	want := Token{Kind: KindReply, Ticket: 1001, Mail: 7, Epoch: 1}
	marker := k.BodyMarker(want)
	for name, body := range map[string]string{
		"plain":       "Content-Type: text/plain\n\nhi\n> " + marker + "\n",
		"wrapped":     "Content-Type: text/plain\n\nhi\n> " + marker[:3] + "\n> " + marker[3:20] + "\n> " + marker[20:] + "\n",
		"upper case":  "Content-Type: text/plain\n\nhi\n> " + strings.ToUpper(marker) + "\n",
		"prefer ref:": "Content-Type: text/plain\n\nI prefer rrref: this, re: ref. " + marker + "\n",
		"html":        "Content-Type: text/html\n\n<p>hi</p><blockquote><p>" + marker + "</p></blockquote>\n",
		"entities":    "Content-Type: text/html\n\n<p>" + strings.ReplaceAll(marker, ":", "&#58;") + "</p>\n",
		"qp":          "Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n> " + marker[:4] + "=\n" + marker[4:] + "\n",
		"koi8":        "Content-Type: text/plain; charset=koi8-r\n\n> " + marker + "\n",
		"both":        "Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\nhi\n--b\nContent-Type: text/html\n\n<p>" + marker + "</p>\n--b--\n",
	} {
		raw := strings.ReplaceAll("From: a@b.example\nMIME-Version: 1.0\n"+body, "\n", "\r\n")
		m, err := Parse(strings.NewReader(raw), int64(len(raw)), DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		if got := k.MarkersIn(m); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	raw := "From: a@b.example\r\n\r\nI refer to nothing: r e f\r\n"
	if m, err := Parse(strings.NewReader(raw), int64(len(raw)), DefaultLimits()); err != nil || k.MarkersIn(m) != nil {
		t.Errorf("found something, %v", err)
	}
}
