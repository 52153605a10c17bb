package sinks

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// compatDocs say of each tool what it reports, and in which way that differs from ours.
var compatDocs = map[string]string{
	compatSeed:   "seed is vLLM's multi-turn benchmark.",
	compatVLLM:   "vllm is vllm bench serve, for each measured phase: the first event of a stream ends TTFT, also one of the role; the gaps between all events are ITL; the beginning and the end of the phase are in its rates.",
	compatGenAI:  "genai-bench is its table.",
	compatBenchy: "llama-benchy is its table, a line for the prompts and one for the answers of a test. " + benchyDoc,
}

// compatOwn are the attributes that have a meaning with one tool alone.
var compatOwn = []struct {
	tool string
	attr schema.Attr
}{
	{compatSeed, schema.Attr{Name: "warmup_percentages", Type: schema.StringList, DefaultDoc: `["0%"]`, Doc: `With compat = "seed": leave out so much from the front; a table for each.`}},
	{compatVLLM, schema.Attr{Name: "goodput", Type: schema.StringList, DefaultDoc: "none: no such line", Doc: `With compat = "vllm": what a request that its goodput counts may take, in ms, as ["ttft:500", "tpot:50", "e2el:10000"].`}},
	{compatVLLM, schema.Attr{Name: "detailed", Type: schema.Bool, DefaultDoc: "false", Doc: `With compat = "vllm": also the lists with a value for each request, as its --save-detailed; generated_texts where record { content = true } kept them.`}},
	{compatBenchy, latencyAttr},
}

// compatAttrs are of a sink that can speak as these tools; extra are the tools' own attributes
// that it has.
func compatAttrs(tools []string, extra ...string) []schema.Attr {
	var docs []string
	for _, t := range tools {
		docs = append(docs, compatDocs[t])
	}
	attrs := []schema.Attr{{
		Name: "compat", Type: schema.String, DefaultDoc: "sparkrun's own", Values: tools,
		Doc: "Report another tool's numbers, recomputed from the raw events by its definitions, not by those of sparkrun help metrics. " + strings.Join(docs, " "),
	}}
	for _, own := range compatOwn {
		if slices.Contains(extra, own.attr.Name) {
			attrs = append(attrs, own.attr)
		}
	}
	return attrs
}

func checkCompat(v schema.Values) []schema.Problem {
	var problems []schema.Problem
	for _, own := range compatOwn {
		name := own.attr.Name
		if !v.Has(name) {
			continue
		}
		var err error
		switch {
		case v.String("compat") != own.tool:
			problems = append(problems, schema.Problem{Attr: name, Summary: "Attribute without a meaning", Detail: fmt.Sprintf("%s is of compat = %q: leave it out, or set that.", name, own.tool)})
		case name == "warmup_percentages":
			_, err = percentages(v.Strings(name))
		case name == "goodput":
			_, err = goodputLimits(v.Strings(name))
		}
		if err != nil {
			problems = append(problems, schema.Problem{Attr: name, Summary: "Wrong value", Detail: err.Error() + "."})
		}
	}
	return problems
}

// warmups are the shares that a sink with compat = "seed" leaves out.
func warmups(s plan.Sink) ([]float64, error) {
	if !s.Values.Has("warmup_percentages") {
		return []float64{0}, nil
	}
	return percentages(s.Values.Strings("warmup_percentages"))
}

// compatConsole prints what a tool says of each cell, when the run has ended.
type compatConsole struct {
	w     io.Writer
	print func(b *strings.Builder, r *result.Run, c *result.Cell)
	run   *result.Run
	text  strings.Builder
}

func (*compatConsole) Path() string { return "" }

func (c *compatConsole) Begin(_ context.Context, r *result.Run) error {
	c.run = r
	return nil
}

func (c *compatConsole) Cell(_ context.Context, cell *result.Cell) error {
	c.print(&c.text, c.run, cell)
	return nil
}

func (c *compatConsole) End(_ context.Context, r *result.Run) error {
	doubts(&c.text, r.Entries, 0)
	_, err := io.WriteString(c.w, c.text.String())
	return err
}

// stretch is a measured phase of a cell and what was sent in it.
type stretch struct {
	phase   *plan.Phase
	entry   *result.Entry    // nil: the cell did not come to it
	records []*record.Record // in the order in which they were sent, also those that failed
}

// stretches are a cell's measured phases; of a search those of the value that it found.
func stretches(c *result.Cell) []stretch {
	phases, step := c.Plan.Phases, 0
	if c.Plan.Search != nil {
		phases, step = foundStep(c)
	}
	var all []stretch
	for i := range phases {
		if !phases[i].Measure {
			continue
		}
		s := stretch{phase: &phases[i]}
		if at := slices.IndexFunc(c.Entries, func(e result.Entry) bool { return e.Phase == phases[i].Name }); at >= 0 {
			s.entry = &c.Entries[at]
		}
		for j := range c.Records {
			rec := &c.Records[j]
			if rec.Phase == i && rec.SearchStep == step && rec.Status != record.Unsent && rec.Status != record.Skipped {
				s.records = append(s.records, rec)
			}
		}
		slices.SortStableFunc(s.records, func(a, b *record.Record) int {
			return cmp.Compare(cmp.Or(a.Sent, a.Scheduled), cmp.Or(b.Sent, b.Scheduled)) // a connection that failed sent nothing
		})
		all = append(all, s)
	}
	return all
}

// foundStep is the step of a search that its entry is of: the last one with the value found,
// or with its lowest where it found none.
func foundStep(c *result.Cell) ([]plan.Phase, int) {
	rung, step := &c.Plan.Search.Rungs[0], -1
	for i := range c.Entries {
		if s := c.Entries[i].Search; s != nil && s.Value != nil {
			rung = &c.Plan.Search.Rungs[slices.IndexFunc(c.Plan.Search.Rungs, func(r plan.Rung) bool { return r.Value == *s.Value })]
		}
	}
	for i := range c.Records {
		if c.Records[i].SearchValue == rung.Value {
			step = max(step, c.Records[i].SearchStep)
		}
	}
	return rung.Phases, step
}

// chunks are the times at which the events of a choice came, those without a token too: of
// these the first and the last are known, the others are taken to have come with the first.
// An answer that is not streamed is one.
func chunks(rec *record.Record) []int64 {
	if len(rec.Events) == 0 {
		return []int64{rec.LastToken}
	}
	bare, first, last := int(rec.BareEvents), rec.Events[0].At, rec.LastBare
	if bare > 0 && last > rec.LastToken {
		bare--
	} else {
		last = 0
	}
	at := make([]int64, 0, len(rec.Events)+int(rec.BareEvents))
	for range bare {
		at = append(at, min(first, rec.FirstEvent))
	}
	for _, e := range rec.Events {
		at = append(at, e.At)
	}
	if last > 0 {
		at = append(at, last)
	}
	return at
}

// span is a stretch of a Clock in seconds.
func span(from, to int64) float64 { return time.Duration(to - from).Seconds() }

// statistics are numpy's of some values: its std is that of a population.
func statistics(values []float64) (mean, std float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	for _, v := range values {
		std += (v - mean) * (v - mean) / n
	}
	return mean, math.Sqrt(std)
}
