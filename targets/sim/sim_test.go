package sim

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sparkrun/scenario/schema"
)

func serve(t *testing.T, v schema.Values) *httptest.Server {
	t.Helper()
	cfg, err := NewConfig(v)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(t.Context()) }()
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() { h.Close(); <-done })
	return h
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func TestStreamHasExactUsage(t *testing.T) {
	for name, v := range map[string]schema.Values{
		"fixed schedule": {"ttft": time.Millisecond, "itl": time.Microsecond},
		"cost model":     {"decode_step": time.Millisecond},
		"preset":         {"preset": "spark-gpt-oss-20b-llamacpp"},
	} {
		h := serve(t, v)
		code, body := post(t, h.URL+"/v1/chat/completions", `{"messages":[{"role":"user","content":"one two three"}],"stream":true,"max_tokens":5,"ignore_eos":true,"stream_options":{"include_usage":true}}`)
		if code != 200 || strings.Count(body, `"delta":{"content":" `)+strings.Count(body, `"delta":{"content":"."`)+strings.Count(body, `"delta":{"content":","`) != 5 {
			t.Errorf("%s: %d %s", name, code, body)
		}
		if !strings.Contains(body, `"prompt_tokens":10,"completion_tokens":5`) || !strings.HasSuffix(body, "data: [DONE]\n\n") {
			t.Errorf("%s: usage of 3 words, one message: %s", name, body)
		}
	}
}

func TestPrefixCache(t *testing.T) {
	h := serve(t, schema.Values{"ttft": time.Microsecond})
	ask := `{"prompt":"` + strings.Repeat("word ", 40) + `","max_tokens":1}`
	cached := func() string {
		_, body := post(t, h.URL+"/v1/completions", ask)
		_, rest, _ := strings.Cut(body, `"cached_tokens":`)
		return rest[:strings.IndexByte(rest, '}')]
	}
	if a, b := cached(), cached(); a != "0" || b != "32" {
		t.Errorf("cached tokens %s then %s, want 0 then 32", a, b)
	}
	post(t, h.URL+"/reset_prefix_cache", "")
	if c := cached(); c != "0" {
		t.Errorf("after the reset %s tokens are cached", c)
	}
}

func TestErrors(t *testing.T) {
	h := serve(t, schema.Values{"error_rate": 1.0, "max_model_len": int64(50), "load_time": time.Duration(0)})
	for body, want := range map[string]int{
		`{"prompt":"a","max_tokens":2}`:             500,
		`{"prompt":"a","model":"other"}`:            404,
		`{"prompt":"a b c","max_tokens":100}`:       400,
		`{"prompt":`:                                400,
		`{"prompt":"a","max_tokens":2,"model":"x"}`: 404,
	} {
		if code, text := post(t, h.URL+"/v1/completions", body); code != want || !strings.Contains(text, `"message"`) {
			t.Errorf("%s: HTTP %d %s, want %d", body, code, text, want)
		}
	}
	if _, err := NewConfig(schema.Values{"error_rate": 2.0}); err == nil {
		t.Error("an error rate of 2 is taken")
	}
}

func TestDropCutsTheConnection(t *testing.T) {
	h := serve(t, schema.Values{"ttft": time.Microsecond, "drop_rate": 1.0})
	resp, err := http.Post(h.URL+"/v1/completions", "application/json", strings.NewReader(`{"prompt":"a","stream":true,"max_tokens":10,"ignore_eos":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err == nil || strings.Count(string(b), "data:") != 5 {
		t.Errorf("error %v after %q", err, b)
	}
}

func TestQueue(t *testing.T) {
	h := serve(t, schema.Values{"max_num_seqs": int64(1), "decode_step": 20 * time.Millisecond})
	done := make(chan struct{})
	for range 2 {
		go func() {
			post(t, h.URL+"/v1/completions", `{"prompt":"a","max_tokens":4,"ignore_eos":true}`)
			done <- struct{}{}
		}()
	}
	saw := false
	for range 200 {
		resp, err := http.Get(h.URL + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if strings.Contains(string(b), `vllm:num_requests_waiting{model_name="sim"} 1`) {
			saw = true
			break
		}
		time.Sleep(time.Millisecond)
	}
	<-done
	<-done
	if !saw {
		t.Error("with one sequence at a time the second never waited")
	}
}

func TestTokenizeAddsUp(t *testing.T) {
	h := serve(t, nil)
	text := "Hello, wonderful world: grüße 12345678901."
	_, body := post(t, h.URL+"/tokenize", `{"prompt":"`+text+`","return_token_strs":true}`)
	var out struct {
		Count int      `json:"count"`
		Strs  []string `json:"token_strs"`
	}
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		t.Fatal(err)
	}
	if strings.Join(out.Strs, "") != text || out.Count != len(out.Strs) {
		t.Errorf("%d pieces %q", out.Count, out.Strs)
	}
}
