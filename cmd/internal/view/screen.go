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
	table   string // the header that was printed last
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
		s.draw(s.words(bold, "Run "+e.Run, fmt.Sprintf("  %d cells, results in %s", s.total, d.Dir)))
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
		s.draw(s.words("", "", e.Message))
	case runner.EventLog:
		s.draw(s.words("", e.Level+":", " "+e.Message))
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
		s.draw(s.words(red, "failed", fmt.Sprintf("  %s: %s", e.Address, e.Message)))
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

// column is one of the table's, beside the verdict and the cell.
type column struct {
	head  string
	width int // of its texts; negative where they begin at the left
	text  func(e *result.Entry) string
}

var columns = []column{
	{"phase", -8, func(e *result.Entry) string { return middle(e.Phase, 8) }},
	{"tokens/s", 8, func(e *result.Entry) string { return number(e, "throughput.output_tokens_per_s", "") }},
	{"TTFT p50", 9, func(e *result.Entry) string { return number(e, "metrics.ttft_ms.p50", " ms") }},
	{"TPOT p50", 9, func(e *result.Entry) string { return number(e, "metrics.tpot_ms.p50", " ms") }},
	{"ok", 9, func(e *result.Entry) string { return fmt.Sprintf("%d/%d", e.Requests.OK, e.Requests.Scheduled) }},
}

const (
	indent   = 10 // columns of the verdict and what follows it
	minLabel = 10 // columns of the cell at least
)

// layout is the width of the column of cells, and the others that there is room for: the TPOT is
// the first to go, then the phase, the TTFT, the tokens.
func (s *screen) layout() (label int, shown []column) {
	shown = slices.Clone(columns)
	for _, next := range []string{"TPOT p50", "phase", "TTFT p50", "tokens/s", ""} {
		label = s.Width() - 1 - indent
		for _, c := range shown {
			label -= 1 + max(c.width, 1-c.width) // a column that begins at the left is two apart
		}
		if label >= minLabel || next == "" {
			break
		}
		shown = slices.DeleteFunc(shown, func(c column) bool { return c.head == next })
	}
	return max(minLabel, min(s.label, label)), shown
}

func line(shown []column, text func(c column) string) string {
	var b strings.Builder
	for _, c := range shown {
		if c.width < 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, " %*s", c.width, text(c))
	}
	return b.String()
}

// rows are the lines of a finished cell, under a header where another benchmark begins or the
// terminal's width has changed. Marks stand behind the numbers, or on lines of their own.
func (s *screen) rows(e runner.Event) string {
	var out []string
	label, shown := s.layout()
	entries, _ := e.Data.([]result.Entry)
	for i := range entries {
		x := &entries[i]
		head := fmt.Sprintf("%*s%-*s%s", indent, "", label, tableHead(x.Address, label), line(shown, func(c column) string { return c.head }))
		if x.Benchmark+head != s.table {
			s.table = x.Benchmark + head
			out = append(out, s.paint(dim, clip(head, s.Width()-1)))
		}
		text := fmt.Sprintf("  %-*s", label, middle(cellLabel(x.Address), label))
		if x.Cause != "" {
			cause, _, _ := strings.Cut(x.Cause, "\n")
			text += "  " + cause
		} else {
			text += line(shown, func(c column) string { return c.text(x) })
		}
		text = clip(text, s.Width()-indent+1)
		var names []string
		for _, m := range x.Marks {
			names = append(names, m.Name)
		}
		marks := strings.Join(names, " ")
		if len([]rune(text))+2+len(marks) <= s.Width()-indent+1 && marks != "" {
			text, marks = text+"  "+marks, ""
		}
		out = append(out, s.paint(verdictColour(x.Verdict), fmt.Sprintf("%*s", indent-2, x.Verdict))+text)
		if marks != "" {
			out = append(out, wrapped(strings.Repeat(" ", indent)+marks, s.Width()-1, indent))
		}
	}
	return strings.Join(out, "\n")
}

// words are a painted head and a text, in lines of the terminal's width.
func (s *screen) words(code, head, text string) string {
	all := wrapped(head+text, s.Width()-1, 2)
	if rest, whole := strings.CutPrefix(all, head); whole && code != "" {
		return s.paint(code, head) + rest
	}
	return all
}

// wrapped breaks a text's lines between words where they are wider than that; what goes on is
// indented. A word that is wider is left whole, so that it can be copied.
func wrapped(text string, width, indent int) string {
	var b strings.Builder
	for i, l := range strings.Split(text, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		at, begun := 0, false
		for w := range strings.SplitSeq(l, " ") {
			n := len([]rune(w))
			switch {
			case begun && at+1+n > width && strings.TrimSpace(w) != "":
				b.WriteString("\n" + strings.Repeat(" ", indent))
				at = indent
			case begun:
				b.WriteByte(' ')
				at++
			}
			b.WriteString(w)
			at, begun = at+n, true
		}
	}
	return b.String()
}

func number(e *result.Entry, path, unit string) string {
	v := e.Value(path)
	if v == nil {
		return "–"
	}
	return fmt.Sprintf("%.4g%s", *v, unit)
}

// draw prints a text above the live part and that part again, in one write. The lines of the live
// part are written over each other, so that nothing is dark in between; what is below is erased
// only where a text comes above or the lines are others.
func (s *screen) draw(above string) {
	if s.Quiet {
		above = ""
	}
	lines, up := s.lines(), s.rowsDrawn()
	if above == "" && up == 0 && len(lines) == 0 {
		return
	}
	var b strings.Builder
	if up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	b.WriteByte('\r')
	if above != "" || up != len(lines) {
		b.WriteString("\x1b[J")
	}
	if above != "" {
		b.WriteString(above + "\n")
	}
	s.drawn = s.drawn[:0]
	for _, l := range lines {
		b.WriteString(l + "\x1b[K\n") // no line is as wide as the terminal: there K would take its last character
		s.drawn = append(s.drawn, len([]rune(l)))
	}
	_, _ = io.WriteString(s.Stderr, b.String())
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

// line is what runs, in words and a bar. Of the numbers there are as many as there is room for.
func (r *running) line(width int) string {
	name, p := cellLabel(r.address), r.progress
	phase := strings.TrimSpace(r.phase + " " + r.tries)
	if p == nil {
		return fmt.Sprintf("%s  %s %s", middle(name, width/2), phase, clock(time.Since(r.since)))
	}
	phase = middle(phase, max(6, width/4))
	bar := meter(p.Fraction, min(10, width/12))
	room := width - len([]rune(phase)) - len([]rune(bar)) - 3
	name = middle(name, max(8, room-mostNumbers))
	room -= len([]rune(name))
	numbers := ""
	for _, n := range []struct {
		shown bool
		text  string
	}{
		{true, fmt.Sprintf("%d in flight", p.InFlight)}, {true, fmt.Sprintf(" %d ok", p.OK)}, {p.Failed > 0, fmt.Sprintf(" %d failed", p.Failed)},
		{true, fmt.Sprintf(" %.0f tok/s", p.OutputTokensPerS)}, {true, fmt.Sprintf(" TTFT %.0f ms", p.TTFTMeanMS)},
	} {
		if !n.shown {
			continue
		}
		if len(numbers)+len(n.text) > room {
			break
		}
		numbers += n.text
	}
	return fmt.Sprintf("%s  %s %s%s", name, phase, bar, numbers)
}

// mostNumbers is the room that the numbers of a line mostly take.
const mostNumbers = 52

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
