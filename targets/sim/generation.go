package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

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
	g.s.finished.Add(1)
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
