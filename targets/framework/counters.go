package framework

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"sparkrun/targets"
)

// engineNumber is a number of the telemetry (metric.Samples) and how engines call it on
// their /metrics: vLLM, SGLang with --enable-metrics, llama.cpp with --metrics.
type engineNumber struct {
	name  string
	names []string
	mean  bool    // of the engine's parts (labels), which are added up otherwise
	times float64 // 0 is 1
}

var engineNumbers = []engineNumber{
	{name: "requests_running", names: []string{"vllm:num_requests_running", "sglang:num_running_reqs", "llamacpp:requests_processing"}},
	{name: "requests_waiting", names: []string{"vllm:num_requests_waiting", "sglang:num_queue_reqs", "llamacpp:requests_deferred"}},
	{name: "kv_cache_percent", names: []string{"vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage", "llamacpp:kv_cache_usage_ratio"}, mean: true, times: 100},
	{name: "prompt_tokens", names: []string{"vllm:prompt_tokens", "sglang:prompt_tokens", "llamacpp:prompt_tokens"}},
	{name: "generation_tokens", names: []string{"vllm:generation_tokens", "sglang:generation_tokens", "llamacpp:tokens_predicted"}},
	{name: "requests_finished", names: []string{"vllm:request_success", "sglang:num_requests"}},
	{name: "preemptions", names: []string{"vllm:num_preemptions"}},
	{name: "draft_tokens", names: []string{"vllm:spec_decode_num_draft_tokens"}},
	{name: "accepted_draft_tokens", names: []string{"vllm:spec_decode_num_accepted_tokens"}},
	{name: "prefix_cache_hit_tokens", names: []string{"vllm:prefix_cache_hits", "sglang:cached_tokens"}},
}

// engineNames are engineNumbers by the engines' names.
var engineNames = func() map[string]*engineNumber {
	of := map[string]*engineNumber{}
	for i := range engineNumbers {
		for _, name := range engineNumbers[i].names {
			of[name] = &engineNumbers[i]
		}
	}
	return of
}()

// Counters are what the engine's /metrics says now, by the names of metric.Samples; false
// where there is no such page, or none of an engine that is known. TensorRT-LLM's is left
// alone: reading it takes its numbers away from others.
func (f openAI) Counters(ctx context.Context, c *http.Client, ep targets.Endpoint) (map[string]float64, bool) {
	if f.kind.Name == "trtllm" {
		return nil, false
	}
	resp, err := send(ctx, c, ep, http.MethodGet, root(ep)+"/metrics")
	if err != nil {
		return nil, false
	}
	defer resp.Body.Close()
	// A server that answers everything in its own way may have much to say.
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if resp.StatusCode != http.StatusOK || kind != "text/plain" && kind != "application/openmetrics-text" {
		return nil, false
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return nil, false
	}
	said := counters(b)
	return said, len(said) > 0
}

// counters reads a page in Prometheus' text format.
func counters(page []byte) map[string]float64 {
	sums, parts := map[string]float64{}, map[string]float64{}
	lines := bufio.NewScanner(bytes.NewReader(page))
	lines.Buffer(nil, len(page)+1)
	for lines.Scan() {
		line := lines.Text()
		end := strings.IndexAny(line, "{ ")
		if end < 0 {
			continue
		}
		n := engineNames[strings.TrimSuffix(line[:end], "_total")]
		if n == nil {
			continue
		}
		rest := line[end:]
		if i := strings.LastIndexByte(rest, '}'); i >= 0 {
			rest = rest[i+1:]
		}
		fields := strings.Fields(rest) // the value, and perhaps a time
		if len(fields) == 0 {
			continue
		}
		v, err := strconv.ParseFloat(fields[0], 64)
		if err != nil || v < 0 || math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		sums[n.name] += v
		parts[n.name]++
	}
	for _, n := range engineNumbers {
		if _, said := sums[n.name]; said && n.mean {
			sums[n.name] /= parts[n.name]
		}
		if n.times != 0 && parts[n.name] > 0 {
			sums[n.name] *= n.times
		}
	}
	return sums
}
