package result

import (
	"fmt"
	"math"
	"slices"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
)

// PricePerHour is the name in load.PhaseOutcome.Observed of what the nodes of a server cost.
const PricePerHour = "price_per_hour"

// Observe is what samples say of a window, by the names of metric.Telemetry, and in which way
// a GPU was slowed down in it, "" if none was. Samples of counters just before and after the
// window belong to none.
func Observe(samples []record.Sample, from, to int64) (observed map[string]float64, throttled string) {
	o := observation{}
	for _, s := range samples {
		if s.At < from || s.At >= to {
			continue
		}
		o.add(s)
	}
	observed = map[string]float64{}
	for name, v := range map[string]float64{
		"watts_mean":                   o.power(),
		"gpu_utilization_percent_mean": mean(o.each("gpu_utilization_percent", mean)),
		"gpu_clock_mhz_mean":           mean(o.each("gpu_clock_mhz", mean)),
		"gpu_temperature_c_max":        most(o.each("gpu_temperature_c", most)),
		"gpu_memory_bytes_max":         sum(o.each("gpu_memory_used_bytes", most)),
		"cpu_utilization_percent_mean": mean(o.each("cpu_utilization_percent", mean)),
		"memory_bytes_max":             most(o.each("memory_used_bytes", most)),
		"requests_running_mean":        sum(o.each("requests_running", mean)),
		"requests_waiting_mean":        sum(o.each("requests_waiting", mean)),
		"requests_waiting_max":         sum(o.each("requests_waiting", most)),
		"kv_cache_percent_max":         most(o.each("kv_cache_percent", most)),
		"preemptions":                  sum(o.each("preemptions", counted)),
		"draft_acceptance_rate":        sum(o.each("accepted_draft_tokens", counted)) / sum(o.each("draft_tokens", counted)),
	} {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			observed[name] = v
		}
	}
	return observed, o.throttled()
}

// line is what was sampled of one thing in a window, in the order of time.
type line struct {
	from   string
	gpu    int32
	name   string
	values []float64
}

type observation []line

func (o *observation) add(s record.Sample) {
	i := slices.IndexFunc(*o, func(l line) bool { return l.name == s.Name && l.from == s.From && l.gpu == s.GPU })
	if i < 0 {
		i = len(*o)
		*o = append(*o, line{from: s.From, gpu: s.GPU, name: s.Name})
	}
	(*o)[i].values = append((*o)[i].values, s.Value)
}

// each reduces every line of a name to a number.
func (o observation) each(name string, to func([]float64) float64) []float64 {
	var out []float64
	for _, l := range o {
		if l.name == name {
			out = append(out, to(l.values))
		}
	}
	return out
}

// power is that of all GPUs, of the processors where there are none; NaN where nothing says.
func (o observation) power() float64 {
	if gpus := sum(o.each("gpu_power_watts", mean)); !math.IsNaN(gpus) {
		return gpus
	}
	return sum(o.each("cpu_power_watts", mean))
}

// of is what was sampled of the same GPU under another name, nil for nothing.
func (o observation) of(gpu line, name string) []float64 {
	for _, l := range o {
		if l.name == name && l.from == gpu.from && l.gpu == gpu.gpu {
			return l.values
		}
	}
	return nil
}

// Why a GPU's clock is low (NVML's nvmlClocksEventReasons). A GPU at its power limit (4) is
// as it should be under load, and not among them.
const (
	slowedByHardware   = 0x08
	slowedByDriverHeat = 0x20
	slowedByHeat       = 0x40
	slowedByPowerBrake = 0x80
)

const (
	// throttledShare is the share of samples above which a GPU was slowed down.
	throttledShare = 0.05
	// A GPU that is busy and has so few MHz and W is stuck in a low-power state that no reason
	// shows: GB10s were seen at 500 to 850 MHz and 15 to 20 W, and are at 2000 MHz or above and
	// 35 W or more at work.
	busyPercent, stuckMHz, stuckWatts = 50, 1000, 35
	// fewSamples is too few to call a GPU stuck.
	fewSamples = 5
)

// throttled says how the first GPU that was slowed down was, "" for none.
func (o observation) throttled() string {
	for _, l := range o {
		if l.name != "gpu_clocks_event_reasons" {
			continue
		}
		slow, reasons := 0, 0
		for _, v := range l.values {
			if bits := int(v) & (slowedByHardware | slowedByDriverHeat | slowedByHeat | slowedByPowerBrake); bits != 0 {
				slow, reasons = slow+1, reasons|bits
			}
		}
		if share := float64(slow) / float64(len(l.values)); slow > 1 && share > throttledShare {
			return fmt.Sprintf("GPU %d of %s was slowed down in %.0f %% of the samples: %s%s", l.gpu, l.from, 100*share, whySlow(reasons), o.hottest(l))
		}
	}
	for _, l := range o {
		if l.name != "gpu_utilization_percent" || len(l.values) < fewSamples || median(l.values) < busyPercent {
			continue
		}
		mhz, watts := o.of(l, "gpu_clock_mhz"), o.of(l, "gpu_power_watts")
		if len(mhz) > 0 && len(watts) > 0 && median(mhz) < stuckMHz && median(watts) < stuckWatts {
			return fmt.Sprintf("GPU %d of %s was busy at %.0f MHz and %.0f W: a low-power state that it does not leave by itself; take its power supply off for a minute", l.gpu, l.from, median(mhz), median(watts))
		}
	}
	return ""
}

func whySlow(reasons int) string {
	switch {
	case reasons&(slowedByDriverHeat|slowedByHeat) != 0:
		return "it was too hot"
	case reasons&slowedByPowerBrake != 0:
		return "its power supply said so"
	}
	return "by its hardware, for heat or power"
}

func (o observation) hottest(gpu line) string {
	if t := most(o.of(gpu, "gpu_temperature_c")); !math.IsNaN(t) {
		return fmt.Sprintf(" (%.0f °C at most)", t)
	}
	return ""
}

// mean of values; NaN for none, as for the others.
func mean(v []float64) float64 { return sum(v) / float64(len(v)) }

func sum(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	total := 0.0
	for _, x := range v {
		total += x
	}
	return total
}

func most(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	return slices.Max(v)
}

// counted is by how much a counter went up; NaN where it went down: it began anew.
func counted(v []float64) float64 {
	if len(v) < 2 || v[len(v)-1] < v[0] {
		return math.NaN()
	}
	return v[len(v)-1] - v[0]
}

// observed fills in what nodes and server said of themselves, and what follows from it.
func (e *Entry) observed(ran load.PhaseOutcome) {
	for name, v := range ran.Observed {
		if name != PricePerHour {
			e.Telemetry[name] = ptr(v)
		}
	}
	tokens := e.Throughput["output_tokens_per_s"]
	if tokens == nil || *tokens <= 0 {
		return
	}
	if watts, ok := ran.Observed["watts_mean"]; ok {
		e.Telemetry["joules_per_output_token"] = ptr(watts / *tokens)
	}
	if price, ok := ran.Observed[PricePerHour]; ok {
		const hour, million = 3600, 1e6
		e.Telemetry["cost_per_million_output_tokens"] = ptr(price / (*tokens * hour) * million)
	}
}

// counted marks an entry whose server's own counters contradict it.
func (e *Entry) counted(c *load.Counted) {
	if c.Restarted != "" {
		e.Add("server_restarted", c.Restarted)
	}
	if c.Foreign != "" {
		e.Add("foreign_traffic", c.Foreign)
	}
	if c.Mismatch != "" {
		e.Add("count_mismatch", c.Mismatch)
	}
}
