package message

import "strings"

// What mail systems that do not follow RFC 3464 say when they return a mail.
// The phrases are the fixed texts of programs and providers, in lower case. They
// count only in a mail that shows by other means that a mail system wrote it.

// openers announce that a mail was not delivered, or not yet.
var openers = []string{
	// qmail, its descendants and the providers that run them
	"wasn't able to deliver", "was not able to deliver", "were unable to deliver", "unable to deliver", "couldn't deliver",
	// exim, postfix, opensmtpd, gmx, courier, filters
	"could not be delivered", "couldn't be delivered", "cannot be delivered", "can't be delivered", "can not be delivered", "not yet been delivered",
	"has not been delivered", "have not been delivered", "error has occurred while attempting to deliver", "error occurred while trying to deliver",
	"error delivering", "trouble delivering", "problem delivering", "problems delivering", "failed to deliver", "delivery failed", "delivery has failed", "delivery incomplete",
	"returned permanent errors", "permanent error", "permanent failure", "failed permanently", "failed with:", "has been delayed",
	// sendmail and its imitators
	"following addresses had", "following address had", "following address(es)", "transcript of session", "recipients was rejected", "did not receive this message", "non-delivered information",
	// Exchange, Domino, Notes, IMail, James, X.400 gateways
	"did not reach the following", "did not reach some or all", "cannot be reached", "could not be reached", "fatal delivery errors", "was not delivered", "wasn't delivered", "were not delivered", "not delivered", "undeliverable", "failure reasons", "unknown user:",
	"invalid final delivery", "error message below", "non-delivery", "message has been blocked", "your message to", "address not found", "following recipient",
	// list managers that return what they refuse
	"duplicated message-id", "loop back warning", "detect mail loop",
	// automatic notices of single providers
	"email you sent was rejected", "message was rejected", "rejected your message", "returned to sender",
	// Japanese
	"配信できません", "送信できません", "送信に失敗", "配送できません", "お届けできません", "届けられません", "配信不能", "届きません", "宛先不明", "エラーのため",
	// Russian, Ukrainian
	"не может быть доставлено", "не может быть отправлено", "не доставлено", "не удалось доставить", "не было доставлено", "не вдалося доставити",
	// German
	"nicht zugestellt", "unzustellbar", "fehler bei der nachrichtenzustellung", "konnte nicht übermittelt", "konnte nicht ausgeliefert", "konnten nicht erreicht", "nicht erreicht.", "nicht ausgeliefert werden",
	// French
	"n'a pas pu être remis", "n'a pas pu être distribué", "n'a pas pu être envoyé", "n'a pas été remis", "n'a pas été transmis", "échec de la remise", "non remis", "impossible de remettre",
	// Spanish, Portuguese, Italian, Romanian
	"no se pudo entregar", "no se ha podido entregar", "no ha podido ser entregado", "no se puede entregar", "no se entregó", "error en la entrega",
	"não pôde ser entregue", "não foi possível entregar", "falha na entrega", "não foi entregue",
	"non recapitabile", "non è stato recapitato", "recapito non riuscito", "impossibile recapitare", "impossibile consegnare", "nu a putut fi livrat",
	// Dutch, Polish, Czech, Hungarian, Scandinavian, Finnish, Turkish
	"niet bezorgd", "kan niet worden bezorgd", "niet worden afgeleverd", "nie została dostarczona", "nie można dostarczyć", "nie dostarczono", "nie mogła zostać dostarczona",
	"nelze doručit", "nebyla doručena", "nem kézbesíthető", "kunde inte levereras", "kunne ikke leveres", "ei voitu toimittaa", "teslim edilemedi",
	// Chinese, Korean
	"无法投递", "投递失败", "无法送达", "退信", "被退回", "無法傳遞", "無法投遞", "전송 실패", "배달되지", "전달할 수 없",
}

// Phrases that mean the system goes on trying, unless it says that it gave up.
var (
	delayPhrases = []string{"not yet been delivered", "will be retried", "warning message only", "delivery attempts will continue", "has been delayed", "is delayed", "still being retried",
		"will keep trying", "will continue trying", "continue to try", "do not need to resend", "delay reason:", "temporary failure:", "hasn't been delivered yet", "noch nicht zugestellt", "verzögert", "a été retardé", "se ha retrasado", "配信が遅"}
	gaveUpPhrases = []string{"this is a permanent", "permanent failure", "permanent fatal", "failed permanently", "i've given up", "not going to try again", "has given up", "giving up", "no further delivery attempts"}
)

// Phrases that tell of success.
var successPhrases = []struct{ action, phrase string }{
	{"delivered", "successfully delivered"}, {"delivered", "was delivered to the following"}, {"delivered", "has been delivered to the following"},
	{"relayed", "relayed to the following"}, {"relayed", "was relayed"}, {"relayed", "no delivery notification will be sent"}, {"relayed", "no delivery notification was sent by the destination"},
	{"expanded", "expanded by"},
}

// Subjects under which mail systems return mail.
var (
	returnSubjects = []string{"undeliver", "delivery status notification", "delivery failure", "delivery failed", "failure notice", "returned mail", "returned to sender", "returning message",
		"mail failure", "mail delivery failed", "mail delivery failure", "delivery has failed", "could not be delivered", "delivery report", "delivery notification", "failure delivery", "failed delivery",
		"failed mail", "message delivery failure", "mail system error", "non-delivery", "nondeliverable", "error sending your mail", "bounce notification", "loop alert:", "loop back warning", "errors from",
		"message status - undeliverable", "unable to deliver", "not delivered",
		"non remis", "unzustellbar", "nicht zugestellt", "no se puede entregar", "no se pudo entregar", "non recapitabile", "niet bezorgd", "nie dostarczono", "não entregue", "nedoručiteln",
		"не доставлено", "недоставленное", "配信不能", "送信できません", "退信", "无法投递"}
	delaySubjects = []string{"delayed", "warning: could not send message", "delivery delay", "verzögert", "still being retried", "notification (delay)"}
)

func subjectOfMTA(subject string) string {
	low := strings.ToLower(subject)
	switch {
	case containsAny(low, delaySubjects):
		return "delayed"
	case containsAny(low, returnSubjects):
		return "bounce"
	}
	return ""
}

// Names under which mail systems write. A weak name is also that of programs
// that write about many other things.
var (
	systemNames  = []string{"mail delivery", "mail deliver ", "mailer daemon", "mailer-daemon", "maildelivery", "delivery subsystem", "system administrator", "ndr administrator", "postmaster"}
	systemLocals = []string{"mailer-daemon", "mailer_daemon", "mailerdaemon", "mail-daemon", "maildaemon", "mdaemon", "postmaster", "post_master", "poostmaster", "microsoftexchange", "mail.delivery", "double-bounce", "bounce-notification"}
	weakLocals   = []string{"no-reply", "noreply", "no_reply", "donotreply", "do-not-reply", "sysadmin", "admin", "mailadmin", "smtp"}
)

// dividers open the returned mail inside a text, after decoration is taken off.
var dividers = []string{
	"this is a copy of", "below this line is", "enclosed is a copy", "included is a copy", "below is a copy", "a copy of the original", "a copy of your message", "copy of the original message",
	"unsent message follows", "returned message", "message headers follow", "message header follows", "the header of the original", "header of the original", "headers of the original", "the headers of",
	"the original message follows", "undelivered message follows", "undelivered message headers", "message body follows", "bounced e-mail", "bounced email", "bounced message", "text of the message follows",
	"returned mail follows", "the body of the message", "beginning of original", "start of returned message", "start of original", "begin original", "forwarded message", "original mail info", "original mail as follows",
	"message truncated", "the message header", "message headers:", "header of your message", "----- message header",
}

// originalEnds are what may follow "original message" in a divider; "The
// original message was received at" opens a report instead.
var originalEnds = []string{"", ":", "follows", "follows.", "follows:", "headers", "headers:", "header", "header:", "as follows", "as follows:", "is attached", "attached", "details", "details:", "text", "text:", "body", "body:"}

// keyedLines name a recipient after a key at the start of a line.
var keyedLines = []string{
	"recipient:", "recipient address:", "final recipient:", "original recipient:", "intended recipient:", "failed recipient:", "failed recipients:", "failed address:", "rcpt to:", "target mail address:", "email address:", "e-mail address:",
	"unknown user:", "user unknown:", "no such user:", "invalid final delivery userid:", "unknown local user:", "mailbox full:", "user mailbox exceeds allowed size:", "undeliverable to", "undeliverable to:", "not delivered to", "delivery to", "duplicated message-id in",
	"the following recipients returned permanent errors:", "the following recipients returned temporary errors:", "konnte nicht zugestellt werden an", "destinataire:", "destinatario:", "empfänger:", "получатель:", "宛先:", "宛先：", "受信者:", "收件人:", "收件人：",
}

func containsAny(s string, list []string) bool {
	for _, w := range list {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

func hasAnyPrefix(s string, list []string) bool {
	for _, w := range list {
		if strings.HasPrefix(s, w) {
			return true
		}
	}
	return false
}
