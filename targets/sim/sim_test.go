package sim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
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
	h := httptest.NewUnstartedServer(s.Handler())
	h.Config.ConnContext = ConnContext
	h.Start()
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
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	for range 2 { // neither ends before it is cancelled
		asking.Go(func() {
			req, err := http.NewRequestWithContext(ctx, "POST", h.URL+"/v1/completions", strings.NewReader(`{"prompt":"a","max_tokens":30000,"ignore_eos":true}`))
			if err == nil {
				_, err = http.DefaultClient.Do(req)
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("it ended by itself: %v", err)
			}
		})
	}
	defer asking.Wait()
	defer cancel()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		resp, err := http.Get(h.URL + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if strings.Contains(string(b), `vllm:num_requests_waiting{model_name="sim"} 1`) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("with one sequence at a time the second does not wait:\n%s", b)
		}
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

// TestBothWaysOfSending: the emitter sends what net/http would have, down to the byte.
func TestBothWaysOfSending(t *testing.T) {
	for _, ask := range []string{
		`{"messages":[{"role":"user","content":"one"}],"stream":true,"max_tokens":40,"ignore_eos":true,"stream_options":{"include_usage":true}}`,
		`{"messages":[{"role":"user","content":"two"}],"stream":true,"max_tokens":40}`,
	} {
		var bodies []string
		for _, direct := range []bool{true, false} {
			cfg, err := NewConfig(schema.Values{"ttft": time.Millisecond, "itl": 50 * time.Microsecond, "reasoning_tokens": int64(3)})
			if err != nil {
				t.Fatal(err)
			}
			s, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			ctx, stop := context.WithCancel(t.Context())
			go func() { defer close(done); _ = s.Run(ctx) }()
			h := httptest.NewUnstartedServer(s.Handler())
			if direct {
				h.Config.ConnContext = ConnContext
			}
			h.Start()
			for range 2 { // also on a connection that has served
				_, body := post(t, h.URL+"/v1/chat/completions", ask)
				bodies = append(bodies, regexp.MustCompile(`"created":\d+|"cached_tokens":\d+`).ReplaceAllString(body, ""))
			}
			h.Close()
			stop()
			<-done
		}
		for _, b := range bodies {
			if b != bodies[0] || !strings.HasSuffix(b, "data: [DONE]\n\n") {
				t.Errorf("directly:\n%s\nor:\n%s", bodies[0], b)
			}
		}
	}
}

// TestSchedule: what the trace says of a fixed schedule is the schedule, and together
// means at the same moments.
func TestSchedule(t *testing.T) {
	trace := filepath.Join(t.TempDir(), "trace")
	cfg, err := NewConfig(schema.Values{"ttft": 5 * time.Millisecond, "itl": 20 * time.Millisecond, "together": true})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Trace = trace
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	go func() { defer close(done); _ = s.Run(ctx) }()
	h := httptest.NewUnstartedServer(s.Handler())
	h.Config.ConnContext = ConnContext
	h.Start()
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			post(t, h.URL+"/v1/completions", `{"prompt":"a","stream":true,"max_tokens":6,"ignore_eos":true}`)
		})
		time.Sleep(3 * time.Millisecond)
	}
	all.Wait()
	h.Close()
	stop()
	<-done
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, l := range lines {
		var r struct {
			Accepted int64   `json:"accepted_ns"`
			Events   []int64 `json:"events_ns"`
		}
		if err := json.Unmarshal([]byte(l), &r); err != nil {
			t.Fatal(err)
		}
		if len(r.Events) != 6 {
			t.Fatalf("%d events", len(r.Events))
		}
		for i, at := range r.Events {
			// Never early; late as the machine is busy.
			step := at - s.started.UnixNano()
			if at-r.Accepted < int64(5*time.Millisecond)+int64(i)*int64(20*time.Millisecond) || step < int64(20*time.Millisecond) {
				t.Errorf("token %d left %v after the request", i, time.Duration(at-r.Accepted))
			}
		}
	}
}
