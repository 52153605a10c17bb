package sinks

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sparkrun/runner/result"
	"sparkrun/scenario/metric"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// The parts of the page. uPlot 1.6.32 (MIT, html/uPlot.LICENSE) draws the charts.
var (
	//go:embed html/page.html
	pageHTML string
	//go:embed html/report.css
	pageCSS string
	//go:embed html/report.js
	pageJS string
	//go:embed html/uPlot.iife.min.js
	uPlotJS string
	//go:embed html/uPlot.min.css
	uPlotCSS string
)

var page = template.Must(template.New("page").Parse(pageHTML))

// html writes a report in one file that needs no network. Of each cell it keeps what the
// charts show, so that neither memory nor the file grow with the requests.
type html struct {
	path string
	data htmlData
}

// htmlData is the JSON that the page is made of.
type htmlData struct {
	Run           *result.Run                               `json:"run"`
	Benchmarks    []string                                  `json:"benchmarks"`
	Cells         []result.Entry                            `json:"cells"`
	Thresholds    []result.ThresholdResult                  `json:"thresholds"`
	Distributions map[string]map[string]result.Distribution `json:"distributions"` // by address and phase
	Timelines     map[string]*result.Timeline               `json:"timelines"`     // by address
	Differences   []htmlDifference                          `json:"differences"`
	NotTested     string                                    `json:"notTested"` // what is said where repeats are too few
	Files         []htmlFile                                `json:"files"`
	Variables     [][2]string                               `json:"variables"`
	Servers       [][2]string                               `json:"servers"`
	MarkDocs      [][2]string                               `json:"markDocs"`
	MetricDocs    [][2]string                               `json:"metricDocs"`
}

// htmlDifference is what is known of two servers in a cell, in words.
type htmlDifference struct {
	Benchmark string `json:"benchmark"`
	Cell      string `json:"cell"`
	Base      string `json:"base"`
	Other     string `json:"other"`
	Tested    bool   `json:"tested"`
	Different bool   `json:"different"`
	Text      string `json:"text"`
}

type htmlFile struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

func init() {
	register(schema.Kind{
		Name: "html", Doc: "A report in one file that needs no network: comparison, charts, tables, the scenario, marks explained.",
		Attrs: []schema.Attr{pathAttr("report.html")},
	}, newHTML)
}

func newHTML(s plan.Sink, dir string, _ Env) (Sink, error) {
	return &html{path: pathOf(s, dir)}, nil
}

func (h *html) Path() string { return h.path }

func (h *html) Begin(_ context.Context, r *result.Run) error {
	h.begin(r)
	return writable(h.path)
}

// begin takes what is known of a run before its first cell.
func (h *html) begin(r *result.Run) {
	h.data = htmlData{
		Distributions: map[string]map[string]result.Distribution{}, Timelines: map[string]*result.Timeline{},
		Files: scenarioFiles(r.Plan), Variables: [][2]string{}, Servers: [][2]string{},
	}
	for _, b := range r.Plan.Benchmarks {
		h.data.Benchmarks = append(h.data.Benchmarks, b.Name)
	}
	for _, v := range r.Plan.Variables {
		h.data.Variables = append(h.data.Variables, [2]string{"var." + v.Name, fmt.Sprintf("%s (%s)", v.Value, v.Source)})
	}
	for i := range r.Plan.Servers {
		s := &r.Plan.Servers[i]
		h.data.Servers = append(h.data.Servers, [2]string{s.Address, described(s)})
	}
	for _, m := range result.Marks() {
		h.data.MarkDocs = append(h.data.MarkDocs, [2]string{m.Name, m.Sentence})
	}
	for _, n := range slices.Concat(metric.Request(), []metric.Number{metric.ITL}, metric.Throughput(), metric.Counts(), metric.Telemetry()) {
		h.data.MetricDocs = append(h.data.MetricDocs, [2]string{n.Name, n.Doc})
	}
}

// found are the servers of a run as they were found, in words.
func found(r *result.Run) [][2]string {
	var rows [][2]string
	for i := range r.Servers {
		rows = append(rows, [2]string{r.Servers[i].Server + " as found (" + r.Servers[i].ID + ")", r.Servers[i].Text()})
	}
	return rows
}

// described is a server in words: framework, place, and the engine's flags.
func described(s *plan.Server) string {
	text := s.Framework
	if s.URL != "" {
		text += " at " + s.URL
	}
	if s.Model != "" {
		text += ", model " + s.Model
	}
	if len(s.Options) > 0 {
		if b, err := json.Marshal(s.Options); err == nil {
			text += ", options " + string(b)
		}
	}
	return text
}

// scenarioFiles are the scenario's texts as far as they can still be read; secrets that
// stand in them are replaced.
func scenarioFiles(p *plan.Plan) []htmlFile {
	files := []htmlFile{}
	for _, path := range p.Files {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // standard input, or gone: the plan is in run.json
		}
		text := string(b)
		for _, secret := range p.Secrets {
			text = strings.ReplaceAll(text, secret, "(sensitive)")
		}
		files = append(files, htmlFile{filepath.Base(path), text})
	}
	return files
}

func (h *html) Cell(_ context.Context, c *result.Cell) error {
	for i := range c.Entries {
		e := &c.Entries[i]
		h.data.Distributions[e.Address+" "+e.Phase] = result.Distributions(c, e)
	}
	if t := result.NewTimeline(c); t != nil {
		h.data.Timelines[c.Plan.Name] = t
	}
	return nil
}

func (h *html) End(_ context.Context, r *result.Run) error {
	h.data.Servers = append(h.data.Servers, found(r)...)
	h.data.results(r, r.Entries, r.Thresholds)
	return replace(h.path, func(w io.Writer) error {
		out := bufio.NewWriter(w)
		if err := h.data.write(out, ""); err != nil {
			return err
		}
		return out.Flush()
	})
}

// results are those of the cells so far; lists are never null in the page's JSON.
func (d *htmlData) results(r *result.Run, entries []result.Entry, thresholds []result.ThresholdResult) {
	d.Run, d.Cells, d.Thresholds = r, append([]result.Entry{}, entries...), append([]result.ThresholdResult{}, thresholds...)
	d.Differences, d.NotTested = []htmlDifference{}, result.NotTested
	for _, b := range d.Benchmarks {
		pairs, _ := pairsOf(b, entries)
		for i := range pairs {
			c := &pairs[i]
			decided := c.Numbers[result.Deciding].Different
			d.Differences = append(d.Differences, htmlDifference{b, cellOf(c), server(c.Base), server(c.Other), decided != nil, decided != nil && *decided, decision(c)})
		}
	}
}

// write writes the page; live is the script of one that is served while the run goes on.
func (d *htmlData) write(w io.Writer, live string) error {
	data, err := json.Marshal(d) // escapes <, > and &, so that no text can end the script
	if err != nil {
		return err
	}
	return page.Execute(w, map[string]any{
		"Title": d.Run.Scenario + " " + d.Run.ID, "Data": template.JS(data), "Live": template.JS(live),
		"CSS": template.CSS(pageCSS), "UPlotCSS": template.CSS(uPlotCSS), "JS": template.JS(pageJS), "UPlotJS": template.JS(uPlotJS),
	})
}
