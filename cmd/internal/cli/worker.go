package cli

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"sparkrun/runner/generator"
	"sparkrun/targets/framework"
)

// newWorkerCommand is a worker of a generator: a share of the load of a run that has
// started this process, directly or by mpirun or srun.
func newWorkerCommand(env *Env) *cobra.Command {
	return &cobra.Command{
		Use: generator.WorkerCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			go func() { // a launcher that is stopped says so; Ctrl-C is the run's to act on
				for range env.Signals {
					cancel(errors.New("stopped by a signal"))
				}
			}()
			w := &generator.Worker{
				Lookup: env.Lookup, Stdin: io.NopCloser(env.Stdin), Stdout: closable(env.Stdout), Version: version(),
				Doer:   newDoer,
				Forced: framework.ForcedFields,
			}
			if err := w.Serve(ctx); err != nil {
				return exit(exitRun, "%v", err)
			}
			return nil
		},
	}
}

// closable is a stream whose end others see, where it can be closed.
func closable(w io.Writer) io.WriteCloser {
	if c, ok := w.(io.WriteCloser); ok {
		return c
	}
	return struct {
		io.Writer
		io.Closer
	}{w, io.NopCloser(nil)}
}
