package api

import (
	"testing"
	"time"

	"ticketgate/ticketing"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/message"
)

// The JSON of each resource, once full and once as empty as it gets. Outside
// programs rely on every name here.

func TestTicketShape(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	berlin := time.FixedZone("CET", 3600)
	s.desk.tickets[1001] = &ticketing.Ticket{
		Number: 1001, Queue: "support", Subject: "Printer on fire", Status: "solved", Priority: "high",
		Category: "hardware", Tags: []string{"fire"}, Assignee: "otto",
		Requester:  ticketing.Person{Contact: "con_1", Address: "anna@customer.example", Name: "Anna"},
		CCs:        []ticketing.Person{{Contact: "con_2", Address: "bo@customer.example", Name: "Bo"}},
		Followers:  []ticketing.Follower{{Agent: "otto", Address: "otto@help.example"}},
		Links:      []ticketing.Link{{Number: 998, Kind: "followup"}},
		MergedInto: 5, Flags: []string{"third_party_pending"}, MessageCount: 3,
		CreatedAt: noon.In(berlin), UpdatedAt: noon.Add(1500 * time.Millisecond), SolvedAt: noon, SnoozedUntil: noon, Version: 7,
	}
	w := s.do("GET", "/tickets/1001", "")
	wantJSON(t, w, 200, `{"number":1001,"queue":"support","subject":"Printer on fire","status":"solved","priority":"high","category":"hardware","tags":["fire"],
		"assignee":"otto","requester":{"contact":"con_1","address":"anna@customer.example","name":"Anna"},
		"ccs":[{"contact":"con_2","address":"bo@customer.example","name":"Bo"}],"followers":[{"agent":"otto","address":"otto@help.example"}],
		"links":[{"number":998,"kind":"followup"}],"merged_into":5,"flags":["third_party_pending"],"sla":[],"message_count":3,
		"created_at":"2026-03-01T12:00:00Z","updated_at":"2026-03-01T12:00:01.5Z","solved_at":"2026-03-01T12:00:00Z","snoozed_until":"2026-03-01T12:00:00Z","due_at":null,"time_minutes":0,"task_address":"task+x@help.example","merged_from":[],
		"url":"https://desk.help.example/t/1001"}`)
	if w.Header().Get("ETag") != `"7"` {
		t.Errorf("ETag %s", w.Header().Get("ETag"))
	}
	wantJSON(t, s.do("GET", "/tickets/1002", ""), 200, `{"number":1002,"queue":"sales","subject":"Offer","status":"open","priority":"low","category":null,"tags":[],
		"assignee":null,"requester":{"contact":"","address":"","name":""},"ccs":[],"followers":[],"links":[],"merged_into":null,"flags":[],"sla":[],"message_count":0,
		"created_at":"2026-03-01T12:00:00Z","updated_at":"2026-03-01T12:00:00Z","solved_at":null,"snoozed_until":null,"due_at":null,"time_minutes":0,"task_address":"task+x@help.example","merged_from":[],"url":"https://desk.help.example/t/1002"}`)
}

func TestMessageShape(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	anna := message.Address{Name: "Anna", Addr: "anna@customer.example"}
	s.desk.messages = []*ticketing.Message{
		{
			ID: "msg_1", Ticket: 1001, Seq: 1, Direction: "in", Kind: "customer", Visibility: "public",
			Author: ticketing.Author{Address: anna.Addr, Name: "Anna", Role: "requester"}, Subject: "Printer on fire", MessageID: "<a1@customer.example>",
			InReplyTo: []string{"<b@x>"}, References: []string{"<a@x>", "<b@x>"},
			From: []message.Address{anna}, To: []message.Address{{Addr: "support@help.example"}}, Cc: []message.Address{anna}, ReplyTo: []message.Address{anna},
			Envelope: ticketing.Envelope{From: anna.Addr, To: []string{"support@help.example"}, RemoteIP: "192.0.2.7", HELO: "mx.customer.example", TLS: true, Source: "smtp"},
			Auth: ticketing.Verdict{
				SPF:   ticketing.AuthResult{Result: "pass", Domain: "customer.example", Reason: "ip4:192.0.2.7"},
				DKIM:  []ticketing.AuthResult{{Result: "pass", Domain: "customer.example", Selector: "s1"}},
				DMARC: ticketing.AuthResult{Result: "pass", Domain: "customer.example", Policy: "reject", Disposition: "none"}, Trust: "T2",
				IPRev: ticketing.AuthResult{Result: "pass", Domain: "mx.customer.example"}, Forwarder: true, Client: "198.51.100.1", Reasons: []string{"proven"},
			},
			Automatic: message.Automatic{Class: "bounce", Reasons: []string{"null sender"}},
			Bounce:    &message.Bounce{Recipients: []message.BounceRecipient{{Address: "x@y", Action: "failed", Status: "5.1.1", SMTPCode: 550, Hard: true, Reason: "user_unknown", Diagnostic: "no"}}},
			MatchedBy: "token", Flags: []string{"f"}, Commands: []ticketing.CommandResult{{Line: "#solved"}, {Line: "#queue x", Error: "no"}}, SplitFrom: "msg_0", SplitInto: 7, Raw: blob.Ref{SHA256: "ab", Size: 5123}, Date: noon.Add(-time.Minute), ReceivedAt: noon,
		},
		{ID: "msg_2", Ticket: 1001, Seq: 2, Direction: "none", Kind: "event", Visibility: "internal", Author: ticketing.Author{Role: "system"}, ReceivedAt: noon},
	}
	s.desk.content = &ticketing.Content{Text: "t", VisibleText: "v", QuotedText: "q", HTML: "<p>t & u</p>",
		Labels:      []string{"smime_encrypted"},
		Attachments: []ticketing.Attachment{{ID: "att_1", Filename: "log.txt", ContentType: "text/plain", Size: 812, SHA256: "cd", ContentID: "c1", Inline: true, Note: "an invitation"}, {ID: "att_2"}}}
	s.desk.deliveries = []ticketing.Delivery{
		{Recipient: "bo@customer.example", Parcel: "out_1", State: "sent", Attempts: 1, Code: 250, Enhanced: "2.0.0", Text: "ok", MX: "mx1.customer.example", At: noon},
		{Recipient: "cy@customer.example", State: "queued"},
	}
	wantJSON(t, s.do("GET", "/messages/msg_1", ""), 200, `{"id":"msg_1","ticket":1001,"direction":"in","kind":"customer","visibility":"public",
		"author":{"address":"anna@customer.example","name":"Anna","role":"requester"},
		"subject":"Printer on fire","message_id":"<a1@customer.example>","in_reply_to":["<b@x>"],"references":["<a@x>","<b@x>"],
		"from":[{"address":"anna@customer.example","name":"Anna"}],"to":[{"address":"support@help.example","name":""}],
		"cc":[{"address":"anna@customer.example","name":"Anna"}],"reply_to":[{"address":"anna@customer.example","name":"Anna"}],
		"envelope":{"from":"anna@customer.example","to":["support@help.example"],"remote_ip":"192.0.2.7","helo":"mx.customer.example","tls":true,"source":"smtp"},
		"auth":{"spf":{"result":"pass","domain":"customer.example","reason":"ip4:192.0.2.7"},"dkim":[{"result":"pass","domain":"customer.example","selector":"s1","reason":null}],
			"dmarc":{"result":"pass","domain":"customer.example","policy":"reject","disposition":"none","reason":null},"arc":{"result":"none"},"iprev":{"result":"pass","name":"mx.customer.example"},
			"trust":"T2","forwarder":true,"client":"198.51.100.1","reasons":["proven"]},
		"automatic":{"class":"bounce","reasons":["null sender"]},
		"bounce":{"recipients":[{"address":"x@y","action":"failed","status":"5.1.1","smtp_code":550,"hard":true,"reason":"user_unknown","diagnostic":"no"}]},
		"forwarded_by":null,"matched_by":"token","flags":["f","smime_encrypted"],"commands":[{"line":"#solved","error":null},{"line":"#queue x","error":"no"}],"split_from":"msg_0","split_into":7,"text":"t","visible_text":"v","quoted_text":"q","html":"<p>t & u</p>",
		"attachments":[{"id":"att_1","filename":"log.txt","content_type":"text/plain","size":812,"sha256":"cd","content_id":"c1","inline":true,"note":"an invitation"},
			{"id":"att_2","filename":"","content_type":"","size":0,"sha256":"","content_id":null,"inline":false,"note":null}],
		"raw_sha256":"ab","raw_size":5123,"date":"2026-03-01T11:59:00Z","received_at":"2026-03-01T12:00:00Z",
		"deliveries":[{"recipient":"bo@customer.example","state":"sent","attempts":1,"last":{"code":250,"enhanced":"2.0.0","text":"ok","mx":"mx1.customer.example","tls":"","at":"2026-03-01T12:00:00Z"}},
			{"recipient":"cy@customer.example","state":"queued","attempts":0,"last":null}]}`)
	s.desk.content, s.desk.deliveries = &ticketing.Content{}, nil
	wantJSON(t, s.do("GET", "/messages/msg_2", ""), 200, `{"id":"msg_2","ticket":1001,"direction":"none","kind":"event","visibility":"internal",
		"author":{"address":"","name":"","role":"system"},"subject":"","message_id":"","in_reply_to":[],"references":[],"from":[],"to":[],"cc":[],"reply_to":[],
		"envelope":null,"auth":{"spf":{"result":"none","domain":null,"reason":null},"dkim":[],"dmarc":{"result":"none","domain":null,"policy":null,"disposition":null,"reason":null},
			"arc":{"result":"none"},"iprev":{"result":"none","name":null},"trust":"T0","forwarder":false,"client":null,"reasons":[]},
		"automatic":{"class":"none","reasons":[]},"bounce":null,"forwarded_by":null,"matched_by":"none","flags":[],"commands":[],"split_from":null,"split_into":null,"text":"","visible_text":"","quoted_text":"","html":null,
		"attachments":[],"raw_sha256":null,"raw_size":0,"date":null,"received_at":"2026-03-01T12:00:00Z","deliveries":[]}`)
}

func TestReceiptShape(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.desk.receipt = &ticketing.Receipt{ID: "rcpt_1", ReceivedAt: noon, Source: "smtp", EnvelopeFrom: "anna@customer.example", Raw: blob.Ref{SHA256: "ab", Size: 5123},
		Outcomes: []ticketing.Outcome{
			{Recipient: "support@help.example", Outcome: "new_ticket", Ticket: 1001, Message: "msg_1"},
			{Recipient: "sales@help.example", Outcome: "held", Held: "held_1", Reason: "loop"},
		}}
	wantJSON(t, s.do("GET", "/receipts/rcpt_1", ""), 200, `{"id":"rcpt_1","received_at":"2026-03-01T12:00:00Z","source":"smtp","envelope_from":"anna@customer.example","raw_sha256":"ab","raw_size":5123,
		"outcomes":[{"recipient":"support@help.example","outcome":"new_ticket","ticket":1001,"message":"msg_1","held":null,"reason":null},
			{"recipient":"sales@help.example","outcome":"held","ticket":null,"message":null,"held":"held_1","reason":"loop"}]}`)
}

func TestOutboundShape(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	wantJSON(t, s.do("GET", "/outbound", ""), 200, `{"items":[{"id":"out_1","class":"reply","state":"deferred","from":"support+x@help.example","recipient":"bo@customer.example",
		"queue":"support","ticket":null,"message":null,"size":18000,"attempts":0,"created_at":"2026-03-01T11:18:00Z","next_at":null,"age_seconds":2520,"last":null,"waits_for":null,"why":null,"ambiguous":false,"held":null}],"next":null}`)
	p := s.outbound.parcel
	p.Ticket, p.Message, p.Attempts, p.NextAt, p.Why = 1001, "msg_1", 2, noon, "the server asked us to wait"
	p.WaitsFor, p.Ambiguous = "retry", true
	p.Last = &Attempt{Code: 421, Enhanced: "4.7.28", Text: "rate limited", MX: "mx1.customer.example", At: noon}
	wantJSON(t, s.do("GET", "/outbound/out_1", ""), 200, `{"id":"out_1","class":"reply","state":"deferred","from":"support+x@help.example","recipient":"bo@customer.example",
		"queue":"support","ticket":1001,"message":"msg_1","size":18000,"attempts":2,"created_at":"2026-03-01T11:18:00Z","next_at":"2026-03-01T12:00:00Z","age_seconds":2520,
		"last":{"code":421,"enhanced":"4.7.28","text":"rate limited","mx":"mx1.customer.example","tls":"","at":"2026-03-01T12:00:00Z"},"waits_for":"retry","why":"the server asked us to wait","ambiguous":true,"held":null}`)
}

func TestReconcileShape(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	wantJSON(t, s.do("GET", "/reconcile", ""), 200, `{"receipts":3,"outcomes":4,"tickets":2,"messages":4,"held":0,"problems":[],"checked_at":"2026-03-01T12:00:00Z"}`)
}

func TestEmptyLists(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.desk.tickets, s.desk.messages = map[uint64]*ticketing.Ticket{1001: s.desk.tickets[1001]}, nil
	wantJSON(t, s.do("GET", "/tickets/1001/messages", ""), 200, `{"items":[],"next":null}`)
	s.desk.tickets = nil
	wantJSON(t, s.do("GET", "/tickets", ""), 200, `{"items":[],"next":null}`)
}
