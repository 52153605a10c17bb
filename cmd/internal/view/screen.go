package view

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"sparkrun/runner"
	"sparkrun/runner/result"
	"sparkrun/scenario/addr"
	"sparkrun/scenario/plan"
)

// screen shows a run on a terminal: finished cells are a table that grows upward into the
// scroll-back; under it stand what runs now, a line each, and how far the run is. No line
// is wider than the terminal, whose width is asked for again with every frame.
type screen struct {
	Options
	mu      sync.Mutex
	begun   time.Time
	label   int // width of the column of cells
	total   int // cells
	done    int
	left    float64 // seconds, -1 unknown
	running []*running
	drawn   []int  // widths of the lines of the live part on the screen
	table   string // the benchmark whose header was printed last
	stop    chan struct{}
	ended   chan struct{}
}

// running is a server that starts or a cell that is measured.
type running struct {
	address  string
	since    time.Time
	phase    string
	tries    string // the value that a search tries
	progress *runner.Progress
}

func newScreen(o Options) *screen {
	s := &screen{Options: o, begun: time.Now(), left: -1, stop: make(chan struct{}), ended: make(chan struct{})}
	go s.tick()
	return s
}

// tick draws once a second, for the clocks of what says nothing of itself.
func (s *screen) tick() {
	defer close(s.ended)
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C:
			s.mu.Lock()
			s.draw("")
			s.mu.Unlock()
		}
	}
}

// Close takes the live part off the screen.
func (s *screen) Close() {
	s.mu.Lock()
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	s.running = nil
	s.draw("")
	s.mu.Unlock()
	<-s.ended
}

// Event shows what has happened.
func (s *screen) Event(e runner.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.Type {
	case runner.EventRunStarted:
		d := e.Data.(*runner.Started)
		s.total = len(d.Cells)
		for _, c := range d.Cells {
			s.label = max(s.label, len([]rune(cellLabel(c))), len([]rune(tableHead(c, 1000))))
		}
		s.draw(fmt.Sprintf("%s  %d cells, results in %s", s.paint(bold, "Run "+e.Run), s.total, d.Dir))
	case runner.EventTaskStarted:
		if e.Kind == string(plan.TaskStart) {
			s.running = append(s.running, &running{address: strings.TrimSuffix(e.Address, ".start"), since: time.Now(), phase: "starting"})
			s.draw("")
		}
	case runner.EventTaskEnded:
		s.taskEnded(e)
	case runner.EventPhaseStarted:
		r := s.cell(e.Address)
		r.phase, r.tries, r.progress = e.Phase, e.Message, nil
		s.draw("")
	case runner.EventProgress:
		r := s.cell(e.Address)
		r.phase, r.progress = e.Phase, e.Progress
		s.left = e.Progress.RemainingSeconds
		s.draw("")
	case runner.EventCellEnded:
		s.forget(e.Address)
		s.done++
		s.draw(s.rows(e))
	case runner.EventServerKept, runner.EventInterrupt:
		s.draw(e.Message)
	case runner.EventLog:
		s.draw(e.Level + ": " + e.Message)
	case runner.EventRunEnded:
		s.running, s.total = nil, 0
		s.draw("")
		(&text{Options: s.Options}).ended(e.Data.(*runner.Ended))
	}
}

func (s *screen) taskEnded(e runner.Event) {
	if e.Kind == string(plan.TaskStart) {
		s.forget(strings.TrimSuffix(e.Address, ".start"))
	}
	switch {
	case e.Outcome == runner.Failed:
		s.draw(fmt.Sprintf("%s  %s: %s", s.paint(red, "failed"), e.Address, e.Message))
	case e.Kind == string(plan.TaskStart):
		s.draw("")
	}
}

// cell is the line of a cell, made where there is none.
func (s *screen) cell(address string) *running {
	for _, r := range s.running {
		if r.address == address {
			return r
		}
	}
	r := &running{address: address, since: time.Now()}
	s.running = append(s.running, r)
	return r
}

func (s *screen) forget(address string) {
	s.running = slices.DeleteFunc(s.running, func(r *running) bool { return r.address == address })
}

// The colours: SGR codes.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (s *screen) paint(code, text string) string { return "\x1b[" + code + "m" + text + "\x1b[0m" }

// verdictColour is how a verdict is painted.
func verdictColour(v result.Verdict) string {
	switch v {
	case result.OK:
		return green
	case result.Suspect, result.Skipped:
		return yellow
	case result.Failed, result.Invalid:
		return red
	}
	return red
}

// cellLabel is an address without what the table's header says: the values of its axes.
func cellLabel(address string) string {
	c, err := addr.Parse(address)
	if err != nil {
		return address
	}
	var parts []string
	for _, a := range c.Axes {
		parts = append(parts, a.Value)
	}
	return strings.Join(append(parts, fmt.Sprintf("#%d", c.Repeat)), " ")
}

// tableHead is the benchmark and its axes, or the axes alone where that is too wide.
func tableHead(address string, width int) string {
	c, err := addr.Parse(address)
	if err != nil {
		return middle(address, width)
	}
	head, axes := c.Benchmark, ""
	for _, a := range c.Axes {
		axes += " " + a.Name
	}
	if len([]rune(head+axes)) <= width || axes == "" {
		return middle(head+axes, width)
	}
	return middle(axes[1:], width)
}

// rows are the lines of a finished cell, under a header where another benchmark begins.
func (s *screen) rows(e runner.Event) string {
	var b strings.Builder
	entries, _ := e.Data.([]result.Entry)
	for i := range entries {
		x := &entries[i]
		if x.Benchmark != s.table {
			s.table = x.Benchmark
			head := fmt.Sprintf("%8s  %-*s  %-8s %8s %10s %10s %9s", "", s.labelWidth(), tableHead(x.Address, s.labelWidth()), "phase", "tokens/s", "TTFT p50", "TPOT p50", "ok")
			fmt.Fprintln(&b, s.paint(dim, clip(head, s.Width()-1)))
		}
		line := fmt.Sprintf("  %-*s  %-8s %8s %10s %10s %9s", s.labelWidth(), middle(cellLabel(x.Address), s.labelWidth()), middle(x.Phase, 8),
			number(x, "throughput.output_tokens_per_s", ""), number(x, "metrics.ttft_ms.p50", " ms"), number(x, "metrics.tpot_ms.p50", " ms"),
			fmt.Sprintf("%d/%d", x.Requests.OK, x.Requests.Scheduled))
		if x.Cause != "" {
			line = fmt.Sprintf("  %-*s  %s", s.labelWidth(), middle(cellLabel(x.Address), s.labelWidth()), x.Cause)
		}
		line, _, _ = strings.Cut(line, "\n")
		line = clip(line, s.Width()-9)
		for _, m := range x.Marks { // as many as there is room for; they all stand in the summary
			if len([]rune(line))+2+len([]rune(m.Name)) > s.Width()-9 {
				break
			}
			line += "  " + m.Name
		}
		fmt.Fprintf(&b, "%s%s\n", s.paint(verdictColour(x.Verdict), fmt.Sprintf("%8s", x.Verdict)), line)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// labelWidth leaves room for the numbers.
func (s *screen) labelWidth() int { return max(10, min(s.label, s.Width()-62)) }

func number(e *result.Entry, path, unit string) string {
	v := e.Value(path)
	if v == nil {
		return "–"
	}
	return fmt.Sprintf("%.4g%s", *v, unit)
}

// draw prints a text above the live part and that part again, in one write.
func (s *screen) draw(above string) {
	if s.Quiet {
		above = ""
	}
	var b strings.Builder
	if up := s.rowsDrawn(); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	b.WriteString("\r\x1b[J")
	if above != "" {
		b.WriteString(above + "\n")
	}
	lines := s.lines()
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
	s.drawn = s.drawn[:0]
	for _, l := range lines {
		s.drawn = append(s.drawn, len([]rune(l)))
	}
	if b.Len() > len("\r\x1b[J") {
		_, _ = io.WriteString(s.Stderr, b.String())
	}
}

// rowsDrawn is how many rows of the screen the live part takes: a terminal that has become
// narrower since it was drawn has broken its lines.
func (s *screen) rowsDrawn() int {
	width, rows := max(1, s.Width()), 0
	for _, n := range s.drawn {
		rows += max(1, (n+width-1)/width)
	}
	return rows
}

// lines are the live part.
func (s *screen) lines() []string {
	if s.Quiet || len(s.running) == 0 {
		return nil
	}
	width := s.Width() - 1
	var out []string
	for _, r := range s.running {
		out = append(out, clip(r.line(width), width))
	}
	state := fmt.Sprintf("%d of %d cells, %s", s.done, s.total, clock(time.Since(s.begun)))
	if s.left >= 0 {
		state += ", about " + clock(time.Duration(s.left*1e9)) + " left"
	}
	return append(out, clip(state, width))
}

// line is what runs, in words and a bar.
func (r *running) line(width int) string {
	name := cellLabel(r.address)
	p := r.progress
	if p == nil {
		return fmt.Sprintf("%s  %s %s", middle(name, width/2), strings.TrimSpace(r.phase+" "+r.tries), clock(time.Since(r.since)))
	}
	numbers := fmt.Sprintf("%3d in flight %5d ok %2d failed %6.0f tok/s  TTFT %.0f ms", p.InFlight, p.OK, p.Failed, p.OutputTokensPerS, p.TTFTMeanMS)
	if width < 100 {
		numbers = fmt.Sprintf("%d in flight %d ok", p.InFlight, p.OK)
		if p.Failed > 0 {
			numbers += fmt.Sprintf(" %d failed", p.Failed)
		}
		numbers += fmt.Sprintf(" %.0f tok/s TTFT %.0f ms", p.OutputTokensPerS, p.TTFTMeanMS)
	}
	phase := strings.TrimSpace(r.phase + " " + r.tries)
	head := fmt.Sprintf("%s  %s ", middle(name, max(8, width-len([]rune(numbers))-len([]rune(phase))-16)), middle(phase, max(6, width/4)))
	return head + meter(p.Fraction, 10) + numbers
}

// meter is a bar of so many places for a share, or nothing where it is unknown.
func meter(fraction float64, places int) string {
	if fraction < 0 {
		return ""
	}
	full := min(places, max(0, int(fraction*float64(places)+0.5)))
	return strings.Repeat("█", full) + strings.Repeat("░", places-full) + " "
}

func clock(d time.Duration) string {
	d = d.Round(time.Second)
	if d >= time.Hour {
		return fmt.Sprintf("%d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

// clip cuts a text to so many characters.
func clip(text string, width int) string {
	r := []rune(text)
	if len(r) <= width || width < 1 {
		return text
	}
	return string(r[:width-1]) + "…"
}

// middle shortens a text in its middle: addresses differ at both ends.
func middle(text string, width int) string {
	r := []rune(text)
	if len(r) <= width || width < 3 {
		return text
	}
	front := (width - 1) / 2
	return string(r[:front]) + "…" + string(r[len(r)-(width-1-front):])
}
