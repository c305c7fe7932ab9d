package pebble_test

import (
	"testing"
	"time"

	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

func TestExam(t *testing.T) {
	storetest.Exam(t, func(t *testing.T, now func() time.Time) store.DB { return storetest.OpenAt(t, now) })
}
