package notify

import (
	"fmt"
	"testing"

	"ticketgate/ticketing"
)

// BenchmarkTell is a new ticket with an acknowledgement and two mails to staff,
// on a store in memory.
func BenchmarkTell(b *testing.B) {
	w := newWorld(b)
	w.acks = AckLimits{Domain: 1 << 30, Total: 1 << 30}
	w.start()
	for i := range b.N {
		k := w.ticket()
		k.CCs, k.Requester.Address = nil, fmt.Sprintf("a%d@customer.example", i)
		m := w.add(k, ticketing.Message{Author: ticketing.Author{Address: k.Requester.Address}, Envelope: ticketing.Envelope{From: "x@y"}}, annasMail)
		w.put("ticket_created", k, m)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for {
		worked, _, err := w.n.Step(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if worked == 0 {
			break
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "notices/s")
}
