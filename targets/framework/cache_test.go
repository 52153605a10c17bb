package framework

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

// What engines answer to the call that empties their cache, and whether asking again helps.
func TestResetCache(t *testing.T) {
	for name, c := range map[string]struct {
		framework    string
		code         int
		body         string
		ok, hopeless bool
	}{
		"vllm":                     {"vllm", 200, "", true, false},
		"vllm says so":             {"vllm", 200, `{"success":true}`, true, false},
		"vllm, blocks in use":      {"vllm", 200, `{"success":false}`, false, false},
		"vllm, not in dev mode":    {"vllm", 404, `{"detail":"Not Found"}`, false, true},
		"sglang":                   {"sglang", 200, "Cache flushed.\n", true, false},
		"sglang, busy":             {"sglang", 400, "Cache flushed.\n", false, false},
		"sglang, admin key":        {"sglang", 401, "", false, true},
		"sim":                      {"sim", 200, "", true, false},
		"llamacpp has none":        {"llamacpp", 200, "", false, true},
		"openai may be anything":   {"openai", 200, "", false, true},
		"the engine is on its end": {"vllm", 500, "", false, false},
	} {
		var asked string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = r.Method + " " + r.URL.Path + " " + r.Header.Get("Authorization")
			w.WriteHeader(c.code)
			_, _ = w.Write([]byte(c.body))
		}))
		f, _ := ByName(c.framework)
		err := f.ResetCache(t.Context(), server.Client(), targets.Endpoint{URL: server.URL + "/v1", Key: schema.Secret("k")})
		server.Close()
		var refused *targets.Refused
		if (err == nil) != c.ok || errors.As(err, &refused) != c.hopeless {
			t.Errorf("%s: %v, hopeless %v", name, err, refused != nil)
		}
		want := ""
		if path := f.Kind().CacheReset; path != "" {
			want = "POST " + path + " Bearer k"
		}
		if asked != want {
			t.Errorf("%s: it was asked %q, want %q", name, asked, want)
		}
	}
}

// Counters of both engines' pages, parts added up; what is no such counter is left out.
func TestHits(t *testing.T) {
	for page, want := range map[string]float64{
		"# TYPE vllm:prefix_cache_hits_total counter\nvllm:prefix_cache_hits_total{engine=\"0\",model_name=\"m\"} 1.2e+03\nvllm:prefix_cache_hits_created{engine=\"0\"} 1.7e9\nvllm:prefix_cache_queries_total{engine=\"0\"} 5000\n": 1200,
		"vllm:prefix_cache_hits_total{engine=\"0\"} 3\nvllm:prefix_cache_hits_total{engine=\"1\"} 4 1700000000000\n":                                                                                                                 7,
		"sglang:cached_tokens_total{cache_source=\"device\",model_name=\"a } b\"} 10\nsglang:cached_tokens_total{cache_source=\"host\"} 5\nsglang:cache_hit_rate{} 0.5\n":                                                            15,
		"vllm:prefix_cache_hits_total 8\n": 8,
		"":                                 -1,
		"vllm:prefix_cache_hits_total{engine=\"0\"}\n":               -1,
		"vllm:prefix_cache_hits_total{engine=\"0\"} NaN\n":           -1,
		"llamacpp:prompt_tokens_total 100\n<html>not metrics</html>": -1,
	} {
		got, ok := hits([]byte(page))
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %v, want %v", page, got, want)
		}
	}
}

// FuzzHits: whatever a server answers, the count is no negative, infinite or no number.
func FuzzHits(f *testing.F) {
	f.Add([]byte("vllm:prefix_cache_hits_total{a=\"}\"} 5\n"))
	f.Add([]byte("sglang:cached_tokens_total{"))
	f.Fuzz(func(t *testing.T, page []byte) {
		if n, ok := hits(page); n < 0 || n != n || (!ok && n != 0) {
			t.Errorf("%v %v", n, ok)
		}
	})
}
