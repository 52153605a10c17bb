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
		Long: `Stops the servers that a run has left on this machine and its nodes: those of a run that was killed, those
that --keep-servers and up left running on purpose. RUN is a run's id or folder; without
it, those of every run that is not going on. What they were is known from the run's
journal and from the mark that every process of a run carries in its environment
(SPARKRUN_RUN), so that a process of somebody else is never ended. What it left on nodes is
removed over SSH, as its run.json says they are reached.

Exit code 5 if something could not be removed, else 0.`,
		Example: "  sparkrun down\n  sparkrun down results/sweep/20261123-101500-3fa4c1",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			ctx := context.Background()
			all, err := remains(ctx, env, out, args)
			if err != nil {
				return err
			}
			removed, bad := 0, 0
			for _, m := range all {
				gone, err := m.down(ctx, env)
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

// left is what is left of a run.
type left struct{ runner.Remains }

// down removes it, on all nodes of its run.
func (l left) down(ctx context.Context, env *Env) ([]runner.Remain, error) {
	var removed []runner.Remain
	err := onNodes(env, l.Dir, func(t runner.Tools) error {
		var err error
		removed, err = runner.Down(ctx, t, l.Remains)
		return err
	})
	return removed, err
}

// onNodes does something with this machine and the nodes of a run.
func onNodes(env *Env, dir string, do func(runner.Tools) error) error {
	plans, err := nodesOf(dir)
	if err != nil {
		return err
	}
	on := newNodes(env, plans)
	defer on.close()
	return do(tools(env, nil, on))
}

// remaining is what is left of the run in a folder, on all of its nodes. What is known of a
// node that can't be asked is what the journal says.
func remaining(ctx context.Context, env *Env, dir string) (left, error) {
	var m runner.Remains
	err := onNodes(env, dir, func(t runner.Tools) error {
		found, unasked := runner.Find(ctx, t)
		var err error
		if m, err = runner.Remaining(dir, found); err == nil && len(m.Servers) == 0 && !m.Running {
			err = unasked // nothing that names them is going to be removed
		}
		return err
	})
	return left{m}, err
}

// remains is what is left of the named run, or of all runs that are not going on.
func remains(ctx context.Context, env *Env, out string, args []string) ([]left, error) {
	strays, err := runner.Strays(ctx, tools(env, nil, newNodes(env, nil)))
	if err != nil {
		return nil, exit(exitRun, "%v", err)
	}
	if len(args) == 1 {
		return one(ctx, env, strays, out, args[0])
	}
	var all []left
	known := map[string]bool{}
	// Runs of the store: what they left on nodes, and what is gone and not written down so.
	journals, _ := filepath.Glob(filepath.Join(out, "*", "*", "journal.jsonl"))
	for _, j := range journals {
		m, err := runner.Remaining(filepath.Dir(j), runner.Found{})
		if err == nil && !known[m.Dir] && !m.Running && len(m.Servers) > 0 {
			known[m.Dir] = true
			var l left
			if l, err = remaining(ctx, env, m.Dir); err == nil {
				all = append(all, l)
			}
		}
		if err != nil {
			return nil, exit(exitRun, "%v", err)
		}
	}
	for _, m := range strays {
		if !known[m.Dir] && !m.Running {
			all = append(all, left{m})
		}
	}
	return all, nil
}

// one is what is left of the run that arg names: its folder may be gone.
func one(ctx context.Context, env *Env, strays []runner.Remains, out, arg string) ([]left, error) {
	dir := arg
	st, err := store.Find(out, arg)
	if err == nil {
		dir = st.Dir
	}
	dir = absolute([]string{dir})[0]
	var called []left // so, in other stores
	for _, m := range strays {
		if m.Dir == dir && err != nil {
			return []left{{m}}, nil
		}
		if filepath.Base(m.Dir) == arg {
			called = append(called, left{m})
		}
	}
	switch {
	case err != nil && len(called) == 1:
		return called, nil
	case err != nil:
		return nil, exit(exitUsage, "%v", err)
	}
	l, err := remaining(ctx, env, st.Dir)
	if err != nil {
		return nil, exit(exitRun, "%v", err)
	}
	if len(l.Servers) == 0 && !l.Running {
		return nil, nil
	}
	return []left{l}, nil
}

// leftover names what a run that leaves at once may leave behind.
func leftover(st *store.Run) string {
	lines, err := journal.Read(st.JournalPath())
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, l := range journal.Leftover(lines) {
		where := ""
		if l.Node != "local" {
			where = " on " + l.Node
		}
		fmt.Fprintf(&b, "May still be there: %s of %s%s, pid %d\n", l.Kind, l.Name, where, l.Pid)
	}
	if b.Len() > 0 {
		fmt.Fprintf(&b, "Remove it with: sparkrun down %s\n", st.Dir)
	}
	return b.String()
}
