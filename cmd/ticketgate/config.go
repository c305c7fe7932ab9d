package main

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"ticketgate/config"
)

// load reads the configuration the flags name. What is wrong with it goes to
// w; the error then only says so and carries the exit code 78. With io.Discard
// the error says it all, and files that the configuration names are not looked
// at.
func (o *options) load(w io.Writer) (*config.Config, error) {
	path, err := o.configPath()
	if err != nil {
		return nil, err
	}
	read := config.Load
	if w == io.Discard { // the daemon has read the files
		read = config.Read
	}
	cfg, problems := read(path)
	if cfg == nil {
		if w == io.Discard {
			return nil, &exitError{exitConfig, problems.Errors()}
		}
		problems.Print(w)
		return nil, exitWith(exitConfig, "%s is not usable. Nothing was started.", path)
	}
	if len(problems) > 0 {
		problems.Print(w)
	}
	return cfg, nil
}

// socketPath is where the daemon listens for local commands.
func socketPath(cfg *config.Config) string {
	return filepath.Join(string(cfg.Store.Dir), "ctl.sock")
}

func configCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check or print the configuration"}
	cmd.AddCommand(
		&cobra.Command{
			Use:   "check [FILE]",
			Short: "Read the configuration and name every mistake",
			Args:  cobra.MaximumNArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				if len(args) == 1 {
					o.config = args[0]
				}
				cfg, err := o.load(cmd.OutOrStdout())
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "the configuration is good: %d domains, %d queues, %d agents\n", len(cfg.Domains), len(cfg.Queues), len(cfg.Agents))
				return nil
			},
		},
		&cobra.Command{
			Use:       "example [minimal|full]",
			Short:     "Print a configuration to begin with",
			ValidArgs: []string{"minimal", "full"},
			Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
			RunE: func(cmd *cobra.Command, args []string) error {
				_, err := io.WriteString(cmd.OutOrStdout(), config.Example(len(args) == 1 && args[0] == "full"))
				return err
			},
		},
	)
	return cmd
}
