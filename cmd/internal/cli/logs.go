package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sparkrun/runner"
	"sparkrun/runner/journal"
	"sparkrun/runner/store"
)

func newLogsCommand(env *Env) *cobra.Command {
	var (
		out    string
		follow bool
		tail   int
	)
	c := &cobra.Command{
		Use:   "logs RUN | server.NAME",
		Short: "Print the output of a run's servers",
		Long: `Prints the output of the servers of RUN (a run's id or folder), or that of server.NAME in
the newest run that has it. Several servers' lines begin with their name. -f goes on
until all of them are gone, or Ctrl-C.`,
		Example: "  sparkrun logs server.vllm -f\n  sparkrun logs results/sweep/latest --tail 50",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			st, files, err := logFiles(out, args[0])
			if err != nil {
				return err
			}
			var logs []*serverLog
			for _, path := range files {
				l := &serverLog{path: path, out: env.Stdout}
				if len(files) > 1 {
					l.prefix = strings.TrimSuffix(filepath.Base(path), ".log") + " | "
				}
				defer l.close()
				if err := l.open(tail); err != nil {
					return exit(exitRun, "%v", err)
				}
				logs = append(logs, l)
			}
			for {
				over := !follow || !mayGrow(env, st)
				for _, l := range logs {
					if err := l.copy(over); err != nil {
						return exit(exitRun, "%v", err)
					}
				}
				if over {
					return nil
				}
				select {
				case <-env.Signals:
					return nil
				case <-time.After(200 * time.Millisecond):
				}
			}
		},
	}
	c.Flags().StringVar(&out, "out", "results", "folder of the results store")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is still to come")
	c.Flags().IntVar(&tail, "tail", -1, "begin with the last N lines of each (default: all)")
	return c
}

// logFiles are the logs that arg means.
func logFiles(out, arg string) (*store.Run, []string, error) {
	if !strings.HasPrefix(arg, "server.") {
		st, err := store.Find(out, arg)
		if err != nil {
			return nil, nil, exit(exitUsage, "%v", err)
		}
		files, _ := filepath.Glob(st.Path("logs", "server.*.log"))
		if len(files) == 0 {
			return nil, nil, exit(exitUsage, "run %s has started no server, so there is no log in %s", st.ID, st.Path("logs"))
		}
		return st, files, nil
	}
	found, _ := filepath.Glob(filepath.Join(out, "*", "*", "logs", arg+".log"))
	found = slices.DeleteFunc(found, func(p string) bool { return filepath.Base(filepath.Dir(filepath.Dir(p))) == "latest" })
	if len(found) == 0 {
		return nil, nil, exit(exitUsage, "no run in %s has a log of %s", out, arg)
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return written(a).Compare(written(b)) })
	st, err := store.Open(filepath.Dir(filepath.Dir(newest)))
	if err != nil {
		return nil, nil, exit(exitRun, "%v", err)
	}
	return st, []string{newest}, nil
}

func written(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// mayGrow reports whether the run is going on or has left something running.
func mayGrow(env *Env, st *store.Run) bool {
	if journal.Running(st.JournalPath()) {
		return true
	}
	strays, err := remains(context.Background(), tools(env, nil), "", []string{st.Dir})
	return err == nil && slices.ContainsFunc(strays, func(m runner.Remains) bool {
		return slices.ContainsFunc(m.Servers, func(s runner.Remain) bool { return len(s.Processes)+len(s.Containers) > 0 })
	})
}

// serverLog prints a log as it grows.
type serverLog struct {
	path, prefix string
	out          io.Writer
	file         *os.File
	rest         []byte // a line that has no end yet
}

// open opens the log so that the next copy begins with its last lines, with all if tail
// is below 0.
func (l *serverLog) open(tail int) error {
	var err error
	if l.file, err = os.Open(l.path); err != nil || tail < 0 {
		return err
	}
	b, err := io.ReadAll(l.file)
	if err != nil {
		return err
	}
	_, err = l.file.Seek(int64(len(b)-len(lastLines(b, tail))), io.SeekStart)
	return err
}

// lastLines are the last n lines of a text.
func lastLines(b []byte, n int) []byte {
	at := len(b)
	if n > 0 && at > 0 && b[at-1] != '\n' {
		n-- // the last line has no end
		at = bytes.LastIndexByte(b, '\n') + 1
	}
	for ; n > 0 && at > 0; n-- {
		at = bytes.LastIndexByte(b[:at-1], '\n') + 1
	}
	return b[at:]
}

// copy prints the whole lines that have come, the last one too if it is over.
func (l *serverLog) copy(over bool) error {
	b, err := io.ReadAll(l.file)
	if err != nil {
		return err
	}
	l.rest = append(l.rest, b...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole && (!over || len(line) == 0) {
			return nil
		}
		if _, err := fmt.Fprintf(l.out, "%s%s\n", l.prefix, line); err != nil {
			return err
		}
		l.rest = rest
	}
}

func (l *serverLog) close() {
	if l.file != nil {
		l.file.Close()
	}
}
