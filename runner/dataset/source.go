package dataset

import (
	"encoding/json"
	"maps"
	"slices"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
)

// source makes requests of scripts.
type source struct {
	scripts scripts
	bodies  *bodies
}

func (s *source) Open(i int64) (load.Conversation, error) {
	sc, err := s.scripts.script(i)
	if err != nil {
		return nil, err
	}
	c := &conversation{script: sc, bodies: s.bodies}
	if sc.system != "" {
		c.say(message{Role: "system", Content: sc.system})
	}
	return c, nil
}

// conversation is a script being played. Its history has the model's own answers,
// unless the cell wants the dataset's.
type conversation struct {
	script  *script
	bodies  *bodies
	history []byte // every message so far: JSON objects between commas, or the plain text of a completion
	turn    int
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
	// Reasoning goes by the name that DeepSeek gave it and vLLM, SGLang and llama.cpp take.
	Reasoning string `json:"reasoning_content,omitempty"`
}

func (c *conversation) Turns() int { return len(c.script.turns) }

func (c *conversation) Next(prev *record.Record, r *record.Request) (bool, error) {
	if c.turn == len(c.script.turns) {
		return false, nil
	}
	r.HistoryTokens = 0
	if c.turn > 0 {
		c.say(c.answer(prev))
		r.HistoryTokens = -1
		if prev != nil && prev.InputTokens >= 0 && prev.OutputTokens >= 0 {
			r.HistoryTokens = prev.InputTokens + prev.OutputTokens
		}
	}
	t := &c.script.turns[c.turn]
	c.say(message{Role: "user", Content: t.user})
	r.ConversationID, r.DatasetRow, r.Turn, r.Prompt = c.script.id, c.script.row, int32(c.turn), t.user
	if c.turn == 0 {
		r.System = c.script.system
	}
	if c.bodies.Cell.Conversations.Verify {
		r.Expected = t.answer
	}
	c.turn++
	var err error
	r.AskedMin, r.AskedMax, r.Body, err = c.bodies.make(c.history, t)
	return true, err
}

// answer is what the history has for the turn before: the model's own answer, or the
// dataset's where the cell wants that or the turn was not sent.
func (c *conversation) answer(prev *record.Record) message {
	m := message{Role: "assistant", Content: c.script.turns[c.turn-1].answer}
	if prev != nil && (c.bodies.actual || m.Content == "") {
		m.Content = prev.Answer.Content
		if c.bodies.Cell.Conversations.KeepReasoning {
			m.Reasoning = prev.Answer.Reasoning
		}
	}
	return m
}

// say adds a message to the history.
func (c *conversation) say(m message) {
	if c.bodies.Cell.API == "completions" {
		c.history = append(c.history, m.Content...)
		return
	}
	if len(c.history) > 0 {
		c.history = append(c.history, ',')
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings
	}
	c.history = append(c.history, b...)
}

// bodies makes request bodies for a cell.
type bodies struct {
	Options
	actual bool
	fixed  map[string]any
}

func newBodies(o Options) *bodies {
	c := o.Cell
	b := &bodies{Options: o, actual: c.Conversations.Answers != "dataset", fixed: map[string]any{}}
	if o.Model != "" {
		b.fixed["model"] = o.Model
	}
	b.fixed["stream"] = c.Stream
	if c.Stream {
		b.fixed["stream_options"] = map[string]any{"include_usage": true}
	}
	if c.Request.Temperature != nil {
		b.fixed["temperature"] = *c.Request.Temperature
	}
	if c.Request.Seed != nil {
		b.fixed["seed"] = *c.Request.Seed
	}
	if len(c.Request.Stop) > 0 {
		b.fixed["stop"] = c.Request.Stop
	}
	return b
}

// make is the body of a request with this history for a turn, and the lengths of the
// answer that it asks for, -1 where it does not.
func (b *bodies) make(history []byte, t *turn) (least, most int32, body []byte, err error) {
	req := &b.Cell.Request
	least, most = b.lengths(t)
	all := maps.Clone(b.fixed)
	if b.Cell.API == "completions" {
		all["prompt"] = string(history)
	}
	if most > 0 {
		all[req.MaxField] = most
	}
	if least > 0 && b.Forced != nil {
		maps.Copy(all, b.Forced(int(least), int(most)))
	}
	merge(all, req.Body)
	body, err = json.Marshal(all)
	if _, own := all["messages"]; err != nil || own || b.Cell.API == "completions" {
		return least, most, body, err
	}
	// The history is JSON already: it is put in front of the other fields as it is.
	return least, most, slices.Concat([]byte(`{"messages":[`), history, []byte(`],`), body[1:]), nil
}

// lengths are the least and the most tokens of a turn's answer, -1 for no limit. What the
// dataset wants is kept within the request's own limits. A forced answer has exactly the
// wanted length (with Headroom at least that), a natural one no more; with output = "dataset" only the row's own limits count.
func (b *bodies) lengths(t *turn) (least, most int32) {
	req := &b.Cell.Request
	low, high := int64(-1), int64(-1)
	if req.MinTokens != nil {
		low = *req.MinTokens
	}
	if req.MaxTokens != nil {
		high = *req.MaxTokens
	}
	within := func(n int64) int64 {
		n = max(n, low)
		if high > 0 {
			n = min(n, high)
		}
		return n
	}
	switch {
	case req.Output == "dataset":
		if t.least > 0 {
			low = within(t.least)
		}
		if t.most > 0 {
			high = within(t.most)
		}
	case t.asked > 0:
		high = within(t.asked)
		if req.Output == "forced" {
			low = high
			if high *= max(1, b.Headroom); req.MaxTokens != nil {
				high = min(high, *req.MaxTokens)
			}
		}
	}
	return int32(low), int32(high)
}

// merge puts the scenario's own fields over ours; objects are merged inside, null removes.
func merge(into, over map[string]any) {
	for k, v := range over {
		in, ok := into[k].(map[string]any)
		sub, isMap := v.(map[string]any)
		switch {
		case v == nil:
			delete(into, k)
		case ok && isMap:
			in = maps.Clone(in)
			merge(in, sub)
			into[k] = in
		default:
			into[k] = v
		}
	}
}
