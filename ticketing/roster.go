package ticketing

import "slices"

// Queues lists the configured queues in their order. What it returns is shared:
// do not change it.
func (d *Desk) Queues() []*Queue {
	out := make([]*Queue, len(d.order))
	for i, q := range d.order {
		out[i] = &q.Queue
	}
	return out
}

// Agents lists the configured agents by name. What it returns is shared: do not
// change it.
func (d *Desk) Agents() []*Agent {
	out := make([]*Agent, 0, len(d.agents))
	for _, a := range d.agents {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *Agent) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

// Serves lists the names of the queues an agent serves, in their order.
func (d *Desk) Serves(agent string) []string {
	var out []string
	for _, q := range d.order {
		if q.serves[agent] {
			out = append(out, q.Name)
		}
	}
	return out
}
