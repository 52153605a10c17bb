package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sparkrun/runner/journal"
	"sparkrun/runner/result"
	"sparkrun/runner/store"
)

// listed is a run as `sparkrun runs` shows it.
type listed struct {
	Scenario string         `json:"scenario"`
	Run      string         `json:"run"`
	Dir      string         `json:"dir"`
	Started  time.Time      `json:"started"`
	State    string         `json:"state"`          // "ended", "interrupted" or "unfinished": under way, or killed
	Exit     *int           `json:"exit"`           // null while unfinished
	Planned  int            `json:"cells_planned"`  // cells
	Measured int            `json:"cells_measured"` // that have ended
	Verdicts map[string]int `json:"verdicts"`       // of entries: a cell and measured phase
	Error    string         `json:"error,omitempty"`
}

func newRunsCommand(env *Env) *cobra.Command {
	var (
		out    string
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "runs [SCENARIO]",
		Short: "List the runs of the results store",
		Long: `Lists the runs under results/, the one that was last written to first: when they began, how
far they came and what their cells are worth. With SCENARIO, those of that scenario.`,
		Example: "  sparkrun runs\n  sparkrun runs sweep\n  sparkrun runs --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			runs, scenarios := []listed{}, []string{}
			for _, r := range store.List(out) {
				l := list(r)
				if !slices.Contains(scenarios, l.Scenario) {
					scenarios = append(scenarios, l.Scenario)
				}
				if len(args) == 0 || l.Scenario == args[0] {
					runs = append(runs, l)
				}
			}
			if asJSON {
				return printJSON(env, runs)
			}
			if len(runs) == 0 && len(scenarios) > 0 {
				fmt.Fprintf(env.Stderr, "There are no runs of scenario %q in %s; there are runs of %s.\n", args[0], out, strings.Join(scenarios, ", "))
				return nil
			}
			if len(runs) == 0 {
				fmt.Fprintf(env.Stderr, "There are no runs in %s: sparkrun apply makes one.\n", out)
				return nil
			}
			printRuns(env.Stdout, runs)
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "results", "folder of the results store")
	c.Flags().BoolVar(&asJSON, "json", false, "print them as a JSON list")
	return c
}

// list reads what there is to say of a run. A file that can't be read is said, not an end
// of the list.
func list(r *store.Run) listed {
	l := listed{Scenario: filepath.Base(filepath.Dir(r.Dir)), Run: r.ID, Dir: r.Dir, State: "unfinished", Verdicts: map[string]int{}}
	var file struct {
		Run  result.Run `json:"run"`
		Plan struct {
			Cells []struct{} `json:"cells"`
		} `json:"plan"`
	}
	if err := r.ReadJSON("run.json", &file); err != nil {
		l.Error = err.Error()
		return l
	}
	l.Started, l.Planned = file.Run.Started, len(file.Plan.Cells)
	lines, err := journal.Read(r.JournalPath())
	if err != nil {
		l.Error = err.Error()
		return l
	}
	if code, ended := journal.Ended(lines); ended {
		l.State, l.Exit = "ended", &code
		if code == 130 {
			l.State = "interrupted"
		}
	}
	summary, err := r.Summary()
	if err != nil {
		return l // no cell has ended yet
	}
	cells := map[string]bool{}
	for _, e := range summary.Cells {
		l.Verdicts[string(e.Verdict)]++
		if e.Verdict != result.Skipped {
			cells[e.Address] = true
		}
	}
	l.Measured = len(cells)
	return l
}

func printRuns(w io.Writer, runs []listed) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "SCENARIO\tRUN\tSTARTED\tSTATE\tCELLS\tVERDICTS")
	for _, l := range runs {
		state := l.State
		if l.Exit != nil && *l.Exit != 0 && *l.Exit != 130 {
			state += fmt.Sprintf(", exit %d", *l.Exit)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d of %d\t%s\n", l.Scenario, l.Run, l.Started.Local().Format("2006-01-02 15:04"), state, l.Measured, l.Planned, l.verdicts())
	}
	t.Flush()
}

// verdicts is "10 ok, 2 suspect", or what keeps them from being known.
func (l *listed) verdicts() string {
	if l.Error != "" {
		return l.Error
	}
	var parts []string
	for _, v := range []result.Verdict{result.OK, result.Suspect, result.Invalid, result.Failed, result.Skipped} {
		if n := l.Verdicts[string(v)]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, v))
		}
	}
	return strings.Join(parts, ", ")
}

// printJSON prints a value as indented JSON on stdout.
func printJSON(env *Env, v any) error {
	enc := json.NewEncoder(env.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return exit(exitRun, "%v", err)
	}
	return nil
}
