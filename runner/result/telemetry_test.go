package result

import (
	"fmt"
	"math"
	"testing"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/metric"
)

// series are samples a second apart, the first at second 0.
func series(from string, gpu int32, name string, values ...float64) []record.Sample {
	var out []record.Sample
	for i, v := range values {
		out = append(out, record.Sample{At: int64(i) * 1e9, From: from, GPU: gpu, Name: name, Value: v})
	}
	return out
}

func joined(all ...[]record.Sample) (out []record.Sample) {
	for _, s := range all {
		out = append(out, s...)
	}
	return out
}

// TestObserve: a window from second 1 to 4 has the samples of seconds 1, 2 and 3.
func TestObserve(t *testing.T) {
	seen := map[string]bool{"joules_per_output_token": true, "cost_per_million_output_tokens": true} // TestObserved
	for name, c := range map[string]struct {
		samples []record.Sample
		want    map[string]float64
	}{
		"GPUs of two nodes": {
			joined(series("n1", 0, "gpu_power_watts", 900, 40, 50, 60, 900), series("n2", 0, "gpu_power_watts", 900, 10, 20, 30, 900),
				series("n1", -1, "cpu_power_watts", 7, 7, 7, 7), series("n1", 0, "gpu_temperature_c", 99, 60, 70, 65), series("n1", 0, "gpu_utilization_percent", 0, 80, 90, 100), series("n2", 0, "gpu_utilization_percent", 0, 70, 70, 70), series("n1", 0, "gpu_clock_mhz", 0, 2000, 2200, 2400), series("n2", 0, "gpu_temperature_c", 0, 71, 1, 1),
				series("n1", 0, "gpu_memory_used_bytes", 0, 5, 6, 5), series("n2", 0, "gpu_memory_used_bytes", 0, 3, 2, 2)),
			map[string]float64{"watts_mean": 70, "gpu_utilization_percent_mean": 80, "gpu_clock_mhz_mean": 2200, "gpu_temperature_c_max": 71, "gpu_memory_bytes_max": 9},
		},
		"no GPU": {
			joined(series("n1", -1, "cpu_power_watts", 7, 8, 9, 10, 50), series("n1", -1, "cpu_utilization_percent", 0, 50, 60, 70), series("n1", -1, "memory_used_bytes", 9e9, 5, 7, 6)),
			map[string]float64{"watts_mean": 9, "cpu_utilization_percent_mean": 60, "memory_bytes_max": 7},
		},
		"two replicas": {
			joined(series("s#0", -1, "requests_running", 0, 4, 5, 6, 0), series("s#1", -1, "requests_running", 0, 1, 2, 3, 0),
				series("s#0", -1, "requests_waiting", 0, 0, 3, 0), series("s#1", -1, "requests_waiting", 0, 0, 0, 6),
				series("s#0", -1, "kv_cache_percent", 0, 10, 90, 20), series("s#1", -1, "kv_cache_percent", 99, 10, 10, 10),
				series("s#0", -1, "preemptions", 1, 5, 6, 9, 40), series("s#1", -1, "preemptions", 0, 0, 0, 1, 1),
				series("s#0", -1, "draft_tokens", 0, 100, 200, 300), series("s#0", -1, "accepted_draft_tokens", 0, 10, 90, 160)),
			map[string]float64{"requests_running_mean": 7, "requests_waiting_mean": 3, "requests_waiting_max": 9, "kv_cache_percent_max": 90, "preemptions": 5, "draft_acceptance_rate": 0.75},
		},
		"a counter that began anew": {series("s", -1, "preemptions", 1, 5, 6, 2), map[string]float64{}},
		"nothing drafted":           {joined(series("s", -1, "draft_tokens", 1, 1, 1, 1), series("s", -1, "accepted_draft_tokens", 1, 1, 1, 1)), map[string]float64{}},
		"nothing":                   {nil, map[string]float64{}},
	} {
		if got, why := Observe(c.samples, 1e9, 4e9); fmt.Sprint(got) != fmt.Sprint(c.want) || why != "" {
			t.Errorf("%s: %v %q, want %v", name, got, why, c.want)
		}
		for name := range c.want {
			seen[name] = true
		}
	}
	for _, n := range metric.Telemetry() {
		if !seen[n.Name] {
			t.Errorf("%s is told in no window", n.Name)
		}
	}
}

func TestThrottled(t *testing.T) {
	gpu := func(reasons, mhz, watts, busy []float64) []record.Sample {
		return joined(series("spark1", 2, "gpu_clocks_event_reasons", reasons...), series("spark1", 2, "gpu_clock_mhz", mhz...), series("spark1", 2, "gpu_power_watts", watts...), series("spark1", 2, "gpu_utilization_percent", busy...))
	}
	hot := joined(gpu([]float64{0x20, 0x60, 0, 0}, nil, nil, nil), series("spark1", 2, "gpu_temperature_c", 80, 86, 85, 85))
	slow := []float64{700, 780, 790, 800, 3000}
	for name, c := range map[string]struct {
		samples []record.Sample
		want    string
	}{
		"as it should be":      {gpu([]float64{0, 0, 0, 0, 0}, []float64{2405, 2405, 2405, 2405, 2405}, []float64{90, 90, 90, 90, 90}, []float64{96, 96, 96, 96, 96}), ""},
		"at its power limit":   {gpu([]float64{4, 4, 4, 4}, nil, nil, nil), ""},
		"hot":                  {hot, "GPU 2 of spark1 was slowed down in 50 % of the samples: it was too hot (86 °C at most)"},
		"hot once":             {gpu([]float64{0, 0x20, 0, 0}, nil, nil, nil), ""},
		"power brake":          {gpu([]float64{0x88, 0x80, 0x80, 0x80}, nil, nil, nil), "GPU 2 of spark1 was slowed down in 100 % of the samples: its power supply said so"},
		"hardware":             {gpu([]float64{8, 8, 8, 8}, nil, nil, nil), "GPU 2 of spark1 was slowed down in 100 % of the samples: by its hardware, for heat or power"},
		"stuck":                {gpu(nil, slow, []float64{19, 19.5, 20, 18, 90}, []float64{96, 96, 96, 40, 96}), "GPU 2 of spark1 was busy at 790 MHz and 20 W: a low-power state that it does not leave by itself; take its power supply off for a minute"},
		"slow and idle":        {gpu(nil, slow, []float64{5, 5, 5, 5, 5}, []float64{0, 0, 0, 96, 96}), ""},
		"slow with much power": {gpu(nil, slow, []float64{60, 60, 60, 60, 60}, []float64{96, 96, 96, 96, 96}), ""},
		"too short to tell":    {gpu(nil, slow[:4], []float64{19, 19, 19, 19}, []float64{96, 96, 96, 96}), ""},
	} {
		if _, got := Observe(c.samples, 0, 100e9); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestObserved: 50 W at 25 tokens/s are 2 J a token, and 3.6 an hour at 25 tokens/s are 40 a
// million; without tokens there is neither.
func TestObserved(t *testing.T) {
	ran := load.PhaseOutcome{Observed: map[string]float64{"watts_mean": 50, PricePerHour: 3.6}}
	e := Entry{Telemetry: map[string]*float64{}, Throughput: map[string]*float64{"output_tokens_per_s": ptr(25)}}
	e.observed(ran)
	for path, want := range map[string]float64{"telemetry.watts_mean": 50, "telemetry.joules_per_output_token": 2, "telemetry.cost_per_million_output_tokens": 40} {
		if got := e.Value(path); got == nil || math.Abs(*got-want) > 1e-9 {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	silent := Entry{Telemetry: map[string]*float64{}, Throughput: map[string]*float64{"output_tokens_per_s": ptr(0)}}
	if silent.observed(ran); len(silent.Telemetry) != 1 {
		t.Errorf("without a token: %v", silent.Telemetry)
	}
}
