package view

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"sparkrun/runner"
	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
)

// View shows events. Calls come from several goroutines.
type View interface {
	Event(e runner.Event)
	Close()
}

// Options choose a view.
type Options struct {
	JSON   bool
	Quiet  bool
	Color  bool
	Width  int // of the terminal that Stderr is, 0 for none
	Stdout io.Writer
	Stderr io.Writer
}

// New makes the view that the options ask for.
func New(o Options) View {
	if o.JSON {
		return &events{enc: json.NewEncoder(o.Stdout)}
	}
	return &text{Options: o}
}

// events prints every event as a JSON line.
type events struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (v *events) Event(e runner.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	_ = v.enc.Encode(e)
}

func (*events) Close() {}

// text prints a line for what has happened; on a terminal the last line shows what
// happens now.
type text struct {
	Options
	mu      sync.Mutex
	live    bool // a live line is on the screen
	plainAt time.Time
}

// plainEvery is how often progress is printed where there is no terminal.
const plainEvery = 10 * time.Second

func (v *text) Event(e runner.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch e.Type {
	case runner.EventRunStarted:
		s := e.Data.(*runner.Started)
		v.line("Run %s: %d cells, results in %s", e.Run, len(s.Cells), s.Dir)
	case runner.EventTaskStarted:
		if e.Kind == string(plan.TaskStart) || e.Kind == string(plan.TaskCell) {
			v.line("%s %s", map[string]string{string(plan.TaskStart): "Starting ", string(plan.TaskCell): "Measuring"}[e.Kind], strings.TrimPrefix(e.Address, e.Kind+" "))
		}
	case runner.EventTaskEnded:
		switch e.Outcome {
		case runner.Failed:
			v.line("Failed    %s: %s", e.Address, e.Message)
		case runner.Skipped:
			if e.Kind == string(plan.TaskCell) {
				v.line("Skipped   %s: %s", e.Address, e.Message)
			}
		}
	case runner.EventPhaseStarted:
		if v.Width == 0 {
			v.line("          %s: %s", e.Address, strings.TrimSpace(e.Phase+" "+e.Message))
		}
	case runner.EventProgress:
		v.progress(e)
	case runner.EventCellEnded:
		v.cell(e)
	case runner.EventServerKept:
		v.always("%s", e.Message)
	case runner.EventLog:
		v.line("%s: %s", e.Level, e.Message)
	case runner.EventInterrupt:
		v.always("%s", e.Message)
	case runner.EventRunEnded:
		v.ended(e.Data.(*runner.Ended))
	}
}

func (v *text) cell(e runner.Event) {
	entries, _ := e.Data.([]result.Entry)
	for i := range entries {
		x := &entries[i]
		numbers := ""
		for _, n := range []struct{ path, unit string }{{"throughput.output_tokens_per_s", "output tokens/s"}, {"metrics.ttft_ms.p50", "ms TTFT p50"}, {"metrics.tpot_ms.p50", "ms TPOT p50"}} {
			if f := x.Value(n.path); f != nil {
				numbers += fmt.Sprintf(", %.4g %s", *f, n.unit)
			}
		}
		v.line("%-9s %s %s: %d of %d requests ok%s", x.Verdict, x.Address, x.Phase, x.Requests.OK, x.Requests.Scheduled, numbers)
	}
}

func (v *text) progress(e runner.Event) {
	p := e.Progress
	left := ""
	if p.RemainingSeconds >= 0 {
		left = fmt.Sprintf(", %s left", (time.Duration(p.RemainingSeconds) * time.Second).String())
	}
	s := fmt.Sprintf("[%d/%d] %s %s %s %d in flight, %d ok, %d failed, %.0f tokens/s, TTFT %.0f ms%s",
		p.Cell, p.Cells, e.Address, e.Phase, bar(p.Fraction), p.InFlight, p.OK, p.Failed, p.OutputTokensPerS, p.TTFTMeanMS, left)
	switch {
	case v.Quiet:
	case v.Width > 0:
		if r := []rune(s); len(r) >= v.Width {
			s = string(r[:v.Width-1])
		}
		fmt.Fprintf(v.Stderr, "\r\x1b[K%s", s)
		v.live = true
	case e.Time.Sub(v.plainAt) >= plainEvery:
		v.plainAt = e.Time
		fmt.Fprintln(v.Stderr, s)
	}
}

func bar(fraction float64) string {
	if fraction < 0 {
		return ""
	}
	return fmt.Sprintf("%3.0f %%", 100*fraction)
}

// line prints a line above the live one.
func (v *text) line(format string, args ...any) {
	if !v.Quiet {
		v.always(format, args...)
	}
}

func (v *text) always(format string, args ...any) {
	v.clear()
	fmt.Fprintf(v.Stderr, format+"\n", args...)
}

func (v *text) clear() {
	if v.live {
		fmt.Fprint(v.Stderr, "\r\x1b[K")
		v.live = false
	}
}

func (v *text) ended(e *runner.Ended) {
	v.clear()
	for _, f := range e.Files {
		fmt.Fprintln(v.Stdout, f)
	}
	for i, r := range e.Reasons {
		if i == 10 {
			fmt.Fprintf(v.Stderr, "… and %d more: see summary.json\n", len(e.Reasons)-i)
			break
		}
		fmt.Fprintf(v.Stderr, "Exit code %d: %s\n", e.ExitCode, r)
	}
	if e.Resume != "" {
		fmt.Fprintf(v.Stderr, "Go on with: %s\n", e.Resume)
	}
}

func (v *text) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clear()
}
