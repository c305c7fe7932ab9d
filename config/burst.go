package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Burst is how many events may happen in a span, written as in "20/10m". The
// zero Burst is no limit, written "off".
type Burst struct {
	N   int
	Per Duration
}

// UnmarshalText reads a number, a slash and a duration, or "off".
func (b *Burst) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*b = Burst{}
		return nil
	}
	number, span, _ := strings.Cut(string(text), "/")
	n, err := strconv.ParseUint(number, 10, 31)
	var per Duration
	if err == nil {
		err = per.UnmarshalText([]byte(span))
	}
	if err != nil || n == 0 || per < second {
		return fmt.Errorf(`%q is not a limit; write a number above 0, a slash and a duration of a second or more, as in "20/10m", or "off"`, text)
	}
	*b = Burst{N: int(n), Per: per}
	return nil
}

// String writes the limit so that UnmarshalText reads it back.
func (b Burst) String() string {
	if b.N == 0 {
		return "off"
	}
	return fmt.Sprintf("%d/%s", b.N, b.Per)
}
