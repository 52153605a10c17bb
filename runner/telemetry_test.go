package runner

import (
	"strings"
	"testing"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
)

// TestCountersAgainstRequests: 100 answers of 10 tokens; one was sent twice, one failed.
func TestCountersAgainstRequests(t *testing.T) {
	var whole []record.Record
	for range 100 {
		whole = append(whole, record.Record{Sent: 1, Status: record.OK, OutputTokens: 10, AskedMax: 10})
	}
	cut := append([]record.Record{{Sent: 1, Status: record.Timeout, OutputTokens: -1, AskedMax: 500}, {Status: record.Unsent, AskedMax: 10}}, whole...)
	again := append([]record.Record{{Sent: 1, Status: record.OK, OutputTokens: 10, AskedMax: 100, Retries: 1}}, whole...)
	endless := append([]record.Record{{Sent: 1, Status: record.Cancelled, OutputTokens: -1, AskedMax: -1}}, whole...)
	for name, c := range map[string]struct {
		records          []record.Record
		requests, tokens float64
		want             load.Counted
	}{
		"as many":              {whole, 100, 1000, load.Counted{}},
		"within a percent":     {whole, 101, 1010, load.Counted{}},
		"others too":           {whole, 102, 1020, load.Counted{Foreign: "server.a counted 102 requests while 100 were sent to it: others used it"}},
		"more tokens":          {whole, 100, 1011, load.Counted{Mismatch: "server.a counted 1011 output tokens, and the answers had 1000"}},
		"fewer tokens":         {whole, 100, 989, load.Counted{Mismatch: "server.a counted 989 output tokens, and the answers had 1000"}},
		"one was cut":          {cut, 101, 1499, load.Counted{}},
		"one was cut, more":    {cut, 101, 1600, load.Counted{Mismatch: "server.a counted 1600 output tokens, and the answers had 1000 (1500 at most, with those that were cut)"}},
		"one was sent twice":   {again, 102, 1110, load.Counted{}},
		"no limit to what was": {endless, 101, 99999, load.Counted{}},
	} {
		before := map[string]float64{"requests_finished": 7, "generation_tokens": 70}
		after := map[string]float64{"requests_finished": 7 + c.requests, "generation_tokens": 70 + c.tokens}
		if got := sentOf(c.records).contradicts("server.a", before, after); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if got := sentOf(whole).contradicts("server.a", nil, nil); got != (load.Counted{}) {
		t.Errorf("without counters: %+v", got)
	}
}

func TestRestarts(t *testing.T) {
	samples := func(from string, values ...float64) (out []record.Sample) {
		for i, v := range values {
			out = append(out, record.Sample{At: int64(i), From: from, Name: "generation_tokens", Value: v}, record.Sample{At: int64(i), From: from, Name: "prompt_tokens", Value: 2 * v}, record.Sample{At: int64(i), From: from, Name: "requests_running", Value: float64(5 - i)})
		}
		return out
	}
	for name, c := range map[string]struct {
		samples []record.Sample
		times   int
		first   int64
	}{
		"none":         {samples("s", 1, 2, 2, 9), 0, 0},
		"one":          {samples("s", 1, 2, 0, 9), 1, 2},
		"several":      {samples("s", 1, 900, 2, 901), 1, 2},
		"two replicas": {append(samples("s#0", 900, 901), samples("s#1", 1, 2)...), 0, 0},
		"two servers":  {samples("s", 1, 900, 2, 901, 3, 902), 2, 2},
	} {
		if times, first := restarts(c.samples); times != c.times || first != c.first {
			t.Errorf("%s: %d, first at %d; want %d, %d", name, times, first, c.times, c.first)
		}
	}
}

// TestSampledNodes: of a server that runs already, its nodes are known where they are given,
// or where its url is this machine.
func TestSampledNodes(t *testing.T) {
	for _, c := range []struct{ url, nodes, want string }{
		{"", "local", "local"}, {"", "spark1 spark2 spark1", "spark1 spark2"},
		{"http://127.0.0.1:8000/v1", "local", "local"}, {"http://localhost:8000/v1", "local", "local"}, {"http://[::1]:8000/v1", "local", "local"},
		{"http://192.168.1.5:8000/v1", "local", ""}, {"https://api.example.com/v1", "local", ""}, {"http://192.168.1.5:8000/v1", "spark1", "spark1"},
	} {
		srv := &server{plan: &plan.Server{URL: c.url, Nodes: strings.Fields(c.nodes)}}
		if got := strings.Join(srv.sampledNodes(), " "); got != c.want {
			t.Errorf("%s on %s: %q, want %q", c.url, c.nodes, got, c.want)
		}
	}
}
