package framework

import (
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"

	"sparkrun/targets"
)

// Numbers of the engines' pages, parts added up or averaged; what is no such number is left out.
func TestCounters(t *testing.T) {
	for page, want := range map[string]map[string]float64{
		"# TYPE vllm:prefix_cache_hits_total counter\nvllm:prefix_cache_hits_total{engine=\"0\",model_name=\"m\"} 1.2e+03\nvllm:prefix_cache_hits_created{engine=\"0\"} 1.7e9\nvllm:prefix_cache_queries_total{engine=\"0\"} 5000\n": {"prefix_cache_hit_tokens": 1200},
		"vllm:prefix_cache_hits_total{engine=\"0\"} 3\nvllm:prefix_cache_hits_total{engine=\"1\"} 4 1700000000000\n":                                                                                                                 {"prefix_cache_hit_tokens": 7},
		"sglang:cached_tokens_total{cache_source=\"device\",model_name=\"a } b\"} 10\nsglang:cached_tokens_total{cache_source=\"host\"} 5\nsglang:cache_hit_rate{} 0.5\n":                                                            {"prefix_cache_hit_tokens": 15},
		"vllm:prefix_cache_hits_total 8\n": {"prefix_cache_hit_tokens": 8},
		"":                                 {},
		"vllm:prefix_cache_hits_total{engine=\"0\"}\n":     {},
		"vllm:prefix_cache_hits_total{engine=\"0\"} NaN\n": {},
		"vllm:request_success_total{finished_reason=\"stop\"} 3\nvllm:request_success_total{finished_reason=\"abort\"} 1\nvllm:generation_tokens_total{engine=\"0\"} 500\nvllm:kv_cache_usage_perc{engine=\"0\"} 0.5\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.25\n": {"requests_finished": 4, "generation_tokens": 500, "kv_cache_percent": 37.5},
		"llamacpp:prompt_tokens_total 100\nllamacpp:tokens_predicted_total 7\nllamacpp:tokens_predicted_seconds_total 2\nllamacpp:requests_processing 1\nllamacpp:requests_deferred 2\n<html>not metrics</html>":                                                     {"prompt_tokens": 100, "generation_tokens": 7, "requests_running": 1, "requests_waiting": 2},
	} {
		if got := counters([]byte(page)); !maps.Equal(got, want) {
			t.Errorf("%q: %v, want %v", page, got, want)
		}
	}
}

// TestCountersOfOthers: what is no page of numbers is not read, however much of it there is.
func TestCountersOfOthers(t *testing.T) {
	for kind, want := range map[string]bool{"text/plain; version=0.0.4; charset=utf-8": true, "text/plain": true, "application/openmetrics-text; version=1.0.0": true, "text/event-stream": false, "text/html; charset=utf-8": false, "application/json": false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = io.WriteString(w, "vllm:generation_tokens_total 5\n")
		}))
		f, _ := ByName("openai")
		said, ok := f.Counters(t.Context(), server.Client(), targets.Endpoint{URL: server.URL + "/v1"})
		server.Close()
		if ok != want || ok && said["generation_tokens"] != 5 {
			t.Errorf("%s: %v %v", kind, said, ok)
		}
	}
}

// FuzzCounters: whatever a server answers, no number is negative, infinite or none.
func FuzzCounters(f *testing.F) {
	f.Add([]byte("vllm:prefix_cache_hits_total{a=\"}\"} 5\n"))
	f.Add([]byte("sglang:token_usage{"))
	f.Fuzz(func(t *testing.T, page []byte) {
		for name, v := range counters(page) {
			if v < 0 || math.IsNaN(v) {
				t.Errorf("%s is %v", name, v)
			}
		}
	})
}
