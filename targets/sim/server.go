package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Server is a simulated server.
type Server struct {
	cfg     Config
	batch   *batch
	emitter *emitter
	started time.Time
	trace   *os.File

	requests   atomic.Int64
	prompts    atomic.Int64 // tokens
	generated  atomic.Int64 // tokens
	finished   atomic.Int64 // requests, whole or not
	queries    atomic.Int64 // prompt tokens looked up in the prefix cache
	hits       atomic.Int64
	fixed      atomic.Int64 // running on the fixed schedule
	mu         sync.Mutex   // guards what follows
	cache      map[uint64]bool
	rand       *rand.Rand
	traceLines sync.Mutex
}

// New makes a server; Run must be called for its engine to turn.
func New(cfg Config) (*Server, error) {
	if cfg.Model == "" {
		cfg.Model = "sim"
	}
	s := &Server{cfg: cfg, started: time.Now(), cache: map[uint64]bool{}, rand: rand.New(rand.NewPCG(uint64(cfg.Seed), 0))}
	s.batch = newBatch(&s.cfg, s.slow)
	s.emitter = newEmitter(s.started)
	if cfg.Trace != "" {
		f, err := os.Create(cfg.Trace)
		if err != nil {
			return nil, fmt.Errorf("open the trace: %w", err)
		}
		s.trace = f
	}
	return s, nil
}

// Run turns the engine until ctx ends, then closes the trace.
func (s *Server) Run(ctx context.Context) error {
	var sending sync.WaitGroup
	sending.Go(func() { s.emitter.run(ctx) })
	s.batch.run(ctx)
	sending.Wait()
	if s.trace != nil {
		return s.trace.Close()
	}
	return nil
}

// warmupRequests is how many requests warmup_slowdown is for.
const warmupRequests = 10

func (s *Server) slow() float64 {
	if s.requests.Load() <= warmupRequests {
		return s.cfg.WarmupSlowdown
	}
	return 1
}

// Handler is the HTTP surface.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	api := func(pattern string, h http.HandlerFunc) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if s.cfg.APIKey != "" && r.Header.Get("Authorization") != "Bearer "+s.cfg.APIKey {
				fail(w, http.StatusUnauthorized, "invalid api key")
				return
			}
			h(w, r)
		})
	}
	api("GET /v1/models", s.loaded(s.models))
	api("POST /v1/chat/completions", s.loaded(s.generate(true)))
	api("POST /v1/completions", s.loaded(s.generate(false)))
	api("POST /v1/embeddings", s.loaded(s.embeddings))
	api("POST /tokenize", s.loaded(s.tokenize))
	api("POST /reset_prefix_cache", func(http.ResponseWriter, *http.Request) {
		if s.cfg.KeepsCache {
			return
		}
		s.mu.Lock()
		clear(s.cache)
		s.mu.Unlock()
	})
	mux.HandleFunc("GET /health", s.loaded(func(http.ResponseWriter, *http.Request) {}))
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]any{"version": "sparkrun-sim"}) })
	mux.HandleFunc("GET /metrics", s.metrics)
	return mux
}

// loaded answers 503 while the model "loads".
func (s *Server) loaded(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if time.Since(s.started) < s.cfg.LoadTime {
			fail(w, http.StatusServiceUnavailable, "Loading model")
			return
		}
		h(w, r)
	}
}

func fail(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": message, "type": http.StatusText(code), "code": code}})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"object": "list", "data": []any{map[string]any{
		"id": s.cfg.Model, "object": "model", "created": s.started.Unix(), "owned_by": "sparkrun", "max_model_len": s.cfg.MaxModelLen,
	}}})
}

func (s *Server) tokenize(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Prompt   string    `json:"prompt"`
		Messages []message `json:"messages"`
		Strings  bool      `json:"return_token_strs"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	tokens := pieces(in.Prompt)
	if in.Messages != nil {
		tokens = chat(in.Messages)
	}
	ids := make([]uint32, len(tokens))
	for i, t := range tokens {
		ids[i] = tokenID(t)
	}
	out := map[string]any{"count": len(tokens), "max_model_len": s.cfg.MaxModelLen, "tokens": ids}
	if in.Strings {
		out["token_strs"] = tokens
	}
	answer(w, out)
}

func (s *Server) embeddings(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Input json.RawMessage `json:"input"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	var inputs []string
	if json.Unmarshal(in.Input, &inputs) != nil {
		inputs = make([]string, 1)
		_ = json.Unmarshal(in.Input, &inputs[0])
	}
	var data []any
	tokens := 0
	for i, text := range inputs {
		r := rand.New(rand.NewPCG(uint64(tokenID(text)), 0))
		v := make([]float64, 64)
		for j := range v {
			v[j] = r.NormFloat64() / 8
		}
		tokens += len(pieces(text))
		data = append(data, map[string]any{"object": "embedding", "index": i, "embedding": v})
	}
	answer(w, map[string]any{"object": "list", "model": s.cfg.Model, "data": data, "usage": map[string]any{"prompt_tokens": tokens, "total_tokens": tokens}})
}

func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	running, waiting, kv := s.batch.load()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	for _, m := range []struct {
		name, kind string
		value      float64
	}{
		{"vllm:num_requests_running", "gauge", float64(running) + float64(s.fixed.Load())},
		{"vllm:num_requests_waiting", "gauge", float64(waiting)},
		{"vllm:kv_cache_usage_perc", "gauge", kv},
		{"vllm:prompt_tokens_total", "counter", float64(s.prompts.Load())},
		{"vllm:generation_tokens_total", "counter", float64(s.generated.Load())},
		{"vllm:request_success_total", "counter", float64(s.finished.Load())},
		{"vllm:prefix_cache_queries_total", "counter", float64(s.queries.Load())},
		{"vllm:prefix_cache_hits_total", "counter", float64(s.hits.Load())},
	} {
		fmt.Fprintf(w, "# TYPE %s %s\n%s{model_name=%q} %g\n", m.name, m.kind, m.name, s.cfg.Model, m.value)
	}
}

// message is a chat message; content is a string or a list of parts.
type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

func (m message) text() string {
	var s string
	if json.Unmarshal(m.Content, &s) == nil {
		return s
	}
	var parts []struct {
		Text string `json:"text"`
	}
	_ = json.Unmarshal(m.Content, &parts)
	for _, p := range parts {
		s += p.Text
	}
	return s
}

// chat is the prompt that a chat template makes of messages.
func chat(messages []message) []string {
	out := make([]string, templateTokens)
	for _, m := range messages {
		out = append(out, m.Role, "", "", "")
		out = append(out, pieces(m.text())...)
	}
	return out
}

// call is a completion request.
type call struct {
	Model               string          `json:"model"`
	Messages            []message       `json:"messages"`
	Prompt              json.RawMessage `json:"prompt"`
	Stream              bool            `json:"stream"`
	MaxTokens           *int64          `json:"max_tokens"`
	MaxCompletionTokens *int64          `json:"max_completion_tokens"`
	MinTokens           int64           `json:"min_tokens"`
	IgnoreEOS           bool            `json:"ignore_eos"`
	StreamOptions       struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

// naturalMax is the longest answer that ends by itself.
const naturalMax = 256

// generate answers chat and completion requests.
func (s *Server) generate(isChat bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		accepted := time.Now()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var in call
		if err := json.Unmarshal(body, &in); err != nil {
			fail(w, http.StatusBadRequest, "invalid JSON: "+err.Error())
			return
		}
		if in.Model != "" && in.Model != s.cfg.Model {
			fail(w, http.StatusNotFound, fmt.Sprintf("The model `%s` does not exist.", in.Model))
			return
		}
		var prompt []string
		if isChat {
			prompt = chat(in.Messages)
		} else {
			var text string
			_ = json.Unmarshal(in.Prompt, &text)
			prompt = pieces(text)
		}
		g := s.plan(&in, prompt, body)
		g.w, g.r, g.in, g.chat, g.accepted = w, r, &in, isChat, accepted
		if int64(len(prompt))+g.tokens > s.cfg.MaxModelLen {
			fail(w, http.StatusBadRequest, fmt.Sprintf("This model's maximum context length is %d tokens, but the request has %d and asks for %d.", s.cfg.MaxModelLen, len(prompt), g.tokens))
			return
		}
		if g.fails {
			fail(w, http.StatusInternalServerError, "simulated error (error_rate)")
			return
		}
		g.run()
	}
}
