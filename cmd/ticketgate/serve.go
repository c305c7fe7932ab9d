package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"ticketgate/config"
	"ticketgate/delivery"
	"ticketgate/delivery/courier"
	"ticketgate/delivery/dkim"
	"ticketgate/gateway/api"
	"ticketgate/gateway/certs"
	"ticketgate/gateway/intake"
	"ticketgate/gateway/login"
	"ticketgate/gateway/smtpd"
	"ticketgate/resolver"
	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/journal"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/notify"
	"ticketgate/ticketing/store/pebble"
)

// stopTime bounds an orderly end: mail in flight is finished, then the store
// is closed.
const stopTime = 40 * time.Second

func serveCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.load(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			w, err := realWorld(cfg, os.Stderr)
			if err != nil {
				return exitWith(exitFailed, "could not start: %v", err)
			}
			p, err := start(cmd.Context(), cfg, w)
			if errors.Is(err, config.ErrSecret) {
				return exitWith(exitConfig, "could not start: %v", err)
			}
			if err != nil {
				return exitWith(exitFailed, "could not start: %v", err)
			}
			var fatal error
			select {
			case <-cmd.Context().Done():
			case fatal = <-p.fatal:
				p.world.log.Error("stopping: the store cannot write", "err", fatal)
			}
			ctx, cancel := context.WithTimeout(context.Background(), stopTime)
			defer cancel()
			err = p.stop(ctx)
			if fatal != nil {
				return exitWith(exitTemporary, "the store failed: %v", fatal)
			}
			if err != nil {
				return exitWith(exitFailed, "stopped, not cleanly: %v", err)
			}
			return nil
		},
	}
}

// program is a running daemon as a value: it can be started more than once in
// one process, each time in another world.
type program struct {
	cfg       *config.Config
	world     *world
	db        *pebble.DB
	desk      *ticketing.Desk
	dkim      *dkim.Keys
	fresh     *resolver.Resolver // for checks of what is published right now
	outbound  *delivery.Queue
	unwanted  *delivery.Suppressions
	witness   *witness
	dnsOK     *dnsGauge
	intake    *intake.Intake
	smtp      *smtpd.Server
	tokens    *login.Tokens
	passwords *login.AppPasswords
	certs     *certs.Certs
	api       *api.API
	blobs     *blob.Store
	due       *agenda.Agenda
	panics    prometheus.Counter

	addrs    map[string]string // listener → address
	open     atomic.Bool       // every listener is up
	stopping atomic.Bool
	fatal    chan error
	cleanups []cleanup // run in reverse
}

type cleanup struct {
	name string
	run  func(context.Context) error
}

func (p *program) onStop(name string, run func(context.Context) error) {
	p.cleanups = append(p.cleanups, cleanup{name, run})
}

// addr returns the address a listener got.
func (p *program) addr(name string) string { return p.addrs[name] }

// start builds everything from the store outwards and opens the doors last.
// On error whatever was started is stopped again.
func start(ctx context.Context, cfg *config.Config, w *world) (_ *program, err error) {
	p := &program{cfg: cfg, world: w, addrs: map[string]string{}, fatal: make(chan error, 1)}
	defer func() {
		if err != nil {
			stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
			defer cancel()
			p.stop(stopCtx)
		}
	}()
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"store", p.openStore},
		{"tickets", p.openDesk},
		{"outbound queue", p.openOutbound},
		{"doors", p.openDoors},
	} {
		if err := step.run(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	p.open.Store(true)
	w.log.Info("ready", "version", version, "listeners", p.addrs)
	return p, nil
}

// stop ends the program in the reverse order of its start. It may be called
// once.
func (p *program) stop(ctx context.Context) error {
	p.stopping.Store(true)
	var errs []error
	for _, c := range slices.Backward(p.cleanups) {
		if err := c.run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
		}
	}
	p.cleanups = nil
	return errors.Join(errs...)
}

func (p *program) openStore(context.Context) error {
	dir := string(p.cfg.Store.Dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := p.registerBuildInfo(); err != nil {
		return err
	}
	db, err := pebble.Open(dir, pebble.Options{
		FS:         p.world.fs,
		Now:        p.world.now,
		Log:        p.world.log,
		Registerer: p.world.metrics,
		MinFree:    uint64(p.cfg.Store.MinFree),

		MinFreePercent: p.cfg.Store.MinFreePercent,
		Ballast:        ballast,
		OnFatal: func(err error) {
			select {
			case p.fatal <- err:
			default:
			}
		},
	})
	if err != nil {
		return err
	}
	p.db = db
	p.onStop("store", func(context.Context) error { return db.Close() })
	return nil
}

// ballast is given up when the disk is full, so that what is being written can
// be finished.
const ballast = 16 << 20

func (p *program) registerBuildInfo() error {
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "ticketgate_build_info",
		Help: "Version of the running program; the value is 1.",
	}, []string{"version", "goversion"})
	info.WithLabelValues(version, goVersion()).Set(1)
	p.panics = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "ticketgate_panics_total",
		Help: "Panics that were recovered; each is a defect of ours.",
	})
	for _, c := range []prometheus.Collector{info, p.panics, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := p.world.metrics.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) openDesk(ctx context.Context) (err error) {
	p.blobs = blob.New(p.db, p.world.random)
	p.unwanted = delivery.NewSuppressions(p.db)
	if err := p.world.metrics.Register(p.unwanted.Collector()); err != nil {
		return err
	}
	p.tokens = login.New(login.Options{DB: p.db, Random: p.world.random})
	p.passwords = login.NewAppPasswords(login.Options{DB: p.db, Random: p.world.random})
	p.desk, err = ticketing.Open(ctx, ticketing.Options{
		DB:         p.db,
		Blobs:      p.blobs,
		Journal:    journal.New(p.db),
		Agenda:     p.agenda(),
		Queues:     queuesOf(p.cfg),
		Agents:     agentsOf(p.cfg),
		Admin:      string(p.cfg.Admin),
		Outbox:     lateOutbox{p},
		Recaller:   lateOutbox{p},
		Random:     p.world.random,
		Acked:      notify.NewAcks().Had,
		Log:        p.world.log,
		Registerer: p.world.metrics,
		Limits:     message.DefaultLimits(),
		Heard:      p.unwanted.Works,
		Bounced:    p.unwanted.Failed,
		SenderFlood: ticketing.FloodLimit{
			Count: p.cfg.Limits.SenderFlood.N, Per: p.cfg.Limits.SenderFlood.Per.Std(),
		},
	})
	if err != nil {
		return err
	}
	p.background("sweep", p.sweep)
	p.background("held mail", p.desk.RunHeld)
	p.background("timers", p.desk.RunTimers)
	return nil
}

// sweep removes the bytes of mails that were never accepted.
func (p *program) sweep(ctx context.Context) error {
	ticker := time.NewTicker(time.Hour)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if n, err := p.blobs.Sweep(ctx); err != nil && ctx.Err() == nil {
				p.world.log.Error("sweeping orphaned mail bytes", "err", err)
			} else if n > 0 {
				p.world.log.Info("swept orphaned mail bytes", "blobs", n)
			}
		}
	}
}

func (p *program) openOutbound(ctx context.Context) error {
	fresh, err := p.world.freshResolver(string(p.cfg.Resolver))
	if err != nil {
		return err
	}
	p.fresh = fresh
	p.dkim = dkim.New(dkim.Options{
		DB: p.db, Random: p.world.random, Now: p.world.now, LookupTXT: fresh.LookupTXT,
		Used: func(ctx context.Context, domain, selector string) (int, error) {
			return p.outbound.SignedWith(ctx, domain, selector)
		},
	})
	for domain := range p.cfg.Domains {
		if err := p.dkim.Ensure(ctx, domain); err != nil {
			return err
		}
	}
	carrier, err := p.newCarrier()
	if err != nil {
		return err
	}
	p.onStop("outbound connections", carrier.Close)
	p.witness = newWitness(notify.NewUnsent(p.desk))
	if p.dnsOK, err = newDNSGauge(p.world.metrics); err != nil {
		return err
	}
	p.outbound, err = delivery.New(delivery.Options{
		DB:             p.db,
		Blobs:          p.blobs,
		Agenda:         p.agenda(),
		Ledger:         p.witness,
		Signer:         p.dkim,
		Carrier:        carrier,
		Now:            p.world.now,
		Random:         p.world.random,
		Log:            p.world.log,
		Registerer:     p.world.metrics,
		Retry:          durations(p.cfg.Outbound.Retry),
		Expire:         p.cfg.Outbound.Expire.Std(),
		PerDestination: p.cfg.Outbound.PerDestination,
		ExpireNotice:   p.cfg.Outbound.ExpireNotification.Std(),
		ExpireBulk:     p.cfg.Outbound.ExpireBulk.Std(),
		SoftLimit:      p.cfg.Outbound.SoftLimit,
		HardLimit:      p.cfg.Outbound.HardLimit,
		Rates:          ratesOf(p.cfg),
		Suppressions:   p.unwanted,
	})
	if err != nil {
		return err
	}
	p.background("held outbound mail", p.outbound.Tend)
	p.background("DNS checks", p.watchDNS)
	p.background("outbound queue", p.outbound.Run)
	notifier := notify.New(notify.Options{
		DB:     p.db,
		Blobs:  p.blobs,
		Agenda: p.agenda(),
		Desk:   p.desk,
		Outbox: p.outbound,

		UnsubscribeURL: p.publicURL() + api.UnsubscribePath,
		TicketURL:      p.publicURL() + api.TicketPath,
		Random:         p.world.random,
		Log:            p.world.log,
		Registerer:     p.world.metrics,
		Limits:         message.DefaultLimits(),
	})
	p.background("notifications", notifier.Run)
	return nil
}

// agenda returns a handle on the one agenda of the store.
func (p *program) agenda() *agenda.Agenda {
	if p.due == nil {
		p.due = agenda.New(p.db)
	}
	return p.due
}

// background runs work until the program stops, and then waits for its end. An
// error of the work is the store's and ends the program.
func (p *program) background(name string, work func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := work(ctx); err != nil && ctx.Err() == nil {
			select {
			case p.fatal <- fmt.Errorf("%s: %w", name, err):
			default:
			}
		}
	}()
	p.onStop(name, func(stopCtx context.Context) error {
		cancel()
		select {
		case <-done:
			return nil
		case <-stopCtx.Done():
			return stopCtx.Err()
		}
	})
}

// ratesOf gives the budgets their scopes.
func ratesOf(cfg *config.Config) map[string]delivery.Rate {
	o := &cfg.Outbound
	rates := map[string]delivery.Rate{
		delivery.ScopeGlobal:      rateOf(o.Rate),
		delivery.ScopeEgress:      rateOf(o.EgressRate),
		delivery.ScopeDomain:      rateOf(o.PerDestinationRate),
		delivery.ScopeProvider:    rateOf(o.ProviderRate),
		delivery.ScopeAccount:     rateOf(o.SmarthostRate),
		delivery.ScopeQueue:       rateOf(o.QueueRate),
		delivery.ScopeSender:      rateOf(o.SenderRate),
		delivery.ScopeConnections: rateOf(o.ConnectionRate),
	}
	for name, r := range cfg.Routes {
		switch {
		case r.Rate.Unlimited():
		case r.Host != "":
			rates[delivery.ScopeAccount+"/"+name] = rateOf(r.Rate)
		default:
			rates[delivery.ScopeEgress+"/"+courier.Egress(sourceOf(r))] = rateOf(r.Rate)
		}
	}
	return rates
}

func rateOf(r config.Rate) delivery.Rate {
	if r.Unlimited() {
		return delivery.Rate{}
	}
	return delivery.Rate{Count: r.N, Per: r.Per.Std()}
}

func durations(list []config.Duration) []time.Duration {
	out := make([]time.Duration, len(list))
	for i, d := range list {
		out[i] = d.Std()
	}
	return out
}

func listenTCP(ctx context.Context, network, address string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, network, address)
}
