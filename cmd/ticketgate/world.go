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
)

// world is everything outside the program that its packages may touch. They
// get it as arguments; tests and the demo put another one in its place.
type world struct {
	now      func() time.Time
	random   io.Reader
	resolver resolver
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	listen   func(ctx context.Context, network, address string) (net.Listener, error)
	fs       vfs.FS
	metrics  *prometheus.Registry
	log      *slog.Logger

	// loopbackMX lets mail exchangers be on this machine, as they are in the
	// demo. In production such an MX record is a trap.
	loopbackMX bool
}

// resolver is the part of *net.Resolver that delivery needs.
type resolver interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// realWorld is the one outside.
func realWorld(cfg *config.Config, stderr *os.File) *world {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	return &world{
		now:      time.Now,
		random:   rand.Reader,
		resolver: resolverAt(string(cfg.Resolver)),
		dial:     dialer.DialContext,
		listen:   listenTCP,
		fs:       vfs.Default,
		metrics:  prometheus.NewRegistry(),
		log:      newLogger(cfg, stderr),
	}
}

// resolverAt asks the DNS server at address, or the system's when empty.
func resolverAt(address string) *net.Resolver {
	if address == "" {
		return net.DefaultResolver
	}
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			d := net.Dialer{Timeout: 5 * time.Second}
			return d.DialContext(ctx, network, address)
		},
	}
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
