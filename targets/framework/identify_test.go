package framework

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"sparkrun/targets"
)

// What engines say of themselves, in the pages that they have; secrets among SGLang's
// arguments are not kept.
func TestIdentify(t *testing.T) {
	for name, c := range map[string]struct {
		framework string
		pages     map[string]string
		version   string
		says      map[string]string
	}{
		"vllm": {"vllm", map[string]string{
			"/version":   `{"version":"0.11.1"}`,
			"/v1/models": `{"data":[{"id":"other","max_model_len":1},{"id":"m","root":"/models/m","max_model_len":131072}]}`,
		}, "0.11.1", map[string]string{"root": "/models/m", "max_model_len": "131072"}},
		"sglang": {"sglang", map[string]string{
			"/get_server_info": `{"version":"0.5.5","api_key":"secret","mem_fraction_static":0.75,"context_length":null,"disable_radix_cache":true,"attention_backend":"triton"}`,
		}, "0.5.5", map[string]string{"mem_fraction_static": "0.75", "disable_radix_cache": "true", "attention_backend": "triton"}},
		// As a build of b10587 answers.
		"llamacpp": {"llamacpp", map[string]string{
			"/props":     `{"default_generation_settings":{"params":{"seed":4294967295},"n_ctx":2048},"total_slots":4,"model_ftype":"Q8_0","model_path":"/m/tiny.gguf","build_info":"b10587-3f545becc"}`,
			"/v1/models": `{"models":[],"data":[{"id":"m","meta":{"n_ctx":2048,"n_params":4332416,"size":4623872,"ftype":"Q8_0"}}]}`,
		}, "b10587-3f545becc", map[string]string{"total_slots": "4", "n_ctx": "2048", "model_ftype": "Q8_0", "model_path": "/m/tiny.gguf", "n_params": "4332416", "size": "4623872", "ftype": "Q8_0"}},
		"ollama":                {"ollama", map[string]string{"/api/version": `{"version":"0.12.9"}`}, "0.12.9", map[string]string{}},
		"any, of one that says": {"openai", map[string]string{"/props": `{"build_info":"b1"}`}, "b1", map[string]string{}},
		"nothing":               {"openai", nil, "", map[string]string{}},
		"no JSON":               {"vllm", map[string]string{"/version": "<html>", "/v1/models": "[]"}, "", map[string]string{}},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			page, ok := c.pages[r.URL.Path]
			if !ok {
				http.NotFound(w, r)
				return
			}
			fmt.Fprint(w, page)
		}))
		f, _ := ByName(c.framework)
		got := f.Identify(t.Context(), server.Client(), targets.Endpoint{URL: server.URL + "/v1", Model: "m"})
		server.Close()
		if got.Version != c.version || fmt.Sprint(got.Says) != fmt.Sprint(c.says) {
			t.Errorf("%s: %q %v, want %q %v", name, got.Version, got.Says, c.version, c.says)
		}
	}
}

// FuzzSays: whatever a page has where a text is expected.
func FuzzSays(f *testing.F) {
	f.Add([]byte(`{"version":"1","meta":{"n_ctx":1}}`), "meta.n_ctx")
	f.Add([]byte(`{"meta":[1]}`), "meta.n_ctx")
	f.Fuzz(func(t *testing.T, body []byte, path string) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }))
		defer server.Close()
		page, ok := object(t.Context(), server.Client(), targets.Endpoint{}, server.URL)
		if text := plainText(at(page, path)); len(text) > mostText || (!ok && text != "") {
			t.Errorf("%q", text)
		}
	})
}
