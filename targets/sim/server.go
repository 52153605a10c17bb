package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
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

// generation is one answer being made.
type generation struct {
	s        *Server
	w        http.ResponseWriter
	r        *http.Request
	in       *call
	chat     bool
	accepted time.Time
	prompt   int64
	cached   int64
	tokens   int64
	finish   string
	seed     uint64
	fails    bool
	stallAt  int64 // token before which it stalls, -1
	dropAt   int64 // token before which the connection is cut, -1
	rand     *rand.Rand
	slow     float64 // factor on the fixed schedule
	front    []byte  // of every stream event
	scratch  []byte
	events   []int64
}

// plan decides everything about an answer that chance has a part in.
func (s *Server) plan(in *call, prompt []string, body []byte) *generation {
	s.requests.Add(1)
	h := fnv.New64a()
	h.Write(body)
	seed := h.Sum64() ^ uint64(s.cfg.Seed)
	limit := int64(naturalMax)
	if in.MaxCompletionTokens != nil {
		in.MaxTokens = in.MaxCompletionTokens
	}
	if in.MaxTokens != nil {
		limit = max(1, *in.MaxTokens)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &generation{s: s, prompt: int64(len(prompt)), tokens: limit, finish: "length", seed: seed, stallAt: -1, dropAt: -1}
	g.rand = rand.New(rand.NewPCG(seed, s.rand.Uint64()))
	if !in.IgnoreEOS {
		if n := max(in.MinTokens, 1+int64(seed>>8%naturalMax)); n < limit {
			g.tokens, g.finish = n, "stop"
		}
	}
	g.fails = s.rand.Float64() < s.cfg.ErrorRate
	if s.rand.Float64() < s.cfg.StallRate {
		g.stallAt = g.tokens / 2
	}
	if s.rand.Float64() < s.cfg.DropRate {
		g.dropAt = g.tokens / 2
	}
	if s.cfg.PrefixCaching {
		for _, b := range blocks(prompt) {
			if !s.cache[b] {
				break
			}
			g.cached += blockSize
		}
		g.cached = min(g.cached, g.prompt-1) // the last token is always computed
		if int64(len(s.cache)) > s.cfg.KVTokens/blockSize {
			clear(s.cache)
		}
		for _, b := range blocks(prompt) {
			s.cache[b] = true
		}
		s.queries.Add(g.prompt)
		s.hits.Add(g.cached)
	}
	return g
}

// run makes the tokens and writes them, streamed or not.
func (g *generation) run() {
	s := g.s
	var next func(i int64) bool // waits for token i
	if s.cfg.TTFT > 0 || s.cfg.ITL > 0 {
		s.fixed.Add(1)
		defer s.fixed.Add(-1)
		g.slow = s.slow()
		if g.in.Stream && s.cfg.TokensPerEvent == 1 && g.stallAt < 0 && g.dropAt < 0 {
			if sent, ok := s.emitter.stream(g); ok {
				g.end(sent)
				return
			}
		}
		at := g.accepted
		next = func(i int64) bool {
			at = g.due(i, at)
			return sleepUntil(g.r.Context(), at)
		}
	} else {
		seq := &sequence{prompt: g.prompt - g.cached, kv: g.prompt + g.tokens, tokens: g.tokens, ready: make(chan struct{}, g.tokens), ctx: g.r.Context()}
		s.batch.submit(seq)
		next = func(int64) bool {
			select {
			case <-seq.ready:
				return true
			case <-g.r.Context().Done():
				return false
			}
		}
	}
	out := g.whole
	if g.in.Stream {
		out = g.stream
	}
	g.end(out(next))
}

// end counts an answer.
func (g *generation) end(whole bool) {
	if whole {
		g.s.prompts.Add(g.prompt)
		g.s.generated.Add(g.tokens)
	}
	g.writeTrace()
}

// due is when token i leaves on the fixed schedule, given when the one before did.
func (g *generation) due(i int64, before time.Time) time.Time {
	cfg := &g.s.cfg
	step := cfg.ITL
	if i == 0 {
		step = cfg.TTFT
	}
	at := before.Add(time.Duration(float64(step) * jitter(g.rand, cfg.Jitter) * g.slow))
	if i == 0 && cfg.Together && cfg.ITL > 0 {
		since := at.Sub(g.s.started)
		at = at.Add((cfg.ITL - since%cfg.ITL) % cfg.ITL)
	}
	return at
}

// wait is next with what goes wrong on request.
func (g *generation) wait(next func(int64) bool, i int64) bool {
	if i == g.dropAt {
		panic(http.ErrAbortHandler)
	}
	if !next(i) {
		return false
	}
	return i != g.stallAt || sleepUntil(g.r.Context(), time.Now().Add(time.Second))
}

// head begins a streamed answer.
func (g *generation) head() {
	g.w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	id := g.r.Header.Get("X-Request-Id")
	kind, idPrefix := "chat.completion.chunk", "chatcmpl-"
	if !g.chat {
		kind, idPrefix = "text_completion", "cmpl-"
	}
	g.front = fmt.Appendf(nil, `data: {"id":%s,"object":"%s","created":%d,"model":%s,"choices":`, quote(idPrefix+id), kind, g.accepted.Unix(), quote(g.s.cfg.Model))
	g.events = make([]int64, 0, g.tokens)
}

// role is the stream event before the first token of a chat, "" for a completion.
func (g *generation) role() string {
	if !g.chat {
		return ""
	}
	return `[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}`
}

// token is the tail of a token's stream event: tokens i to i+n.
func (g *generation) token(b []byte, i, n int64) []byte {
	field := `"delta":{"content":"`
	switch {
	case !g.chat:
		field = `"text":"`
	case i < g.s.cfg.ReasoningTokens:
		field = `"delta":{"reasoning_content":"`
	}
	b = append(append(b, `[{"index":0,`...), field...)
	for j := i; j < i+n; j++ {
		b = append(b, word(g.seed, j)...) // has nothing to escape
	}
	b = append(b, '"')
	if g.chat {
		b = append(b, '}')
	}
	return append(b, `,"logprobs":null,"finish_reason":null}]}`...)
}

// last are the tails of the events behind the tokens.
func (g *generation) last() []string {
	end := fmt.Sprintf(`[{"index":0,"delta":{},"logprobs":null,"finish_reason":"%s"}]}`, g.finish)
	if !g.chat {
		end = fmt.Sprintf(`[{"index":0,"text":"","logprobs":null,"finish_reason":"%s"}]}`, g.finish)
	}
	if g.in.StreamOptions.IncludeUsage {
		return []string{end, fmt.Sprintf(`[],"usage":%s}`, g.usage())}
	}
	return []string{end}
}

const doneEvent = "data: [DONE]\n\n"

// frames adds the events of token i in HTTP chunks.
func (g *generation) frames(b []byte, i int64) []byte {
	if role := g.role(); i == 0 && role != "" {
		b = g.chunk(b, append(g.scratch[:0], role...))
	}
	g.scratch = g.token(g.scratch[:0], i, 1)
	return g.chunk(b, g.scratch)
}

// lastFrames adds the events behind the tokens.
func (g *generation) lastFrames(b []byte) []byte {
	for _, tail := range g.last() {
		b = g.chunk(b, []byte(tail))
	}
	return fmt.Appendf(b, "%x\r\n%s\r\n", len(doneEvent), doneEvent)
}

// chunk adds a stream event in an HTTP chunk of its own.
func (g *generation) chunk(b, tail []byte) []byte {
	b = strconv.AppendInt(b, int64(len(g.front)+len(tail)+2), 16)
	b = append(b, "\r\n"...)
	b = append(append(append(b, g.front...), tail...), "\n\n"...)
	return append(b, "\r\n"...)
}

// stream writes a streamed answer through net/http.
func (g *generation) stream(next func(int64) bool) bool {
	g.head()
	flusher, _ := g.w.(http.Flusher)
	var b []byte
	send := func(tail []byte) {
		b = append(append(append(b[:0], g.front...), tail...), "\n\n"...)
		_, _ = g.w.Write(b)
		flusher.Flush()
	}
	per := g.s.cfg.TokensPerEvent
	for i := int64(0); i < g.tokens; i += per {
		n := min(per, g.tokens-i)
		for j := i; j < i+n; j++ {
			if !g.wait(next, j) {
				return false
			}
		}
		if role := g.role(); i == 0 && role != "" {
			send([]byte(role))
		}
		g.scratch = g.token(g.scratch[:0], i, n)
		g.events = append(g.events, time.Now().UnixNano())
		send(g.scratch)
	}
	for _, tail := range g.last() {
		send([]byte(tail))
	}
	_, _ = io.WriteString(g.w, doneEvent)
	flusher.Flush()
	return true
}

func (g *generation) whole(next func(int64) bool) bool {
	var content, reasoning bytes.Buffer
	for i := range g.tokens {
		if !g.wait(next, i) {
			return false
		}
		into := &content
		if i < g.s.cfg.ReasoningTokens && g.chat {
			into = &reasoning
		}
		into.WriteString(word(g.seed, i))
	}
	choice := map[string]any{"index": 0, "finish_reason": g.finish}
	kind := "chat.completion"
	if g.chat {
		m := map[string]any{"role": "assistant", "content": content.String()}
		if reasoning.Len() > 0 {
			m["reasoning_content"] = reasoning.String()
		}
		choice["message"] = m
	} else {
		choice["text"], kind = content.String(), "text_completion"
	}
	g.events = append(g.events, time.Now().UnixNano())
	answer(g.w, map[string]any{
		"id": "cmpl-" + g.r.Header.Get("X-Request-Id"), "object": kind, "created": g.accepted.Unix(), "model": g.s.cfg.Model,
		"choices": []any{choice}, "usage": json.RawMessage(g.usage()),
	})
	return true
}

func (g *generation) usage() string {
	return fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d},"completion_tokens_details":{"reasoning_tokens":%d}}`,
		g.prompt, g.tokens, g.prompt+g.tokens, g.cached, min(g.s.cfg.ReasoningTokens, g.tokens))
}

// writeTrace writes what truly happened: wall clock, as the kernel's receive stamps are.
func (g *generation) writeTrace() {
	if g.s.trace == nil {
		return
	}
	b := fmt.Appendf(nil, `{"id":%s,"accepted_ns":%d,"events_ns":[`, quote(g.r.Header.Get("X-Request-Id")), g.accepted.UnixNano())
	for i, e := range g.events {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, e, 10)
	}
	b = append(b, "]}\n"...)
	g.s.traceLines.Lock()
	defer g.s.traceLines.Unlock()
	_, _ = g.s.trace.Write(b)
}

func quote(s string) []byte {
	b, _ := json.Marshal(s) // a string always marshals
	return b
}
