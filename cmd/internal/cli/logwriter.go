package cli

import (
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"sparkrun/runner"
	"sparkrun/targets/node"
)

// newLogWriterCommand copies standard input to a file without the secrets. The runner
// starts one for every server, so that a server's output goes on being written when the
// run has ended and the server has not.
func newLogWriterCommand(env *Env) *cobra.Command {
	return &cobra.Command{
		Use: node.LogWriterCommand + " FILE", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var secrets []string
			from := os.NewFile(3, "secrets")
			if err := json.NewDecoder(from).Decode(&secrets); err != nil {
				return exit(exitUsage, "%s is for sparkrun itself: its secrets are missing: %v", node.LogWriterCommand, err)
			}
			from.Close()
			file, err := os.OpenFile(args[0], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
			if err != nil {
				return exit(exitRun, "%v", err)
			}
			defer file.Close()
			out := runner.Redact(file, secrets)
			if _, err := io.Copy(out, env.Stdin); err != nil {
				// The server must not die of a full pipe because the disk is full.
				_, _ = io.Copy(io.Discard, env.Stdin)
				return exit(exitRun, "write %s: %v", args[0], err)
			}
			if err := out.Flush(); err != nil && !errors.Is(err, os.ErrClosed) {
				return exit(exitRun, "write %s: %v", args[0], err)
			}
			return nil
		},
	}
}
