package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sparkrun/runner"
	"sparkrun/runner/result"
	"sparkrun/sinks"
)

// watchFlag is --watch: the report of a run in a browser, while it goes on.
type watchFlag struct {
	addr string
	page *sinks.Watch // nil: nobody watches
}

func (w *watchFlag) register(c *cobra.Command) {
	c.Flags().StringVar(&w.addr, "watch", "", "serve the report at this address while the run goes on, and /metrics; a port alone (8080) is this machine's own")
}

// listen takes the port before anything is touched.
func (w *watchFlag) listen() error {
	if w.addr == "" {
		return nil
	}
	l, err := sinks.Listen(w.addr)
	if err == nil {
		w.page = sinks.NewWatch(l)
	}
	return err
}

// close closes what a run that did not begin has left open.
func (w *watchFlag) close() {
	if w.page != nil {
		_ = w.page.Close()
	}
}

// begin serves the page and says where. It returns who wants to know how running cells are,
// and who takes finished ones.
func (w *watchFlag) begin(info *result.Run, open map[string]runner.Sink, stderr io.Writer) (watchers []sinks.Watcher, onCell func(*result.Cell), err error) {
	for _, s := range open {
		if l, ok := s.(sinks.Watcher); ok {
			watchers = append(watchers, l)
		}
	}
	if w.page == nil {
		return watchers, nil, nil
	}
	if err := w.page.Begin(context.Background(), info); err != nil {
		return nil, nil, fmt.Errorf("--watch: %w", err)
	}
	fmt.Fprintf(stderr, "Watch the run at %s\n", w.page.URL())
	return append(watchers, w.page), func(c *result.Cell) {
		if err := w.page.Cell(context.Background(), c); err != nil {
			fmt.Fprintf(stderr, "--watch: show %s: %v\n", c.Plan.Name, err)
		}
	}, nil
}

// end shows the run's end and closes the page. What goes wrong in it is no fault of the run.
func (w *watchFlag) end(r *result.Run) {
	if w.page != nil {
		_ = w.page.End(context.Background(), r)
	}
}

// tell passes on how a running cell is.
func tell(watchers []sinks.Watcher, e runner.Event) {
	p := e.Progress
	if p == nil {
		return
	}
	for _, w := range watchers {
		w.Live(sinks.Live{
			Cell: e.Address, Phase: e.Phase, Done: p.Fraction, InFlight: p.InFlight, Sent: p.Sent, OK: p.OK, Failed: p.Failed,
			OutputTokensPerS: p.OutputTokensPerS, TTFTMeanMS: p.TTFTMeanMS, RemainingSeconds: p.RemainingSeconds,
		})
	}
}
