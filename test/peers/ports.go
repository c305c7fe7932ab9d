package peers

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// FreeAddr returns a loopback address nobody listens on, and which no other
// test gets, of this process or another, until this one ends. The system would
// give one of the ports from which connections go out, and might have given it
// to one of those before somebody listens there; below them nobody takes any.
func FreeAddr(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(os.TempDir(), promises())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var last error
	for range 1000 {
		port := strconv.Itoa(10000 + rand.IntN(22000))
		promise, err := lock(filepath.Join(dir, port))
		if err != nil {
			last = err
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			promise.Close()
			last = err
			continue
		}
		t.Cleanup(func() { promise.Close() })
		defer l.Close()
		return l.Addr().String()
	}
	t.Fatalf("no free port: %v", last)
	return ""
}

// promises is the folder, among the temporary ones, with a file for each port
// that was ever promised to a test of this user.
func promises() string { return fmt.Sprintf("ticketgate-ports-%d", os.Getuid()) }

// lock takes a file for as long as it is open; the system gives it back when
// the process ends, however it ends. The file stays: removing it would let two
// hold the same name.
func lock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("port %s is promised: %w", filepath.Base(name), err)
	}
	return f, nil
}
