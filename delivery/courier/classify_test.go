package courier

import "testing"

// What real servers say, and what it means for the mail, for others like it and
// for us. The table is the documentation of classify.
func TestClassify(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		phase     Phase
		smarthost bool
		reply     string
		want      Class
	}{
		{PhaseDot, false, "250 2.0.0 Ok", Success},
		{PhaseMail, false, "250 2.0.0 Ok", Temporary},

		// About the recipient or the mail.
		{PhaseRcpt, false, "550 5.1.1 user unknown", Permanent},
		{PhaseRcpt, false, "550 no such user here", Permanent},
		{PhaseRcpt, false, "553 5.1.2 we do not relay", Permanent},
		{PhaseRcpt, false, "550 5.2.1 mailbox disabled", Permanent},
		{PhaseRcpt, false, "550 5.4.14 hop count exceeded", Permanent},
		{PhaseDot, false, "554 5.4.6 routing loop", Permanent},
		{PhaseDot, false, "552 5.3.4 message too big", Permanent},
		{PhaseDot, false, "550 5.7.1 message rejected as spam", Permanent},
		{PhaseDot, false, "554 5.7.1 virus found", Permanent},
		{PhaseRcpt, false, "550 5.7.1 relaying denied", Permanent},
		{PhaseMail, false, "552 message size exceeds fixed limit", Permanent},
		{PhaseRcpt, false, "550 who", Permanent},
		{PhaseDot, false, "552 message too large", Permanent},
		{PhaseMail, false, "552 5.3.4 message too large", Permanent},
		{PhaseMail, false, "530 5.7.0 authenticate", Permanent},
		{PhaseMail, false, "555 5.5.4 unsupported option", Permanent},

		// It may pass.
		{PhaseRcpt, false, "450 4.2.0 greylisted", Temporary},
		{PhaseRcpt, false, "451 4.7.1 Greylisting in action, blocked by policy at this time", Temporary},
		{PhaseRcpt, false, "452 4.2.2 mailbox full", Temporary},
		{PhaseRcpt, false, "552 5.2.2 mailbox full", Temporary},
		{PhaseRcpt, false, "552 too much mail data", Temporary},
		{PhaseDot, false, "552 over quota", Temporary},
		{PhaseDot, false, "552 5.2.2 full", Temporary},
		{PhaseRcpt, false, "550 5.2.2 full", Temporary},
		{PhaseDot, false, "354 go", Temporary},
		{PhaseData, false, "250 2.0.0 Ok", Temporary},
		{PhaseGreeting, false, "550 5.7.1 listed", Temporary},
		{PhaseDot, false, "451 4.3.0 queue file write error", Temporary},
		{PhaseData, false, "503 5.5.1 no valid recipients", Temporary},
		{PhaseHello, false, "550 5.1.1 never", Temporary},
		{PhaseGreeting, false, "554 no SMTP service here", Temporary},
		{PhaseRcpt, false, "450 4.7.1 recipient policy service is out of order", Temporary},

		// About the servers there, and where we come from.
		{PhaseGreeting, false, "421 4.3.2 all servers busy", SiteScoped},
		{PhaseRcpt, false, "421 4.7.28 unusual rate of unsolicited mail", SiteScoped},
		{PhaseMail, false, "450 4.3.2 system not accepting network messages", SiteScoped},
		{PhaseMail, false, "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation", SiteScoped},
		{PhaseGreeting, false, "554 5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org", SiteScoped},
		{PhaseGreeting, false, "554 Your IP is blacklisted", SiteScoped},
		{PhaseMail, false, "550 5.7.606 Access denied, banned sending IP [192.0.2.1]", SiteScoped},
		{PhaseRcpt, false, "550 5.7.1 Service unavailable; client [192.0.2.1] listed at bl.example", SiteScoped},
		{PhaseMail, false, "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent: part of their network is on our block list (S3140)", SiteScoped},
		{PhaseRcpt, false, "450 4.7.1 too many connections from your host", SiteScoped},

		// Ours to repair.
		{PhaseDot, false, "550 5.7.26 This mail has been blocked because the sender is unauthenticated", SenderScoped},
		{PhaseMail, false, "550 5.7.23 SPF validation failed", SenderScoped},
		{PhaseMail, false, "553 5.1.8 domain of sender does not resolve", SenderScoped},
		{PhaseAuth, true, "535 5.7.8 authentication failed", SenderScoped},
		{PhaseMail, true, "530 5.7.0 authentication required", SenderScoped},
		{PhaseAuth, true, "501 5.5.2 cannot decode", SenderScoped},
		{PhaseAuth, true, "454 4.7.0 temporary authentication failure", Temporary},
		{PhaseMail, false, "530 5.7.0 must issue a STARTTLS command first", Permanent},
	} {
		r, err := parse(tc.reply + "\r\n")
		if err != nil {
			t.Fatal(err)
		}
		if got := classify(r, tc.phase, tc.smarthost); got != tc.want {
			t.Errorf("%s at %s, smarthost %v: %s, want %s", tc.reply, tc.phase, tc.smarthost, got, tc.want)
		}
	}
}
