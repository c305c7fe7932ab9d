package courier

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// writeSize is the most that is written under one deadline.
const writeSize = 32 << 10

// wire is a connection that cannot hang: a reply has a deadline for all of its
// bytes, so that a peer sending one byte a minute gains nothing; every write
// has its own, so that a large mail over a thin line gets through.
type wire struct {
	now   func() time.Time
	write time.Duration

	mu      sync.Mutex // conn's deadlines and stopped
	conn    net.Conn
	stopped bool
	cause   error // why, if it was a context

	r *bufio.Reader
	w *bufio.Writer
}

func newWire(conn net.Conn, now func() time.Time, write time.Duration) *wire {
	w := &wire{now: now, write: write}
	w.reset(conn)
	return w
}

// reset starts over on conn. Whatever was buffered of the old one is gone:
// after STARTTLS that is what defeats injected replies (CVE-2021-38371).
func (w *wire) reset(conn net.Conn) {
	w.mu.Lock()
	w.conn = conn
	w.mu.Unlock()
	w.r = bufio.NewReaderSize(conn, maxReplyLine)
	w.w = bufio.NewWriterSize(armedWriter{w}, writeSize)
}

// watch stops the wire when ctx ends. The returned function ends the watch and
// reports whether the wire is still good.
func (w *wire) watch(ctx context.Context) (release func() bool) {
	return context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.stopped, w.cause = true, context.Cause(ctx)
		w.conn.SetDeadline(time.Unix(1, 0))
	})
}

// story tells a timeout that we caused from one of the peer's.
func (w *wire) story(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil || w.cause == nil {
		return err
	}
	return fmt.Errorf("%w: %w", w.cause, err)
}

// arm sets a deadline, unless the wire has been stopped for good.
func (w *wire) arm(set func(net.Conn, time.Time) error, d time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return errStopped
	}
	return set(w.conn, w.now().Add(d))
}

type armedWriter struct{ w *wire }

func (a armedWriter) Write(p []byte) (int, error) {
	for n := 0; ; {
		if err := a.w.arm(net.Conn.SetWriteDeadline, a.w.write); err != nil {
			return n, err
		}
		m, err := a.w.conn.Write(p[n:min(len(p), n+writeSize)])
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

// read returns the next reply.
func (w *wire) read(timeout time.Duration) (*reply, error) {
	if err := w.arm(net.Conn.SetReadDeadline, timeout); err != nil {
		return nil, err
	}
	return readReply(w.r)
}

// put writes a command line without sending it yet.
func (w *wire) put(format string, args ...any) error {
	line := fmt.Sprintf(format, args...)
	if strings.ContainsAny(line, "\r\n\x00") {
		return errors.New("a command may not contain a line end")
	}
	if _, err := w.w.WriteString(line); err != nil {
		return err
	}
	_, err := w.w.WriteString("\r\n")
	return err
}

// ask sends a command and reads its reply.
func (w *wire) ask(timeout time.Duration, format string, args ...any) (*reply, error) {
	if err := w.put(format, args...); err != nil {
		return nil, err
	}
	if err := w.w.Flush(); err != nil {
		return nil, err
	}
	return w.read(timeout)
}

func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.conn.Close()
}
