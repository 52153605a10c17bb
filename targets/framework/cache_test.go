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
