package delivery

import (
	"slices"
	"strings"
)

// band groups the classes of mail that are served alike.
type band uint8

const (
	bandReply  band = iota // people wait for it
	bandNotice             // our own words about what happened
	bandBulk
	bands
)

// weights are the shares of the bands while all of them have work.
func (b band) weight() int { return [bands]int{8, 3, 1}[b] }

func (b band) String() string { return [bands]string{"reply", "notice", "bulk"}[b] }

func classes() []string {
	return []string{"reply", "notification", "autoack", "bulk", "dsn", "relay"}
}

func bandOf(class string) band {
	switch class {
	case "reply", "relay":
		return bandReply
	case "bulk":
		return bandBulk
	}
	return bandNotice
}

const (
	lanePrefix = "mail/"
	again      = "/again"
)

// laneOf names the due list of a destination's mails of one band: those never
// tried, or those tried before.
func laneOf(domain string, b band, tried bool) string {
	lane := lanePrefix + domain + "/" + b.String()
	if tried {
		lane += again
	}
	return lane
}

// lanesOf returns every lane of a destination, in the order of their names.
func lanesOf(domain string) []string {
	var out []string
	for b := range bands {
		out = append(out, laneOf(domain, b, false), laneOf(domain, b, true))
	}
	slices.Sort(out)
	return out
}

// readLane is the reverse of laneOf.
func readLane(lane string) (domain string, b band, tried, ok bool) {
	rest, ok := strings.CutPrefix(lane, lanePrefix)
	rest, tried = strings.CutSuffix(rest, again)
	i := strings.LastIndexByte(rest, '/')
	if !ok || i < 0 {
		return "", 0, false, false
	}
	for b := range bands {
		if rest[i+1:] == b.String() {
			return rest[:i], b, tried, true
		}
	}
	return "", 0, false, false
}

// domain is the destination of a parcel.
func (p *row) domain() string {
	domain, _, _, _ := readLane(p.Lane)
	return domain
}

// lane is where the parcel's job belongs while it waits.
func (p *row) lane() string { return laneOf(p.domain(), bandOf(p.Class), p.Attempts > 0) }
