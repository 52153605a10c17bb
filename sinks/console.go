package sinks

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"sparkrun/runner/result"
	"sparkrun/scenario/metric"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// console prints the results when the run has ended.
type console struct {
	w     io.Writer
	color bool
	width int // of the terminal, 0 for none
}

func init() {
	register(schema.Kind{
		Name: "console", Doc: "A grid on standard output.",
		Attrs: compatAttrs([]string{compatSeed, compatVLLM, compatGenAI, compatBenchy}, "warmup_percentages", "goodput", "latency"), Check: checkCompat,
	}, newConsole)
}

func newConsole(s plan.Sink, _ string, env Env) (Sink, error) {
	switch s.Values.String("compat") {
	case compatSeed:
		shares, err := warmups(s)
		return &compatConsole{w: env.Stdout, print: func(b *strings.Builder, run *result.Run, c *result.Cell) {
			if r := newSeedReport(run, c, shares); r != nil {
				r.print(b)
			}
		}}, err
	case compatVLLM:
		limits, err := goodputLimits(s.Values.Strings("goodput"))
		return &compatConsole{w: env.Stdout, print: func(b *strings.Builder, run *result.Run, c *result.Cell) {
			for _, st := range stretches(c) {
				if len(st.records) > 0 {
					newVLLMReport(run, c, st, limits).print(b)
				}
			}
		}}, err
	case compatGenAI:
		return &genaiConsole{w: env.Stdout}, nil
	case compatBenchy:
		return &benchyConsole{w: env.Stdout, benchy: newBenchy(s)}, nil
	}
	return &console{env.Stdout, env.Color, env.Width}, nil
}

func (*console) Begin(context.Context, *result.Run) error { return nil }
func (*console) Cell(context.Context, *result.Cell) error { return nil }
func (*console) Path() string                             { return "" }

func (c *console) End(_ context.Context, r *result.Run) error {
	var b strings.Builder
	note := ""
	if r.Simulated {
		note = " (simulated: not a measurement of a real engine)"
	}
	if r.Interrupted {
		note += " (interrupted)"
	}
	if len(r.Entries) == 1 {
		block(&b, &r.Entries[0], note)
	} else {
		for _, g := range grids(r.Entries) {
			g.print(&b, note)
			differences(&b, g.benchmark, r.Entries, c.width)
		}
	}
	searches(&b, r.Entries)
	doubts(&b, r.Entries, c.width)
	for _, t := range sortedThresholds(r.Thresholds) {
		state := "met"
		switch {
		case t.Undecided:
			state = "undecided"
		case !t.Pass:
			state = "NOT met"
		}
		line := fmt.Sprintf("threshold %s: %s by %s", t.Name, state, t.Address)
		if !t.Pass {
			line += ": " + t.Message
		}
		b.WriteString(fold(line, c.width, 2) + "\n")
	}
	text := b.String()
	if c.color {
		text = strings.NewReplacer("NOT met", "\x1b[31mNOT met\x1b[0m", "failed", "\x1b[31mfailed\x1b[0m").Replace(text)
	}
	_, err := io.WriteString(c.w, text)
	return err
}

// shown are the numbers of the grid. Those of turns are left out where no cell has several.
var shown = []struct{ path, title string }{
	{"throughput.output_tokens_per_s", "output_tokens_per_s"},
	{"metrics.ttft_ms.p50", "ttft_ms p50"},
	{"turns.first.ttft_ms.p50", "first turns"},
	{"turns.later.ttft_ms.p50", "later turns"},
	{"metrics.tpot_ms.p50", "tpot_ms p50"},
	{"requests.success_rate", "success_rate"},
	{"telemetry.watts_mean", "watts_mean"},
	{"telemetry.joules_per_output_token", "J per output token"},
	{"telemetry.cost_per_million_output_tokens", "cost per 1e6 output tokens"},
}

// shows reports whether a number has its rows: not all cells have later turns, or a GPU.
func (g *grid) shows(path string) bool {
	optional := strings.HasPrefix(path, "turns.") || strings.HasPrefix(path, "telemetry.")
	return !optional || g.has(path)
}

func (g *grid) print(b *strings.Builder, note string) {
	fmt.Fprintf(b, "\nbenchmark.%s%s\n", g.benchmark, note)
	var t strings.Builder
	w := tabwriter.NewWriter(&t, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\t\t%s\t\n", strings.Join(g.columns, "\t"))
	for _, s := range shown {
		if !g.shows(s.path) {
			continue
		}
		title := s.title
		for _, row := range g.rows {
			fmt.Fprintf(w, "%s\t%s", title, row)
			for _, col := range g.columns {
				fmt.Fprintf(w, "\t%s", g.text(row, col, s.path))
			}
			fmt.Fprint(w, "\t\n")
			title = ""
		}
	}
	w.Flush()
	b.WriteString(t.String())
}

// block prints one cell as other benchmark tools do: statistics in lines.
func block(b *strings.Builder, e *result.Entry, note string) {
	fmt.Fprintf(b, "\n%s %s: %s%s\n", e.Address, e.Phase, e.Verdict, note)
	rate := "–"
	if e.Requests.SuccessRate != nil {
		rate = fmt.Sprintf("%.4g %%", 100**e.Requests.SuccessRate)
	}
	fmt.Fprintf(b, "%d of %d requests ok (%s) in %.1f s\n", e.Requests.OK, e.Requests.Scheduled, rate, e.Window.Seconds)
	for _, n := range []string{"requests_per_s", "output_tokens_per_s", "input_tokens_per_s", "total_tokens_per_s", "concurrency_achieved"} {
		if v := e.Throughput[n]; v != nil {
			fmt.Fprintf(b, "%-22s %10s\n", n, short(*v))
		}
	}
	meanwhile(b, e)
	stats := []string{"mean", "p50", "p90", "p95", "p99", "max"}
	var t strings.Builder
	w := tabwriter.NewWriter(&t, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\t%s\t\n", strings.Join(stats, "\t"))
	names := []string{"ttft_ms", "tpot_ms", "itl_ms", "latency_ms", "input_tokens", "output_tokens"}
	names = append(names, slices.Sorted(maps.Keys(e.Units))...)
	for i := range names {
		names[i] = "metrics." + names[i]
	}
	if e.Turns != nil {
		for _, n := range metric.TurnFields {
			names = append(names, "turns.first."+n, "turns.later."+n)
		}
	}
	for _, n := range names {
		fmt.Fprint(w, strings.NewReplacer("metrics.", "", "turns.", "", ".", " turns ").Replace(n))
		for _, s := range stats {
			text := "–"
			if v := e.Value(n + "." + s); v != nil {
				text = short(*v)
			}
			fmt.Fprintf(w, "\t%s", text)
		}
		fmt.Fprint(w, "\t\n")
	}
	w.Flush()
	b.WriteString(t.String())
	for name, g := range e.Goodput {
		if g.Attainment != nil && g.RequestsPerS != nil && (name != "all" || len(e.Goodput) > 2) {
			fmt.Fprintf(b, "slo %s: met by %.4g %% of the requests, %s requests/s\n", name, 100**g.Attainment, short(*g.RequestsPerS))
		}
	}
}

// meanwhile prints the telemetry of an entry, as far as there is one.
func meanwhile(b *strings.Builder, e *result.Entry) {
	for _, line := range []struct {
		title   string
		numbers [][2]string // name, how it is printed
	}{
		{"power", [][2]string{{"watts_mean", "%s W"}, {"joules_per_output_token", "%s J per output token"}, {"cost_per_million_output_tokens", "%s per 1e6 output tokens"}}},
		{"GPU", [][2]string{{"gpu_utilization_percent_mean", "%s %% busy"}, {"gpu_clock_mhz_mean", "%s MHz"}, {"gpu_temperature_c_max", "%s °C at most"}, {"gpu_memory_bytes_max", "%s GiB"}}},
		{"machine", [][2]string{{"cpu_utilization_percent_mean", "%s %% busy"}, {"memory_bytes_max", "%s GiB"}}},
		{"engine", [][2]string{{"requests_running_mean", "%s running"}, {"requests_waiting_mean", "%s waiting"}, {"kv_cache_percent_max", "KV cache %s %% at most"}, {"preemptions", "%s preemptions"}, {"draft_acceptance_rate", "%s of drafts accepted"}}},
	} {
		var said []string
		for _, n := range line.numbers {
			v := e.Telemetry[n[0]]
			if v == nil {
				continue
			}
			if strings.Contains(n[0], "_bytes_") {
				v = ptr(*v / (1 << 30))
			}
			said = append(said, fmt.Sprintf(n[1], short(*v)))
		}
		if len(said) > 0 {
			fmt.Fprintf(b, "%-22s %s\n", line.title, strings.Join(said, ", "))
		}
	}
}

// doubts prints what is not ok or noted, each with its sentence, and the error table.
func doubts(b *strings.Builder, entries []result.Entry, width int) {
	var t strings.Builder
	w := tabwriter.NewWriter(&t, 0, 4, 2, ' ', 0)
	all := doubtsOf(entries)
	for i := range all {
		d := &all[i]
		if i > 0 && d.of == all[i-1].of {
			fmt.Fprintf(w, "\t\t%s\n", d.text())
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", d.of.sign, d.of.address, d.text())
	}
	w.Flush()
	if width > 0 && widest(t.String()) > width {
		t.Reset()
		narrowDoubts(&t, all, width)
	}
	if t.Len() > 0 {
		fmt.Fprintf(b, "\nMarks and failures (* suspect, ! invalid or failed):\n%s", t.String())
	}
	t.Reset()
	w = tabwriter.NewWriter(&t, 0, 4, 2, ' ', 0)
	for i := range entries {
		for _, x := range entries[i].Errors {
			fmt.Fprintf(w, "%d ×\t%s\t%s\t%s\n", x.Count, x.Status, entries[i].Address, firstLine(x.Message))
		}
	}
	w.Flush()
	if width > 0 && widest(t.String()) > width {
		t.Reset()
		for i := range entries {
			for _, x := range entries[i].Errors {
				fmt.Fprintf(&t, "%d × %s  %s\n%s\n", x.Count, x.Status, entries[i].Address, fold("    "+firstLine(x.Message), width, 4))
			}
		}
	}
	if t.Len() > 0 {
		fmt.Fprintf(b, "\nErrors:\n%s", t.String())
	}
	b.WriteByte('\n')
}

// narrowDoubts has a reason a line under each cell, for terminals that a table is too wide for.
func narrowDoubts(b *strings.Builder, all []doubt, width int) {
	for i := range all {
		d := &all[i]
		if i == 0 || d.of != all[i-1].of {
			fmt.Fprintf(b, "%s  %s\n", d.of.sign, d.of.address)
		}
		b.WriteString(fold("    "+d.text(), width, 6) + "\n")
	}
}

// widest is how many characters the longest line has.
func widest(text string) int {
	most := 0
	for line := range strings.SplitSeq(text, "\n") {
		most = max(most, utf8.RuneCountInString(line))
	}
	return most
}

// fold breaks a line between words where it is wider than a terminal (0: there is none), and
// indents what follows.
func fold(line string, width, indent int) string {
	if width <= indent+20 || utf8.RuneCountInString(line) <= width {
		return line
	}
	var b strings.Builder
	at, margin := 0, len(line)-len(strings.TrimLeft(line, " "))
	b.WriteString(line[:margin])
	at = margin
	for i, word := range strings.Fields(line) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
