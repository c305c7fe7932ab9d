// Command ticketgate is the mail gateway: the daemon, its demo and the
// commands that talk to a running daemon over its local socket.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

// Exit codes, as documented in docs/cli.md.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitConflict    = 4
	exitDenied      = 5
	exitUnreachable = 6
	exitPartial     = 7
	exitBadMessage  = 65
	exitTemporary   = 75
	exitConfig      = 78
)

// exitError carries the exit code of a failure whose words are already right.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func exitWith(code int, format string, args ...any) error {
	return &exitError{code, fmt.Errorf(format, args...)}
}

// gcPercent lets the heap grow to three times what is alive before it is swept:
// much mail makes much garbage and keeps little alive.
const gcPercent = 200

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	args := os.Args[1:]
	if filepath.Base(os.Args[0]) == "mailq" { // as a link in the path, for people who know other servers
		args = append([]string{"mailq"}, args...)
	}
	code := run(ctx, args, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program as a function; tests call it too.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var coded *exitError
	if errors.As(err, &coded) {
		if msg := coded.Error(); msg != "" {
			fmt.Fprintln(stderr, "ticketgate:", msg)
		}
		return coded.code
	}
	fmt.Fprintln(stderr, "ticketgate:", err)
	return exitUsage // what cobra itself refuses is how it was called
}

// options are the flags every command knows.
type options struct {
	config string
	output string
}

func rootCommand() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:           "ticketgate",
		Short:         "A mail gateway: mail becomes tickets, replies find theirs",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().StringVarP(&o.config, "config", "c", "", "configuration file (default $TICKETGATE_CONFIG, ./ticketgate.toml, /etc/ticketgate/ticketgate.toml)")
	root.PersistentFlags().StringVarP(&o.output, "output", "o", "table", "table or json")
	root.AddCommand(
		serveCommand(o),
		demoCommand(),
		configCommand(o),
		ticketCommand(o),
		heldCommand(o),
		policyCommand(o),
		traceCommand(o),
		outboundCommand(o, "outbound"),
		outboundList(o, "mailq"),
		suppressionCommand(o),
		optoutCommand(o),
		notifyCommand(o),
		dkimCommand(o),
		tokenCommand(o),
		agentCommand(o),
		queueCommand(o), contactCommand(o), organizationCommand(o), secretCommand(o),
		dnsCommand(o),
		doctorCommand(o),
		sendTestCommand(o),
		intakeCommand(o),
		reconcileCommand(o),
		healthCommand(o),
		versionCommand(o),
	)
	return root
}

func versionCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
			}{version, runtime.Version()}
			if o.output == "json" {
				return printJSON(cmd.OutOrStdout(), info)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "ticketgate %s (%s)\n", info.Version, info.Go)
			return nil
		},
	}
}

// configPath finds the configuration file.
func (o *options) configPath() (string, error) {
	if o.config != "" {
		return o.config, nil
	}
	if p := os.Getenv("TICKETGATE_CONFIG"); p != "" {
		return p, nil
	}
	for _, p := range []string{"ticketgate.toml", "/etc/ticketgate/ticketgate.toml"} {
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return "", exitWith(exitConfig, "no configuration found: give --config, set TICKETGATE_CONFIG, or create ./ticketgate.toml (see: ticketgate config example)")
}
