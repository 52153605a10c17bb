package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"sparkrun/runner"
	"sparkrun/runner/journal"
	"sparkrun/runner/store"
)

func newDownCommand(env *Env) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "down [RUN]",
		Short: "Stop and remove whatever a run has left",
		Long: `Stops the servers that a run has left on this machine: those of a run that was killed, those
that --keep-servers and up left running on purpose. RUN is a run's id or folder; without
it, those of every run that is not going on. What they were is known from the run's
journal and from the mark that every process of a run carries in its environment
(SPARKRUN_RUN), so that a process of somebody else is never ended.

Exit code 5 if something could not be removed, else 0.`,
		Example: "  sparkrun down\n  sparkrun down results/sweep/20261123-101500-3fa4c1",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			ctx := context.Background()
			t := tools(env, nil)
			all, err := remains(ctx, t, out, args)
			if err != nil {
				return err
			}
			removed, bad := 0, 0
			for _, m := range all {
				gone, err := runner.Down(ctx, t, m)
				for _, s := range gone {
					fmt.Fprintf(env.Stdout, "Removed %s of %s\n", s, m.Dir)
				}
				removed += len(gone)
				if err != nil {
					fmt.Fprintf(env.Stderr, "Error: %v\n", err)
					bad++
				}
			}
			switch {
			case bad > 0:
				return &exitError{code: exitCleanup}
			case removed == 0:
				fmt.Fprintln(env.Stdout, "Nothing is left.")
			}
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "results", "folder of the results store")
	return c
}

// remains is what is left of the named run, or of all runs that are not going on.
func remains(ctx context.Context, t runner.Tools, out string, args []string) ([]runner.Remains, error) {
	strays, err := runner.Strays(ctx, t)
	if err != nil {
		return nil, exit(exitRun, "%v", err)
	}
	if len(args) == 1 {
		return one(strays, out, args[0])
	}
	var all []runner.Remains
	known := map[string]bool{}
	for _, m := range strays {
		known[m.Dir] = true
		if !m.Running {
			all = append(all, m)
		}
	}
	// Runs of the store that have nothing left by now, and have not written that down.
	journals, _ := filepath.Glob(filepath.Join(out, "*", "*", "journal.jsonl"))
	for _, j := range journals {
		m, err := runner.Remaining(filepath.Dir(j), runner.Found{})
		if err != nil {
			return nil, exit(exitRun, "%v", err)
		}
		if !known[m.Dir] && !m.Running && len(m.Servers) > 0 {
			known[m.Dir] = true
			all = append(all, m)
		}
	}
	return all, nil
}

// one is what is left of the run that arg names: its folder may be gone.
func one(strays []runner.Remains, out, arg string) ([]runner.Remains, error) {
	dir := arg
	st, err := store.Find(out, arg)
	if err == nil {
		dir = st.Dir
	}
	dir = absolute([]string{dir})[0]
	var called []runner.Remains // so, in other stores
	for _, m := range strays {
		if m.Dir == dir {
			return []runner.Remains{m}, nil
		}
		if filepath.Base(m.Dir) == arg {
			called = append(called, m)
		}
	}
	switch {
	case err != nil && len(called) == 1:
		return called, nil
	case err != nil:
		return nil, exit(exitUsage, "%v", err)
	}
	m, err := runner.Remaining(st.Dir, runner.Found{})
	if err != nil {
		return nil, exit(exitRun, "%v", err)
	}
	if len(m.Servers) == 0 && !m.Running {
		return nil, nil
	}
	return []runner.Remains{m}, nil
}

// leftover names what a run that leaves at once may leave behind.
func leftover(st *store.Run) string {
	lines, err := journal.Read(st.JournalPath())
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, l := range journal.Leftover(lines) {
		fmt.Fprintf(&b, "May still be there: %s of %s, pid %d\n", l.Kind, l.Name, l.Pid)
	}
	if b.Len() > 0 {
		fmt.Fprintf(&b, "Remove it with: sparkrun down %s\n", st.Dir)
	}
	return b.String()
}
