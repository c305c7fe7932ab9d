package delivery

import (
	"slices"
	"strings"

	"ticketgate/ticketing/store"
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

// heading is a destination domain and the way that mail takes there: a route by
// its name, or "" for the way of all mail of which nobody says otherwise. Mail
// with one heading goes to the same servers, and stands in the same lanes.
type heading struct{ domain, way string }

// laneOf names the due list of a heading's mails of one band: those never
// tried, or those tried before.
func laneOf(h heading, b band, tried bool) string {
	lane := lanePrefix + h.domain
	if h.way != "" {
		lane += "/" + h.way
	}
	lane += "/" + b.String()
	if tried {
		lane += again
	}
	return lane
}

// readLane is the reverse of laneOf. No domain has a slash.
func readLane(lane string) (h heading, b band, tried, ok bool) {
	rest, ok := strings.CutPrefix(lane, lanePrefix)
	rest, tried = strings.CutSuffix(rest, again)
	i := strings.LastIndexByte(rest, '/')
	if !ok || i < 0 {
		return heading{}, 0, false, false
	}
	for b := range bands {
		if rest[i+1:] == b.String() {
			h.domain, h.way, _ = strings.Cut(rest[:i], "/")
			return h, b, tried, true
		}
	}
	return heading{}, 0, false, false
}

// lanesOf returns the lanes of a domain, whatever the way, in the order of their
// names: those of the usual way and all others that there are.
func (q *Queue) lanesOf(r store.Reader, domain string) ([]string, error) {
	var out []string
	for b := range bands {
		out = append(out, laneOf(heading{domain: domain}, b, false), laneOf(heading{domain: domain}, b, true))
	}
	for after := store.Key(nil); ; {
		page, next, err := q.o.Agenda.Lanes(r, lanePrefix+domain+"/", after, 200)
		if err != nil {
			return nil, err
		}
		for i := range page {
			out = append(out, page[i].Name)
		}
		if after = next; after == nil {
			slices.Sort(out)
			return slices.Compact(out), nil
		}
	}
}

// domain is the destination of a parcel.
func (p *row) domain() string {
	h, _, _, _ := readLane(p.Lane)
	return h.domain
}

// lane is where the parcel's job belongs while it waits.
func (p *row) lane() string {
	return laneOf(heading{p.domain(), p.Way}, bandOf(p.Class), p.Attempts > 0)
}
