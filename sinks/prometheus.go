package sinks

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// prometheus is the run's own metrics: served while it goes on, and a file at its end.
type prometheus struct {
	board
	path, listen string
	site         *site
}

func init() {
	register(schema.Kind{
		Name: "prometheus",
		Doc: "The run's metrics in Prometheus' text format: a file at its end (for the text-file collector of node_exporter), and with listen served at /metrics while it goes on. " +
			"Numbers of finished cells are sparkrun_NAME{stat, …} under the names of help metrics, running cells sparkrun_live_NAME.",
		Attrs: []schema.Attr{
			pathAttr("metrics.prom"),
			{Name: "listen", Type: schema.String, DefaultDoc: "nothing is served", Doc: "Address of /metrics, as 127.0.0.1:9464; a port alone is this machine's own interface."},
		},
	}, newPrometheus)
}

func newPrometheus(s plan.Sink, dir string, env Env) (Sink, error) {
	p := &prometheus{path: pathOf(s, dir)}
	if !env.Again {
		p.listen = s.Values.String("listen")
	}
	return p, nil
}

func (p *prometheus) Path() string { return p.path }

func (p *prometheus) Begin(_ context.Context, r *result.Run) error {
	if err := writable(p.path); err != nil {
		return err
	}
	p.begin(r)
	if p.listen == "" {
		return nil
	}
	l, err := Listen(p.listen)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", p.metrics)
	p.site = &site{listener: l}
	p.site.serve(mux)
	return nil
}

// Live takes how a running cell is.
func (p *prometheus) Live(l Live) { p.live(l) }

func (p *prometheus) Cell(_ context.Context, c *result.Cell) error {
	p.cell(c)
	return nil
}

func (p *prometheus) End(_ context.Context, r *result.Run) error {
	if p.site != nil {
		if err := p.site.close(); err != nil {
			return err
		}
	}
	return replace(p.path, func(w io.Writer) error {
		_, err := w.Write(exposition(r, r.Entries, nil, len(r.Entries), len(r.Plan.Cells), -1))
		return err
	})
}

// metrics answers a scrape.
func (b *board) metrics(w http.ResponseWriter, _ *http.Request) {
	info, entries, running, done, total, remaining := b.now()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(exposition(&info, entries, running, done, total, remaining))
}

// family is the samples of one metric, which stand together in the text format.
type family struct {
	name    string
	help    string
	samples []string
}

// families are in the order in which they came up.
type families []*family

func (f *families) add(name, help string, value float64, labels ...string) {
	i := slices.IndexFunc(*f, func(x *family) bool { return x.name == name })
	if i < 0 {
		i = len(*f)
		*f = append(*f, &family{name: name, help: help})
	}
	var pairs []string
	for k := 0; k < len(labels); k += 2 {
		pairs = append(pairs, labels[k]+`="`+labelValue.Replace(labels[k+1])+`"`)
	}
	(*f)[i].samples = append((*f)[i].samples, "{"+strings.Join(pairs, ",")+"} "+strconv.FormatFloat(value, 'g', -1, 64))
}

var labelValue = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// exposition is a run as Prometheus reads it (text format 0.0.4).
func exposition(r *result.Run, entries []result.Entry, running []Live, done, total int, remaining float64) []byte {
	var f families
	run := []string{"run", r.ID, "scenario", r.Scenario}
	f.add("sparkrun_run_info", "Which run this is.", 1, append(slices.Clone(run), "version", r.Version)...)
	f.add("sparkrun_cells", "Cells of the plan.", float64(total), run...)
	f.add("sparkrun_cells_done", "Cells that have ended.", float64(min(done, total)), run...)
	if remaining >= 0 {
		f.add("sparkrun_remaining_seconds", "Estimated time to the end of the run.", remaining, run...)
	}
	for _, l := range running {
		labels := append(slices.Clone(run), "cell", l.Cell, "phase", l.Phase)
		for _, n := range []struct {
			name, help string
			value      float64
		}{
			{"in_flight", "Requests in flight.", float64(l.InFlight)}, {"sent", "Requests of the cell that were sent.", float64(l.Sent)},
			{"ok", "Requests that succeeded.", float64(l.OK)}, {"failed", "Requests that failed.", float64(l.Failed)},
			{"output_tokens_per_s", "Output tokens over the last second.", l.OutputTokensPerS}, {"ttft_mean_ms", "Mean TTFT of the ok requests so far.", l.TTFTMeanMS},
			{"phase_done", "Share of the phase that is done, -1 unknown.", l.Done},
		} {
			f.add("sparkrun_live_"+n.name, n.help, n.value, labels...)
		}
	}
	all := paths(r.Plan)
	for i := range entries {
		e := &entries[i]
		labels := append(slices.Clone(run), "benchmark", e.Benchmark, "server", e.Server, "repeat", strconv.Itoa(e.Repeat), "phase", e.Phase)
		for _, a := range e.Axes {
			if v, ok := e.Matrix[a]; ok {
				labels = append(labels, "axis_"+labelName(a), v)
			}
		}
		f.add("sparkrun_verdict", "How far the cell can be trusted; always 1.", 1, append(slices.Clone(labels), "verdict", string(e.Verdict))...)
		for _, m := range e.Marks {
			f.add("sparkrun_mark", "What the cell is marked with; always 1.", 1, append(slices.Clone(labels), "mark", m.Name, "why", m.Why)...)
		}
		for _, path := range all {
			v := e.Value(path)
			if v == nil || strings.HasPrefix(path, "turns.") {
				continue
			}
			name, more := metricName(path)
			f.add(name, "See: sparkrun help metrics.", *v, append(slices.Clone(labels), more...)...)
		}
	}
	for _, t := range sortedThresholds(r.Thresholds) {
		met := map[bool]float64{true: 1}[t.Pass]
		f.add("sparkrun_threshold_met", "Whether the threshold is met: 1 or 0.", met, append(slices.Clone(run), "threshold", t.Name, "cell", t.Address, "phase", t.Phase)...)
	}
	var out bytes.Buffer
	for _, x := range f {
		fmt.Fprintf(&out, "# HELP %s %s\n# TYPE %s gauge\n", x.name, x.help, x.name)
		for _, s := range x.samples {
			out.WriteString(x.name + s + "\n")
		}
	}
	return out.Bytes()
}

// metricName is a path of an entry as a metric and the labels that the path has in it.
func metricName(path string) (name string, labels []string) {
	group, rest, _ := strings.Cut(path, ".")
	switch group {
	case "metrics":
		field, stat, _ := strings.Cut(rest, ".")
		return "sparkrun_" + labelName(field), []string{"stat", stat}
	case "throughput":
		return "sparkrun_" + rest, nil
	case "goodput":
		slo, number, _ := strings.Cut(rest, ".")
		return "sparkrun_goodput_" + number, []string{"slo", slo}
	}
	return "sparkrun_" + labelName(strings.ReplaceAll(path, ".", "_")), nil
}

// labelName makes a name one that Prometheus takes.
func labelName(name string) string {
	return strings.Map(func(c rune) rune {
		if c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '_'
	}, name)
}
