package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

var messageTags = []string{"messages"}

func (a *API) registerMessages() {
	read := []login.Scope{login.TicketsRead}
	register(a, operation{huma.Operation{OperationID: "list-messages", Method: http.MethodGet, Path: "/tickets/{number}/messages", Tags: messageTags,
		Summary: "List a ticket's messages, oldest first"}, read}, a.listMessages)
	register(a, operation{huma.Operation{OperationID: "post-message", Method: http.MethodPost, Path: "/tickets/{number}/messages", Tags: messageTags,
		Summary:       "Answer a ticket or add an internal note",
		Description:   "A public message is mailed to requester and CCs and needs the scope messages:send. With after_message the answer is 409 and carries the newer messages if there are any.",
		DefaultStatus: http.StatusCreated, MaxBodyBytes: a.maxJSON(), BodyReadTimeout: bodyTimeout}, []login.Scope{login.TicketsWrite, login.MessagesSend}}, a.postMessage)
	register(a, operation{huma.Operation{OperationID: "get-message", Method: http.MethodGet, Path: "/messages/{id}", Tags: messageTags,
		Summary: "Read a message"}, read}, a.getMessage)
	register(a, operation{huma.Operation{OperationID: "get-raw", Method: http.MethodGet, Path: "/messages/{id}/raw", Tags: messageTags,
		Summary: "Fetch the exact bytes of a message", Responses: fileResponse("message/rfc822")}, read}, a.getRaw)
	register(a, operation{huma.Operation{OperationID: "get-attachment", Method: http.MethodGet, Path: "/attachments/{id}", Tags: messageTags,
		Summary: "Fetch an attachment, decoded", Responses: fileResponse("application/octet-stream")}, read}, a.getAttachment)
}

// message completes a message with its content and deliveries.
func (a *API) message(ctx context.Context, m *ticketing.Message) (*Message, error) {
	content, err := a.o.Desk.Content(ctx, m)
	if err != nil {
		return nil, err
	}
	deliveries, err := a.o.Desk.Deliveries(ctx, m.ID)
	if err != nil {
		return nil, err
	}
	return messageShape(m, content, deliveries), nil
}

// reachMessage returns a message the asker may know of.
func (a *API) reachMessage(ctx context.Context, id string) (*ticketing.Message, error) {
	m, err := a.o.Desk.Message(ctx, id)
	if err != nil {
		return nil, err
	}
	if asking(ctx).identity.Limited() {
		if _, err := a.reach(ctx, m.Ticket); err != nil {
			return nil, notFound("message")
		}
	}
	return m, nil
}

type listMessagesInput struct {
	TicketNumber
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"100"`
	Cursor string `query:"cursor" maxLength:"20"`
}

func (a *API) listMessages(ctx context.Context, in *listMessagesInput) (*struct{ Body page[*Message] }, error) {
	if _, err := a.reach(ctx, in.Number); err != nil {
		return nil, err
	}
	after := 0
	if in.Cursor != "" {
		n, err := strconv.Atoi(in.Cursor)
		if err != nil || n < 0 {
			return nil, unprocessable("query.cursor", "this is not a cursor of this list")
		}
		after = n
	}
	messages, err := a.o.Desk.Messages(ctx, in.Number, after, in.Limit+1)
	if err != nil {
		return nil, err
	}
	out := &struct{ Body page[*Message] }{page[*Message]{Items: []*Message{}}}
	for i, m := range messages {
		if i == in.Limit {
			out.Body.Next = orNull(strconv.Itoa(messages[i-1].Seq))
			break
		}
		shown, err := a.message(ctx, m)
		if err != nil {
			return nil, err
		}
		out.Body.Items = append(out.Body.Items, shown)
	}
	return out, nil
}

// newMessage is what a client posts.
type newMessage struct {
	Visibility   string          `json:"visibility" enum:"public,internal" doc:"public is mailed to requester and CCs; internal to followers"`
	Text         string          `json:"text,omitempty" doc:"plain text; needed unless html is given"`
	HTML         *string         `json:"html,omitempty" doc:"HTML alternative; it is sanitised"`
	Attachments  []newAttachment `json:"attachments,omitempty" maxItems:"100"`
	AfterMessage *string         `json:"after_message,omitempty" maxLength:"100" doc:"the last message the author had seen"`
	Status       *string         `json:"status,omitempty" enum:"new,open,pending,on_hold,solved,closed" doc:"new status of the ticket; else the rules decide"`
}

type newAttachment struct {
	Filename    string `json:"filename" minLength:"1" maxLength:"255"`
	ContentType string `json:"content_type,omitempty" maxLength:"255"`
	Content     []byte `json:"content" doc:"base64"`
}

func (n *newMessage) toDesk() ticketing.NewMessage {
	out := ticketing.NewMessage{
		Visibility: n.Visibility, Text: n.Text, HTML: orEmpty(n.HTML), AfterMessage: orEmpty(n.AfterMessage), Status: orEmpty(n.Status),
	}
	for _, at := range n.Attachments {
		out.Attachments = append(out.Attachments, ticketing.NewAttachment{
			Filename: at.Filename, ContentType: or(at.ContentType, "application/octet-stream"), Content: bytes.NewReader(at.Content),
		})
	}
	return out
}

// maySend says whether an asker may write with this visibility.
func maySend(who login.Identity, visibility string) error {
	if visibility == "public" && !who.Has(login.MessagesSend) {
		return newProblem(http.StatusForbidden, "denied", fmt.Sprintf("a public message needs a token with the scope %s", login.MessagesSend))
	}
	return nil
}

// admit says whether an asker may have a message with this visibility mailed
// now.
func (a *API) admit(ctx context.Context, who login.Identity, visibility string) error {
	if err := maySend(who, visibility); err != nil || visibility != "public" || a.o.Admit == nil {
		return err
	}
	return a.o.Admit(ctx)
}

type postMessageInput struct {
	TicketNumber
	Body newMessage
}

type messageOutput struct {
	Location string `header:"Location"`
	Body     *Message
}

func (a *API) postMessage(ctx context.Context, in *postMessageInput) (*messageOutput, error) {
	who := asking(ctx).identity
	if err := a.admit(ctx, who, in.Body.Visibility); err != nil {
		return nil, err
	}
	if _, err := a.reach(ctx, in.Number); err != nil {
		return nil, err
	}
	if in.Body.Text == "" && (in.Body.HTML == nil || *in.Body.HTML == "") && len(in.Body.Attachments) == 0 {
		return nil, unprocessable("/text", "there is nothing to say: give text, html or an attachment")
	}
	m, err := a.o.Desk.Post(ctx, who.Actor, in.Number, in.Body.toDesk())
	if err != nil {
		return nil, err
	}
	shown, err := a.message(ctx, m)
	if err != nil {
		return nil, err
	}
	return &messageOutput{Location: Base + "/messages/" + m.ID, Body: shown}, nil
}

type messageID struct {
	ID string `path:"id" maxLength:"100"`
}

func (a *API) getMessage(ctx context.Context, in *messageID) (*messageOutput, error) {
	m, err := a.reachMessage(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	shown, err := a.message(ctx, m)
	if err != nil {
		return nil, err
	}
	return &messageOutput{Body: shown}, nil
}
