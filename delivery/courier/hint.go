package courier

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// hints reads from a refusal for now when to come back. Peers say it in words
// only, so what is read is a wish that the queue may bound.
func hints(r *reply) (after time.Duration, greylisted bool) {
	if r.class() != 4 {
		return 0, false
	}
	text := strings.ToLower(r.text)
	for _, w := range []string{"greylist", "graylist", "grey list", "gray list", "grey-list", "gray-list", "postgrey"} {
		greylisted = greylisted || strings.Contains(text, w)
	}
	return comeBack(text), greylisted
}

// spans are the ways in which servers name a waiting time. The word before the
// number keeps "42 messages in 10 minutes" from being taken for one.
var spans = regexp.MustCompile(`(?:again|retry|come back|wait|deferred|delayed|blocked|expires?|listed|resume|remaining|left)\b[^0-9]{0,40}?\b(?:(\d{1,3}):(\d\d):(\d\d)\b|(\d{1,6})\s*(s|sec|secs|seconds?|m|min|mins|minutes?|h|hrs?|hours?)\b)`)

// comeBack returns the waiting time named in a lower-case text, 0 if there is none.
func comeBack(text string) time.Duration {
	m := spans.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	if m[1] != "" {
		return number(m[1], time.Hour) + number(m[2], time.Minute) + number(m[3], time.Second)
	}
	switch m[5][0] {
	case 'h':
		return number(m[4], time.Hour)
	case 'm':
		return number(m[4], time.Minute)
	}
	return number(m[4], time.Second)
}

func number(digits string, unit time.Duration) time.Duration {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > math.MaxInt64/int64(unit) {
		return 0
	}
	return time.Duration(n) * unit
}
