package main

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/config"
	"ticketgate/resolver"
)

// world is everything outside the program that its packages may touch. They
// get it as arguments; tests and the demo put another one in its place.
type world struct {
	now      func() time.Time
	random   io.Reader
	resolver *resolver.Resolver
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	dialFrom func(ctx context.Context, from netip.Addr, network, address string) (net.Conn, error)
	listen   func(ctx context.Context, network, address string) (net.Listener, error)
	fs       vfs.FS
	metrics  *prometheus.Registry
	log      *slog.Logger

	// loopbackMX lets mail exchangers be on this machine, as they are in the
	// demo. In production such an MX record is a trap.
	loopbackMX bool
}

// realWorld is the one outside.
func realWorld(cfg *config.Config, stderr *os.File) (*world, error) {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	w := &world{
		now:    time.Now,
		random: rand.Reader,
		dial:   dialer.DialContext,
		dialFrom: func(ctx context.Context, from netip.Addr, network, address string) (net.Conn, error) {
			d := *dialer
			d.LocalAddr = &net.TCPAddr{IP: from.AsSlice()}
			return d.DialContext(ctx, network, address)
		},
		listen:  listenTCP,
		fs:      vfs.Default,
		metrics: prometheus.NewRegistry(),
		log:     newLogger(cfg, stderr),
	}
	return w, w.askAt(string(cfg.Resolver))
}

// askAt makes the world's resolver ask the DNS server at address, or the
// system's when empty.
func (w *world) askAt(address string) (err error) {
	w.resolver, err = resolver.New(resolver.Options{Server: address, Dial: w.dial, Now: w.now, Registerer: w.metrics})
	return err
}

// freshResolver asks like the world's own and remembers next to nothing: it is
// for people who have just changed a record and want to see it.
func (w *world) freshResolver(address string) (*resolver.Resolver, error) {
	const blink = time.Millisecond
	return resolver.New(resolver.Options{Server: address, Dial: w.dial, Now: w.now, MaxTTL: blink, MaxNegative: blink, FailureTTL: blink})
}

func newLogger(cfg *config.Config, stderr *os.File) *slog.Logger {
	var level slog.Level
	if level.UnmarshalText([]byte(cfg.Log.Level)) != nil {
		level = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: level}
	text := cfg.Log.Format == "text"
	if cfg.Log.Format == "auto" {
		info, err := stderr.Stat()
		text = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if text {
		return slog.New(slog.NewTextHandler(stderr, opts))
	}
	return slog.New(slog.NewJSONHandler(stderr, opts))
}
