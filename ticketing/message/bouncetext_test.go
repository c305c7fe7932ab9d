package message

import (
	"fmt"
	"strings"
	"testing"
)

// reports in prose, one per way of writing. A report reads: From, Subject and the
// text; wanted is "address action status code hard reason" for each recipient.
var proseReports = []struct{ name, from, subject, text, want string }{
	{"qmail, two recipients", "MAILER-DAEMON@mx.example", "failure notice",
		"Hi. This is the qmail-send program at mx.example.\nI'm afraid I wasn't able to deliver your message to the following addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.\n\n" +
			"<gone@x.example>:\n192.0.2.1 does not like recipient.\nRemote host said: 550 No such user here\nGiving up on 192.0.2.1.\n\n<full@x.example>:\nThe mailbox is over quota. (#5.2.2)\n\n--- Below this line is a copy of the message.\n\nReturn-Path: <a@help.example>\nMessage-ID: <1@help.example>\nTo: other@x.example\n",
		"gone@x.example failed 5.0.0 550 true user_unknown; full@x.example failed 5.2.2 0 false mailbox_full"},
	{"exim", "Mail Delivery System <Mailer-Daemon@mx.example>", "Mail delivery failed: returning message to sender",
		"This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more of its\nrecipients. This is a permanent error. The following address(es) failed:\n\n" +
			"  gone@x.example\n    host mx.x.example [192.0.2.1]\n    SMTP error from remote mail server after RCPT TO:<gone@x.example>:\n    550 5.1.1 <gone@x.example>: User unknown\n  big@x.example\n    (ultimately generated from list@x.example)\n    SMTP error from remote mail server after end of data:\n    552 5.3.4 message too big\n\n------ This is a copy of the message, including all the headers. ------\n\nReturn-path: <a@help.example>\nMessage-ID: <1@help.example>\n",
		"gone@x.example failed 5.1.1 550 true user_unknown; big@x.example failed 5.3.4 552 false too_big"},
	{"exim, delayed", "Mail Delivery System <Mailer-Daemon@mx.example>", "Warning: message 1abc-00 delayed 24 hours",
		"This message was created automatically by mail delivery software.\nA message that you sent has not yet been delivered to one or more of its\nrecipients after more than 24 hours on the queue on mx.example.\n\nThe address to which the message has not yet been delivered is:\n\n  slow@x.example\n    host mx.x.example [192.0.2.1]\n    Delay reason: Connection timed out\n\nNo action is required on your part. Delivery attempts will continue for\nsome time.\n",
		"slow@x.example delayed 4.4.1 0 false network"},
	{"postfix without report", "MAILER-DAEMON@mx.example (Mail Delivery System)", "Undelivered Mail Returned to Sender",
		"This is the mail system at host mx.example.\n\nFor further assistance, please send mail to <postmaster@mx.example>\n\n<postmaster@mx.example>\n\n<gone@x.example>: host mx.x.example[192.0.2.1] said: 550 5.1.1\n    <gone@x.example>: Recipient address rejected: User unknown (in reply to RCPT TO\n    command)\n<nohost@y.example>: Host or domain name not found. Name service error for\n    name=y.example type=MX: Host not found\n",
		"gone@x.example failed 5.1.1 550 true user_unknown; nohost@y.example failed 5.1.2 0 true host_unknown"},
	{"sendmail 8", "Mail Delivery Subsystem <MAILER-DAEMON@mx.example>", "Returned mail: see transcript for details",
		"The original message was received at Thu, 29 Apr 2026 23:34:45 +0900\nfrom localhost\n\n   ----- The following addresses had permanent fatal errors -----\n<list@help.example>\n    (expanded from: <team@help.example>)\n\n   ----- Transcript of session follows -----\n... while talking to mx.x.example.:\n>>> RCPT To:<gone@x.example>\n<<< 550 5.1.1 <gone@x.example>... User unknown\n550 5.1.1 <list@help.example>... User unknown\n",
		"list@help.example failed 5.1.1 550 true user_unknown"},
	{"sendmail 5", "Mail Delivery Subsystem <MAILER-DAEMON@mx.example>", "Returned mail: User unknown",
		"   ----- Transcript of session follows -----\nWhile talking to mx.x.example:\n>>> RCPT To:<gone@x.example>\n<<< 550 <gone@x.example>... User unknown\n550 <gone@x.example>... User unknown\n550 y.example (smtp)... 550 Host unknown\n554 <any@y.example>... 550 Host unknown (Authoritative answer from name server)\n\n   ----- Unsent message follows -----\nFrom: a@help.example\nTo: other@x.example\n",
		"gone@x.example failed 5.0.0 550 true user_unknown; any@y.example failed 5.0.0 550 true host_unknown"},
	{"postfix tells the postmaster", "MAILER-DAEMON@mx.example (Mail Delivery System)", "Postfix SMTP server: errors from relay.example[192.0.2.1]",
		"Transcript of session follows.\n\n Out: 220 mx.example ESMTP\n In:  MAIL FROM:<a@help.example>\n Out: 250 2.1.0 Ok\n In:  RCPT TO:<b@x.example>\n Out: 250 2.1.5 Ok\n In:  DATA\n Out: 354 End data with <CR><LF>.<CR><LF>\n Out: 452 4.3.1 Insufficient system storage\n In:  QUIT\n",
		"b@x.example failed 4.3.1 452 false system"},
	{"opensmtpd", "Mailer Daemon <MAILER-DAEMON@mx.example>", "Delivery status notification: error",
		"    Hi!\n\n    This is the MAILER-DAEMON, please DO NOT REPLY to this e-mail.\n\n    An error has occurred while attempting to deliver a message for\n    the following list of recipients:\n\ngone@x.example: 550 5.1.1 no such user\nlate@x.example: Envelope expired\n\n    Below is a copy of the original message:\n\nReceived: from x\nMessage-ID: <1@help.example>\n",
		"gone@x.example failed 5.1.1 550 true user_unknown; late@x.example failed 5.4.7 0 false expired"},
	{"courier", "MAILER-DAEMON@mx.example", "NOTICE: mail delivery status.",
		"This is a delivery status notification from mx.example.\n\nUNDELIVERABLE MAIL\n\nYour message to the following recipients cannot be delivered:\n\n<gone@x.example>:\n    mx.x.example [192.0.2.1]:\n>>> RCPT TO:<gone@x.example>\n<<< 550 5.1.1 Unknown user\n\n---------------------------------------------------------------------------\n",
		"gone@x.example failed 5.1.1 550 true user_unknown"},
	{"James", "postmaster@mx.example", "Re: hello",
		"Hi. This is the James mail server at mx.example.\nI'm afraid I wasn't able to deliver your message to the following addresses.\nThis is a permanent error; I've given up.\n\nFailed recipient(s):\ngone@x.example\n\nError message:\n550 5.1.1 no such user\n\n",
		"gone@x.example failed 5.1.1 550 true user_unknown"},
	{"Exchange 5.5", "System Administrator <postmaster@x.example>", "Undeliverable: hello",
		"Your message\n\n  To:      gone@x.example\n  Subject: hello\n  Sent:    Thu, 29 Apr 2026 00:00:00 -0000\n\ndid not reach the following recipient(s):\n\ngone@x.example on Thu, 29 Apr 2026 00:00:00 -0000\n    The recipient name is not recognized\n    MSEXCH:IMS:X:Y:Z 0 (000C05A6) Unknown Recipient\n",
		"gone@x.example failed 5.1.1 0 true user_unknown"},
	{"Exchange 2007, administrators' part", "Microsoft Outlook <MicrosoftExchange329e71ec88ae4615@x.example>", "Undeliverable: hello",
		"Delivery has failed to these recipients or distribution lists:\n\nfull@x.example<mailto:full@x.example>\nThe recipient's mailbox is full and can't accept messages now.\n\nDiagnostic information for administrators:\n\nGenerating server: mx.x.example\n\nfull@x.example\n#550 5.2.2 STOREDRV.Deliver; mailbox full ##\n\nOriginal message headers:\n\nReceived: from y\n",
		"full@x.example failed 5.2.2 550 false mailbox_full"},
	{"Domino", "Postmaster@x.example", "DELIVERY FAILURE: User gone (gone@x.example) not listed in Domino Directory",
		"Your message\n\n  Subject: hello\n\nwas not delivered to:\n\n  gone@x.example\n\nbecause:\n\n  User gone (gone@x.example) not listed in Domino Directory\n",
		"gone@x.example failed 5.1.1 0 true user_unknown"},
	{"Notes", "postmaster@x.example", "Undeliverable message",
		"------- Failure Reasons  --------\n\nUser not listed in public Name & Address Book\ngone@x.example\n\n------- Returned Message --------\nReceived: from y\n",
		"gone@x.example failed 5.1.1 0 true user_unknown"},
	{"IMail", "\"Postmaster\" <postmaster@x.example>", "Undeliverable Mail",
		"User mailbox exceeds allowed size: full@x.example\n\nOriginal message follows.\n\nReceived: from y\n",
		"full@x.example failed 5.2.2 0 false mailbox_full"},
	{"filter with a report on the session", "MAILER-DAEMON@x.example", "Message delivery has failed",
		"Unable to deliver message to: <gone@x.example>\nDelivery failed for the following reason:\nServer mx.x.example[192.0.2.1] failed with: 550 <gone@x.example> No such user here\n\nThis has been a permanent failure.  No further delivery attempts will be made.\n",
		"gone@x.example failed 5.0.0 550 false user_unknown"},
	{"gateway that prints its session", "postmaster@x.example", "Mail delivery failed",
		"Sent >>> RCPT TO:<gone@x.example>\nReceived <<< 550 5.1.1 User unknown\n\nUnable to deliver message to <gone@x.example>.\n",
		"gone@x.example failed 5.1.1 550 true user_unknown"},
	{"scanner that lists afterwards", "postmaster@x.example", "Undeliverable Mail: hello",
		"Your message:\n   From:    a@help.example\n   Subject: hello\n\nCould not be delivered because of\n\n550 5.1.1 User unknown\n\nThe following recipients were affected:\n   gone@x.example\n",
		"gone@x.example failed 5.1.1 550 true user_unknown"},
	{"Google, old", "Mail Delivery Subsystem <mailer-daemon@googlemail.com>", "Delivery Status Notification (Failure)",
		"Delivery to the following recipient failed permanently:\n\n     gone@x.example\n\nTechnical details of permanent failure: \nGoogle tried to deliver your message, but it was rejected by the server for the recipient domain x.example by mx.x.example. [192.0.2.1].\n\nThe error that the other server returned was:\n550 5.1.1 <gone@x.example>... User Unknown\n\n----- Original message -----\n\nMessage-ID: <1@help.example>\n",
		"gone@x.example failed 5.1.1 550 true user_unknown"},
	{"Google, delay", "Mail Delivery Subsystem <mailer-daemon@googlemail.com>", "Delivery Status Notification (Delay)",
		"This is an automatically generated Delivery Status Notification\n\nTHIS IS A WARNING MESSAGE ONLY.\n\nDelivery to the following recipient has been delayed:\n\n     slow@x.example\n\nMessage will be retried for 2 more day(s)\n\nTechnical details of temporary failure: \nThe recipient server did not accept our requests to connect. \n",
		"slow@x.example delayed 4.4.1 0 false network"},
	{"Yahoo", "MAILER-DAEMON@yahoo.com", "Failure Notice",
		"Sorry, we were unable to deliver your message to the following address.\n\n<gone@x.example>:\nRemote host said:\n550 5.1.1 <gone@x.example>... User Unknown\n[RCPT_TO]\n\n--- Below this line is a copy of the message.\n\nReceived: from y\n",
		"gone@x.example failed 5.1.1 550 true user_unknown"},
	{"GMX", "MAILER-DAEMON@mail.gmx.com", "Mail delivery failed: returning message to sender",
		"This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more of\nits recipients. This is a permanent error. The following address\nfailed:\n\n\"gone@x.example\":\nSMTP error from remote server after RCPT command:\nhost: mx.x.example\n5.1.1 <gone@x.example>... User unknown\n\"full@x.example\":\nhost: mx.x.example\n5.2.2 Mailbox full\n\n--- The header of the original message is following. ---\n\nReceived: from y\n",
		"gone@x.example failed 5.1.1 0 true user_unknown; full@x.example failed 5.2.2 0 false mailbox_full"},
	{"mail.ru", "mailer-daemon@corp.mail.ru", "Ваше сообщение не доставлено. Mail failure.",
		"Это письмо создано автоматически сервером Mail.Ru, отвечать на него не нужно.\n\nК сожалению, Ваше письмо не может быть доставлено одному или нескольким получателям:\n\n  none@x.example\n    an MX or SRV record indicated no SMTP service\n\nРекомендуем Вам проверить корректность указания адресов получателей.\n",
		"none@x.example failed 5.1.10 0 true no_mail"},
	{"Zoho", "mailer-daemon@mail.zoho.com", "Undelivered Mail Returned to Sender",
		"This message was created automatically by mail delivery software.\nA message that you sent could not be delivered to one or more of its recipients. This is a permanent error. \n\ngone@x.example Invalid Address, ERROR_CODE :550, ERROR_CODE :5.1.1 <gone@x.example>... User Unknown\n\nReceived:from mail.zoho.com by mx.zohomail.com\n",
		"gone@x.example failed 5.1.1 550 true user_unknown"},
	{"mobile provider, Japanese", "Postmaster@x.example", "Mail System Error - Returned Mail",
		"次のあて先へのメッセージはエラーのため送信できませんでした。\n\nThe user(s) account is disabled.\n\n<gone@x.example>\n",
		"gone@x.example failed 5.2.1 0 false suspended"},
	{"Japanese filter", "POSTMASTER <postmaster@x.example>", "failure notice",
		"以下のメールアドレスへの送信に失敗しました。\ngone@x.example\n\n-------server message\n550 unknown user <gone@x.example>\n\n-------SMTP command\nDATA\n\n-------original message\nReceived: from y\n",
		"gone@x.example failed 5.0.0 550 false user_unknown"},
	{"German", "Mail Delivery Subsystem <postmaster@x.example>", "Unzustellbar: Hallo",
		"Ihre Nachricht konnte nicht zugestellt werden:\n\ngone@x.example\n550 5.1.1 Empfänger unbekannt\n",
		"gone@x.example failed 5.1.1 550 true user_unknown"},
	{"multimedia gateway", "MMSC NDR Administrator <sysadmin@m.example>", "Undeliverable Message",
		"Message could not be delivered to mobile.\nError: No valid recipients for this MM\n\nOriginal Message:\nFrom: a <a@help.example>\nTo: 5550100@m.example\nSubject: hello\n",
		"5550100@m.example failed 5.1.1 0 true user_unknown"},
	{"fields in the text", "MAILER-DAEMON@x.example", "Delivery Status Notification (Failure)",
		"An error occurred while trying to deliver the mail to the following recipients:\nlate@x.example\n\nTechnical report:\n\nReporting-MTA: dsn; x.example\n\nAction: failed\nFinal-Recipient: rfc822; late@x.example\nDiagnostic-Code: smtp; 554 4.4.7 Message expired: unable to deliver in 840 minutes.<421 4.4.2 Connection timed out>\nStatus: 4.4.7\n\nAction: relayed\nFinal-Recipient: rfc822; ok@x.example\nStatus: 2.1.9\n",
		"late@x.example failed 4.4.2 421 false network; ok@x.example relayed 2.1.9 0 false delivered"},
	{"success", "postmaster@x.example", "Delivery Report",
		"Your message was delivered to the following recipients:\n\nanna@x.example\n",
		"anna@x.example delivered 2.0.0 0 false delivered"},
	{"sender refused", "MAILER-DAEMON@mx.example", "failure notice",
		"I'm afraid I wasn't able to deliver your message to the following addresses.\n\n<anna@x.example>:\nConnected to 192.0.2.1 but sender was rejected.\nRemote host said: 553 5.1.8 domain of sender does not exist\n",
		"anna@x.example failed 5.1.8 553 false policy"},
	{"a mailbox called virus", "MAILER-DAEMON@mx.example", "Mail delivery failed",
		"There was an error delivering your mail to <virus-desk@x.example>.\n\nmx.x.example [192.0.2.1] did not like our RCPT TO:\n550 5.1.1 User unknown\n\nMessage headers follow.\n\nReceived: from y\n",
		"virus-desk@x.example failed 5.1.1 550 true user_unknown"},
	{"Google, new, without its report", "Mail Delivery Subsystem <mailer-daemon@googlemail.com>", "Delivery Status Notification (Failure)",
		"** Address not found **\n\nYour message wasn't delivered to gone@x.example because the address couldn’t be found, or is unable to receive mail.\n\nLearn more here: https://support.provider.example/mail/?p=NoSuchUser\n\nThe response from the remote server was:\n\n550 5.1.1 The email account that you tried to reach does not exist.\n",
		"gone@x.example failed 5.1.1 550 true user_unknown"},
	{"IronPort", "Mail Delivery System <MAILER-DAEMON@mx.example>", "Undeliverable Message",
		"The following message to <gone@x.example> was undeliverable.\nThe reason for the problem:\n5.1.0 - Unknown address error 550-'5.1.1 <gone@x.example>... User Unknown'\n",
		"gone@x.example failed 5.1.1 550 true user_unknown"},
	{"Exchange to Outlook", "System Administrator <postmaster@x.example>", "Undeliverable: hello",
		"Your message did not reach some or all of the intended recipients.\n\n      Subject:\thello\n      Sent:\t4/29/2026 11:34 PM\n\nThe following recipient(s) cannot be reached:\n\n      'gone@x.example' on 4/29/2026 11:35 PM\n            The e-mail account does not exist at the organization this message was sent to.\n            <mx.x.example #5.1.1>\n",
		"gone@x.example failed 5.1.1 0 true user_unknown"},
	{"Exchange, German", "Systemadministrator <postmaster@x.example>", "Unzustellbar: Hallo",
		"Ihre Nachricht hat einige oder alle Empfänger nicht erreicht.\n\n      Betreff:  Hallo\n      Gesendet am:  29.04.2026 23:34\n\nFolgende Empfänger konnten nicht erreicht werden:\n\n      'full@x.example' am 29.04.2026 23:35\n            <mx.x.example #5.2.2 smtp;552 5.2.2 quota exceeded>\n",
		"full@x.example failed 5.2.2 552 false mailbox_full"},
	{"MDaemon", "MDaemon at mx.example <MDaemon@mx.example>", "Permanent Delivery Failure",
		"The attached message had PERMANENT fatal delivery errors!\n\nSession Transcript:\n  Wed 2026-04-29 23:34:45: <-- 220 mx.x.example ESMTP\n  Wed 2026-04-29 23:34:45: --> EHLO mx.example\n  Wed 2026-04-29 23:34:45: <-- 250 ok\n  Wed 2026-04-29 23:34:45: --> MAIL From:<a@help.example>\n  Wed 2026-04-29 23:34:46: <-- 250 ok\n  Wed 2026-04-29 23:34:46: --> RCPT To:<gone@x.example>\n  Wed 2026-04-29 23:34:46: <-- 550 5.1.1 no such user\n  Wed 2026-04-29 23:34:46: --> QUIT\n",
		"gone@x.example failed 5.1.1 550 true user_unknown"},
	{"hMailServer", "mailer-daemon@mx.example", "Message undeliverable: hello",
		"Your message did not reach some or all of the intended recipients.\n\n   Sent: Wed, 29 Apr 2026 23:34:45 +0200\n   Subject: hello\n\nThe following recipient(s) could not be reached:\n\ngone@x.example\n   Error Type: SMTP\n   Remote server (192.0.2.1) issued an error.\n   hMailServer sent: RCPT TO:<gone@x.example>\n   Remote server replied: 550 No such user here\n\n\nhMailServer\n",
		"gone@x.example failed 5.0.0 550 true user_unknown"},
	{"MailEnable", "Postmaster <postmaster@mx.example>", "Message Delivery Failure",
		"MailEnable: Message Delivery Failure.\n\nThe following recipient(s) could not be reached:\n\n\tRecipient: [SMTP:gone@x.example]\n\tReason: Remote SMTP Server Returned: 550 5.1.1 User unknown\n\nMessage headers follow:\n\nReceived: from y\n",
		"gone@x.example failed 5.1.1 550 true user_unknown"},
	{"CommuniGate", "MAILER-DAEMON@mx.example", "Undeliverable mail: hello",
		"Failed to deliver to 'gone@x.example'\nSMTP module(domain x.example) reports:\n host mx.x.example says:\n 550 5.1.1 user unknown\n\n",
		"gone@x.example failed 5.1.1 550 true user_unknown"},
	{"Postfix, delayed, without its report", "MAILER-DAEMON@mx.example (Mail Delivery System)", "Delayed Mail (still being retried)",
		"This is the mail system at host mx.example.\n\n####################################################################\n# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #\n####################################################################\n\nYour message could not be delivered for more than 4 hour(s).\nIt will be retried until it is 5 day(s) old.\n\n<slow@x.example>: connect to mx.x.example[192.0.2.1]:25: Connection timed out\n",
		"slow@x.example delayed 4.4.1 0 false network"},
	{"Chinese", "Postmaster@x.example", "系统退信",
		"抱歉，您的邮件被退回来了。\n\n收件人：gone@x.example\n\n550 5.1.1 User not found\n",
		"gone@x.example failed 5.1.1 550 true user_unknown"},
	{"spam refused", "Mail Delivery System <Mailer-Daemon@mx.example>", "Mail delivery failed: returning message to sender",
		"A message that you sent could not be delivered to one or more of its\nrecipients. This is a permanent error. The following address(es) failed:\n\n  anna@x.example\n    SMTP error from remote mail server after end of data:\n    550 5.7.1 Message rejected as spam by Content Filtering.\n",
		"anna@x.example failed 5.7.1 550 false spam"},
	{"unknown, but after the text", "Mail Delivery System <Mailer-Daemon@mx.example>", "Mail delivery failed: returning message to sender",
		"A message that you sent could not be delivered to one or more of its\nrecipients. The following address(es) failed:\n\n  anna@x.example\n    SMTP error from remote mail server after end of data:\n    550 User unknown\n",
		"anna@x.example failed 5.0.0 550 false user_unknown"},
}

func TestReportsInProse(t *testing.T) {
	t.Parallel()
	for _, tt := range proseReports {
		raw := "From: " + tt.from + "\nTo: a@help.example\nSubject: " + tt.subject + "\nContent-Type: text/plain; charset=utf-8\n\n" + tt.text
		for _, raw := range []string{raw, crlf(raw)} {
			m := parseBytes(t, raw)
			b := ParseBounce(m)
			if b == nil {
				t.Errorf("%s: no report", tt.name)
				continue
			}
			var got []string
			delayed := len(b.Recipients) > 0
			for _, r := range b.Recipients {
				got = append(got, fmt.Sprint(r.Address, " ", r.Action, " ", r.Status, " ", r.SMTPCode, " ", r.Hard, " ", r.Reason))
				delayed = delayed && r.Action == "delayed"
				checkLine(t, tt.name, r.Diagnostic)
			}
			if g := strings.Join(got, "; "); g != tt.want {
				t.Errorf("%s:\n got %s\nwant %s", tt.name, g, tt.want)
			}
			want := map[bool]string{true: "delayed", false: "bounce"}[delayed]
			if class := Classify(m, "mailer-daemon@mx.example").Class; class != want {
				t.Errorf("%s: class %s", tt.name, class)
			}
			if strings.Contains(tt.text, "<1@help.example>") != (flat(b.Returned...) == "<1@help.example>") {
				t.Errorf("%s: returned %q", tt.name, b.Returned)
			}
		}
		// The same words from a person are a question about a bounce.
		for _, person := range []string{"Anna <anna@customer.example>", "\"Anna (daemon fan)\" <a.postmaster@customer.example>"} {
			m := parseBytes(t, "From: "+person+"\nTo: a@help.example\nSubject: Fwd: "+tt.subject+"\nContent-Type: text/plain; charset=utf-8\n\nWhat is this?\n\n"+tt.text)
			if b, class := ParseBounce(m), Classify(m, "anna@customer.example").Class; b != nil || class != "none" {
				t.Errorf("%s, sent on by %s: class %s, %+v", tt.name, person, class, b)
			}
		}
	}
	t.Logf("%d ways of writing", len(proseReports))
}

// TestProgramsThatAreNoMailSystems: senders that never read answers also write
// of deliveries.
func TestProgramsThatAreNoMailSystems(t *testing.T) {
	t.Parallel()
	for subject, text := range map[string]string{
		"Delivery failed":                   "Your parcel could not be delivered. Please contact support@parcels.example.\n",
		"Returned mail":                     "We received your letter back. anna@customer.example\n",
		"Your order was not delivered":      "Dear anna@customer.example,\n\nyour order was not delivered.\n",
		"Your message has been blocked":     "Your message to <bob@forum.example> has been blocked by a moderator.\n",
		"Delivery Status Notification: DHL": "anna@customer.example: parcel 550 is on its way.\n",
	} {
		for _, from := range []string{"no-reply@parcels.example", "noreply@forum.example", "admin@shop.example"} {
			m := parseBytes(t, "From: "+from+"\nTo: anna@customer.example\nSubject: "+subject+"\n\n"+text)
			if b, class := ParseBounce(m), Classify(m, from).Class; b != nil || class != "none" {
				t.Errorf("%q from %s: class %s, %+v", subject, from, class, b)
			}
		}
	}
	// With the mail that came back it is a report.
	raw := "From: no-reply@provider.example\nTo: a@help.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nYour mail sent on: Thu, 29 Apr 2026 23:45:22 +0900\n     Could not be delivered to: <full@x.example>\n     As their mailbox is full.\n" +
		"--b\nContent-Type: message/rfc822\n\nMessage-ID: <1@help.example>\n\nx\n--b--\n"
	if b := ParseBounce(parseBytes(t, raw)); b == nil || len(b.Recipients) != 1 || b.Recipients[0].Reason != "mailbox_full" || b.Recipients[0].Hard {
		t.Errorf("%+v", b)
	}
}

// TestVacationWithNullSender: a person's vacation program writes with the null
// sender and may speak of mail that is not delivered.
func TestVacationWithNullSender(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"I am away. Your message was not delivered to me; write to bob@customer.example.\n",
		"bob@customer.example\n\nYour message to me has not been delivered.\n",
		"Mails are not forwarded, your message to anna@customer.example will be read in May.\n",
	} {
		m := parseBytes(t, "From: Anna <anna@customer.example>\nTo: a@help.example\nSubject: Re: your question\nAuto-Submitted: auto-replied\nReturn-Path: <>\n\n"+text)
		if b, class := ParseBounceFrom(m, ""), Classify(m, "").Class; b != nil || class != "autoreply" {
			t.Errorf("%q: class %s, %+v", text, class, b)
		}
	}
}

// TestHugeReports: what one report makes us keep is bounded, whatever it holds.
func TestHugeReports(t *testing.T) {
	t.Parallel()
	head := "From: MAILER-DAEMON@mx.example\nSubject: failure notice\n"
	lines := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for name, raw := range map[string]string{
		"many recipients":     head + "\nunable to deliver\n\n" + lines(50000, "<u%d@x.example>:\n550 no such user\n\n"),
		"many in a session":   head + "\n" + lines(50000, ">>> RCPT TO:<u%d@x.example>\n<<< 550 no\n"),
		"accepted, then not":  head + "\n" + lines(3000, ">>> RCPT TO:<u%d@x.example>\n") + ">>> DATA\n<<< 554 no\n",
		"one endless line":    head + "\nunable to deliver to " + strings.Repeat("<", 1<<20) + strings.Repeat("@", 1<<20),
		"long lines":          head + "\nunable to deliver\n\n<a@x.example>:\n" + strings.Repeat(strings.Repeat("word ", 200)+"\n\n", 250),
		"long To":             head + "To: " + lines(900, "u%d@x.example, ") + "z@x.example\n\nunable to deliver\n" + lines(2000, "u%d@y.example\n"),
		"codes":               head + "\n<a@x.example>:\n" + strings.Repeat("5.1.550 4.", 1<<18),
		"blank lines":         head + "\nunable to deliver\n" + strings.Repeat("\n", 1<<20) + "<a@x.example>: 550 no",
		"many failed":         head + "X-Failed-Recipients: " + lines(5000, "u%d@x.example, ") + "z@x.example\n\nx",
		"fields in the text":  head + "\nunable to deliver\n\n" + lines(20000, "Final-Recipient: rfc822; u%d@x.example\nAction: failed\nStatus: 5.1.1\n\n"),
		"many status parts":   head + "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n" + lines(900, "--b\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822; u%d@x.example\nAction: failed\nStatus: 5.1.1\n\n") + "--b--",
		"openers":             head + "\n" + strings.Repeat("could not be delivered a@b could not ", 1<<15),
		"returned header":     head + "\n<a@x.example>: 550 no\n\n--- Original message\n" + lines(50000, "Message-ID: <%d@x.example>\n"),
		"notice of provider":  "X-Amz-Sns-Message-Id: 1\nFrom: no-reply@x.example\n\n" + `{"notificationType":"Delivery","delivery":{"recipients":[` + strings.TrimSuffix(lines(5000, `"u%d@x.example",`), ",") + `]}}`,
		"feedback recipients": "From: a@b.c\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n" + lines(5000, "Original-Rcpt-To: u%d@x.example\nReported-URI: http://x.example/%[1]d\n"),
	} {
		m := parseBytes(t, raw)
		Classify(m, "")
		checkBounce(t, name, ParseBounceFrom(m, ""))
	}
}

// checkBounce holds for every report whatever the mail is.
func checkBounce(t testing.TB, name string, b *Bounce) {
	t.Helper()
	if b == nil {
		return
	}
	if len(b.Recipients) > maxBounceRecipients || len(b.Returned) > maxReturned || b.Recipients == nil {
		t.Errorf("%s: %d recipients, %d returned", name, len(b.Recipients), len(b.Returned))
	}
	checkLine(t, name, b.FeedbackType)
	for _, r := range b.Recipients {
		checkLine(t, name, r.Diagnostic)
		if len(r.Diagnostic) > 4*maxDiagnostic || len(r.Address) > maxAddr {
			t.Fatalf("%s: diagnostic of %d bytes, address of %d", name, len(r.Diagnostic), len(r.Address))
		}
		checkLine(t, name, r.Address)
		switch r.Action {
		case "failed", "delayed", "delivered", "relayed", "expanded":
		default:
			t.Errorf("%s: action %q", name, r.Action)
		}
		if codeAt(r.Status) != r.Status {
			t.Errorf("%s: status %q", name, r.Status)
		}
		if r.SMTPCode != 0 && r.SMTPCode != 250 && (r.SMTPCode < 400 || r.SMTPCode > 559) {
			t.Errorf("%s: code %d", name, r.SMTPCode)
		}
		if r.Reason == "" || r.Hard && (r.Action != "failed" || !hardReasons[r.Reason]) {
			t.Errorf("%s: hard %v, %s, %s", name, r.Hard, r.Action, r.Reason)
		}
	}
}
