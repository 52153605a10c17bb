package result

import (
	"math"
	"slices"
	"strconv"
	"time"

	"sparkrun/runner/record"
)

// Brief is a number as charts have it: four significant digits, null where undefined.
type Brief float64

// MarshalJSON writes null for what JSON has no number for.
func (b Brief) MarshalJSON() ([]byte, error) {
	f := float64(b)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, f, 'g', 4, 64), nil
}

// Timeline is a cell over its own time: rates and requests in flight in bins, and its phases.
type Timeline struct {
	BinSeconds       float64 `json:"bin_s"`
	OutputTokensPerS []Brief `json:"output_tokens_per_s"`
	InFlight         []Brief `json:"in_flight"`
	FailedPerS       []Brief `json:"failed_per_s"`
	Phases           []Span  `json:"phases"`
	// Telemetry is what the nodes and the server said of themselves in each bin, by the names
	// of timed; null where they said nothing.
	Telemetry map[string][]Brief `json:"telemetry,omitempty"`
}

// Span is when a phase ran, in seconds from the cell's begin.
type Span struct {
	Name    string `json:"name"`
	Measure bool   `json:"measure"`
	Start   Brief  `json:"start_s"`
	End     Brief  `json:"end_s"`
}

// mostBins bounds a timeline; a second is the shortest bin.
const mostBins = 600

// NewTimeline makes a cell's timeline from its records, nil where nothing ran.
func NewTimeline(c *Cell) *Timeline {
	phases := c.Outcome.Phases
	if len(phases) == 0 {
		return nil
	}
	start, end := phases[0].Start, phases[len(phases)-1].End
	for i := range c.Records {
		end = max(end, c.Records[i].StreamEnd)
	}
	if end <= start {
		return nil
	}
	bin := max(int64(time.Second), (end-start+mostBins-1)/mostBins)
	n := int((end-start)/bin) + 1
	t := &Timeline{BinSeconds: float64(bin) / 1e9, OutputTokensPerS: make([]Brief, n), InFlight: make([]Brief, n), FailedPerS: make([]Brief, n)}
	for _, p := range phases {
		t.Phases = append(t.Phases, Span{p.Name, p.Measure, Brief(float64(p.Start-start) / 1e9), Brief(float64(p.End-start) / 1e9)})
	}
	at := func(ns int64) int { return min(n-1, max(0, int((ns-start)/bin))) }
	for i := range c.Records {
		rec := &c.Records[i]
		if rec.Sent == 0 {
			continue
		}
		to := max(rec.StreamEnd, rec.LastToken)
		for b := at(rec.Sent); b <= at(to); b++ {
			from := start + int64(b)*bin
			t.InFlight[b] += Brief(float64(min(to, from+bin)-max(rec.Sent, from)) / float64(bin))
		}
		if rec.Status != record.OK {
			t.FailedPerS[at(to)] += Brief(1e9 / float64(bin))
			continue
		}
		arrivals(rec, func(ns int64, tokens float64) {
			t.OutputTokensPerS[at(ns)] += Brief(tokens * 1e9 / float64(bin))
		})
	}
	t.Telemetry = timedTelemetry(c.Samples, start, bin, n)
	return t
}

// timed are the lines of a timeline's telemetry.
var timed = map[string]func(observation) float64{
	"watts":                   observation.power,
	"gpu_clock_mhz":           func(o observation) float64 { return mean(o.each("gpu_clock_mhz", mean)) },
	"gpu_temperature_c":       func(o observation) float64 { return most(o.each("gpu_temperature_c", most)) },
	"cpu_utilization_percent": func(o observation) float64 { return mean(o.each("cpu_utilization_percent", mean)) },
	"requests_running":        func(o observation) float64 { return sum(o.each("requests_running", mean)) },
	"requests_waiting":        func(o observation) float64 { return sum(o.each("requests_waiting", mean)) },
	"kv_cache_percent":        func(o observation) float64 { return most(o.each("kv_cache_percent", most)) },
}

// timedTelemetry puts samples into n bins of so many ns; of what nobody said there is no line.
func timedTelemetry(samples []record.Sample, start, bin int64, n int) map[string][]Brief {
	bins := make([]observation, n)
	for _, s := range samples {
		if b := (s.At - start) / bin; s.At >= start && b < int64(n) {
			bins[b].add(s)
		}
	}
	lines := map[string][]Brief{}
	for name, of := range timed {
		line, said := make([]Brief, n), false
		for i := range bins {
			v := of(bins[i])
			line[i], said = Brief(v), said || !math.IsNaN(v)
		}
		if said {
			lines[name] = line
		}
	}
	return lines
}

// Distribution is the percentiles 0, 1 … 100 of some values; nil of none.
type Distribution []Brief

// charted are the fields whose distributions charts show; gaps come from the events.
var charted = []string{"ttft_ms", "tpot_ms", "latency_ms"}

// mostGaps bounds the gaps that a distribution is made of; of more every n-th is taken.
const mostGaps = 1 << 20

// Distributions are those of a measured phase's ok requests by field, and of itl_ms. In a
// search they are of the step that the entry is of.
func Distributions(c *Cell, e *Entry) map[string]Distribution {
	var ok []*record.Record
	gaps := 0
	for i := range c.Records {
		rec := &c.Records[i]
		if rec.Status != record.OK || c.Plan.Phases[rec.Phase].Name != e.Phase {
			continue
		}
		if e.Search != nil && (e.Search.Value == nil || rec.SearchValue != *e.Search.Value) {
			continue
		}
		ok = append(ok, rec)
		gaps += max(0, len(rec.Events)-1)
	}
	out := map[string]Distribution{}
	for _, name := range charted {
		column := make([]float64, 0, len(ok))
		for _, rec := range ok {
			column = append(column, values[name](rec))
		}
		out[name] = newDistribution(column)
	}
	every := gaps/mostGaps + 1
	column := make([]float64, 0, gaps/every+1)
	for n, i := 0, 0; i < len(ok); i++ {
		for j := 1; j < len(ok[i].Events); j++ {
			if n++; n%every == 0 {
				column = append(column, float64(ok[i].Events[j].At-ok[i].Events[j-1].At)/1e6)
			}
		}
	}
	out["itl_ms"] = newDistribution(column)
	return out
}

func newDistribution(v []float64) Distribution {
	v = slices.DeleteFunc(v, math.IsNaN)
	if len(v) == 0 {
		return nil
	}
	slices.Sort(v)
	d := make(Distribution, 101)
	for i := range d {
		d[i] = Brief(Percentile(v, float64(i)/100))
	}
	return d
}
