// Package leaks fails the tests of a package that leave goroutines behind.
package leaks

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// rounds of looking, of half a second each: on a busy machine what ends takes
// its time.
const rounds = 120

// Main is a package's TestMain: it runs the tests, and then waits up to a minute
// for every goroutine to end.
func Main(m *testing.M, options ...goleak.Option) {
	code := m.Run()
	if code == 0 {
		err := goleak.Find(options...)
		for n := 1; err != nil && n < rounds; n++ {
			err = goleak.Find(options...)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "the tests leave goroutines behind:", err)
			code = 1
		}
	}
	os.Exit(code)
}
