package api

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// What strangers mailed is handed out as a file to save, never as a page: it
// is an attachment by disposition, its type is not guessed, and should a
// browser open it anyway it is sandboxed away from our origin.

func fileResponse(contentType string) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {
		Description: "The bytes, as an attachment",
		Content:     map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
	}}
}

func (a *API) getRaw(ctx context.Context, in *messageID) (*huma.StreamResponse, error) {
	m, err := a.reachMessage(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if m.Raw.SHA256 == "" {
		return nil, newProblem(http.StatusNotFound, "not_found", "this entry has no mail behind it")
	}
	raw, err := a.o.Desk.Raw(ctx, m)
	if err != nil {
		return nil, err
	}
	return a.file(raw, raw.Size(), "message/rfc822", m.ID+".eml"), nil
}

// attachmentID is longer than other ids: it says where in the mail's tree the
// file stands.
type attachmentID struct {
	ID string `path:"id" maxLength:"400"`
}

func (a *API) getAttachment(ctx context.Context, in *attachmentID) (*huma.StreamResponse, error) {
	if asking(ctx).identity.Limited() {
		if _, err := a.reachMessage(ctx, messageOf(in.ID)); err != nil {
			return nil, notFound("attachment")
		}
	}
	at, content, err := a.o.Desk.OpenAttachment(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return a.file(content, at.Size, safeType(at.ContentType), at.Filename), nil
}

// messageOf returns the id of the message that an attachment id
// (att_<message>_<part>) belongs to, with its prefix.
func messageOf(attachment string) string {
	id := strings.TrimPrefix(attachment, "att_")
	if i := strings.LastIndexByte(id, '_'); i >= 0 {
		id = id[:i]
	}
	if !strings.HasPrefix(id, "msg_") {
		id = "msg_" + id
	}
	return id
}

// file streams content of a known size. A failure half-way breaks the
// connection, because a short file must not look whole.
func (a *API) file(content io.Reader, size int64, contentType, name string) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		h := w.Header()
		h.Set("Content-Type", contentType)
		h.Set("Content-Length", strconv.FormatInt(size, 10))
		h.Set("Content-Disposition", disposition(name))
		h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
		h.Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(http.StatusOK)
		if r.Method == http.MethodHead {
			return
		}
		n, err := io.Copy(w, io.LimitReader(content, size))
		if err == nil && n == size {
			return
		}
		if r.Context().Err() == nil {
			a.o.Log.ErrorContext(r.Context(), "a file broke off", "request", asking(r.Context()).id, "sent", n, "size", size, "err", err)
		}
		panic(http.ErrAbortHandler)
	}}
}

// safeType returns a media type without parameters. Types that browsers run
// are handed out as plain bytes.
func safeType(declared string) string {
	const plain = "application/octet-stream"
	t, _, err := mime.ParseMediaType(declared)
	if err != nil || strings.Count(t, "/") != 1 {
		return plain
	}
	for _, active := range []string{"html", "xml", "svg", "script", "flash", "java", "multipart/", "pdf+"} {
		if strings.Contains(t, active) {
			return plain
		}
	}
	return t
}

// disposition names a file to save (RFC 6266): an ASCII name for old clients
// and the real one percent-encoded (RFC 8187).
func disposition(name string) string {
	name = safeName(name)
	ascii := strings.Map(func(r rune) rune {
		if r > 0x7e || r == '"' || r == '\\' || r == '%' {
			return '_'
		}
		return r
	}, name)
	if ascii == name {
		return fmt.Sprintf(`attachment; filename="%s"`, ascii)
	}
	return fmt.Sprintf(`attachment; filename="%s"; filename*=UTF-8''%s`, ascii, extValue(name))
}

const maxFilename = 200

// safeName keeps the last part of a path, without control and formatting
// characters (which can make exe look like txt), and never empty.
func safeName(name string) string {
	name = strings.ToValidUTF8(name, "_")
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0xfeff {
			return -1
		}
		return r
	}, name)
	name = strings.Trim(name, ". ")
	for len(name) > maxFilename {
		_, n := utf8.DecodeRuneInString(name)
		name = name[n:] // the end has the extension
	}
	if name == "" {
		return "attachment"
	}
	return name
}

// extValue percent-encodes everything but RFC 8187's attr-char.
func extValue(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$&+-.^_`|~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}
