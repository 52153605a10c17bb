package view

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
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
	Width  func() int // of the terminal that Stderr is; nil where it is none
	Stdout io.Writer
	Stderr io.Writer
}

// New makes the view that the options ask for.
func New(o Options) View {
	if o.JSON {
		return &events{enc: json.NewEncoder(o.Stdout)}
	}
	if o.Width != nil {
		return newScreen(o)
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

// text prints a line for what has happened, where there is no terminal.
type text struct {
	Options
	mu      sync.Mutex
	plainAt time.Time
	told    []string // why tasks failed: it is said once
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
		if e.Outcome == runner.Failed {
			v.line("Failed    %s: %s", e.Address, e.Message)
			v.told = append(v.told, e.Message)
		}
	case runner.EventPhaseStarted:
		v.line("          %s: %s", e.Address, strings.TrimSpace(e.Phase+" "+e.Message))
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
		if x.Requests.Scheduled == 0 && x.Cause != "" {
			v.line("%-9s %s %s: %s", x.Verdict, x.Address, x.Phase, v.cause(x.Cause))
			continue
		}
		numbers := ""
		for _, n := range []struct{ path, unit string }{{"throughput.output_tokens_per_s", "output tokens/s"}, {"metrics.ttft_ms.p50", "ms TTFT p50"}, {"metrics.tpot_ms.p50", "ms TPOT p50"}} {
			if f := x.Value(n.path); f != nil {
				numbers += fmt.Sprintf(", %.4g %s", *f, n.unit)
			}
		}
		v.line("%-9s %s %s: %d of %d requests ok%s", x.Verdict, x.Address, x.Phase, x.Requests.OK, x.Requests.Scheduled, numbers)
	}
}

// cause is why nothing was measured, without what has been told already.
func (v *text) cause(why string) string {
	for _, told := range v.told {
		if rest, ok := strings.CutSuffix(why, told); ok {
			return cmp.Or(strings.TrimSuffix(rest, ": "), "for the reason above")
		}
	}
	v.told = append(v.told, why)
	return why
}

func (v *text) progress(e runner.Event) {
	p := e.Progress
	left := ""
	if p.RemainingSeconds >= 0 {
		left = fmt.Sprintf(", %s left", (time.Duration(p.RemainingSeconds) * time.Second).String())
	}
	s := fmt.Sprintf("[%d/%d] %s %s %s %d in flight, %d ok, %d failed, %.0f tokens/s, TTFT %.0f ms%s",
		p.Cell, p.Cells, e.Address, e.Phase, bar(p.Fraction), p.InFlight, p.OK, p.Failed, p.OutputTokensPerS, p.TTFTMeanMS, left)
	if !v.Quiet && e.Time.Sub(v.plainAt) >= plainEvery {
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

// line prints a line that --quiet leaves out.
func (v *text) line(format string, args ...any) {
	if !v.Quiet {
		v.always(format, args...)
	}
}

func (v *text) always(format string, args ...any) {
	fmt.Fprintf(v.Stderr, format+"\n", args...)
}

func (v *text) ended(e *runner.Ended) {
	for _, f := range e.Files {
		fmt.Fprintln(v.Stdout, f)
	}
	for i, r := range e.Reasons {
		if i == 10 {
			fmt.Fprintf(v.Stderr, "… and %d more: see summary.json\n", len(e.Reasons)-i)
			break
		}
		what, why, _ := strings.Cut(r, ": ")
		if i > 0 && why != "" && slices.ContainsFunc(e.Reasons[:i], func(before string) bool { return strings.HasSuffix(before, ": "+why) }) {
			r = what + ", for the same reason"
		}
		line := fmt.Sprintf("Exit code %d: %s", e.ExitCode, r)
		if v.Width != nil {
			line = wrapped(line, v.Width()-1, 2)
		}
		fmt.Fprintln(v.Stderr, line)
	}
	if e.Resume != "" {
		fmt.Fprintf(v.Stderr, "Go on with: %s\n", e.Resume)
	}
}

func (*text) Close() {}
