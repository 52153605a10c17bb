package dataset

import (
	"encoding/json"
	"maps"
	"strings"

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
		c.history = append(c.history, message{"system", sc.system})
	}
	return c, nil
}

// conversation is a script being played. Its history has the model's own answers,
// unless the cell wants the dataset's.
type conversation struct {
	script  *script
	bodies  *bodies
	history []message
	turn    int
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

func (c *conversation) Turns() int { return len(c.script.turns) }

func (c *conversation) Next(prev *record.Record, r *record.Request) (bool, error) {
	if c.turn == len(c.script.turns) {
		return false, nil
	}
	r.HistoryTokens = 0
	if prev != nil {
		answer := c.script.turns[c.turn-1].answer
		if c.bodies.actual || answer == "" {
			answer = prev.Answer.Content
		}
		c.history = append(c.history, message{"assistant", answer})
		r.HistoryTokens = -1
		if prev.InputTokens >= 0 && prev.OutputTokens >= 0 {
			r.HistoryTokens = prev.InputTokens + prev.OutputTokens
		}
	}
	t := c.script.turns[c.turn]
	c.history = append(c.history, message{"user", t.user})
	r.ConversationID, r.DatasetRow, r.Turn = c.script.id, c.script.row, int32(c.turn)
	c.turn++
	var err error
	r.AskedMin, r.AskedMax, r.Body, err = c.bodies.make(c.history, t.asked)
	return true, err
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

// make is the body of a request whose answer should have asked tokens (0: unknown), and
// the lengths that it asks for, -1 where it does not.
func (b *bodies) make(history []message, asked int64) (least, most int32, body []byte, err error) {
	req := &b.Cell.Request
	least, most = -1, -1
	if asked > 0 {
		if req.MinTokens != nil {
			asked = max(asked, *req.MinTokens)
		}
		if req.MaxTokens != nil {
			asked = min(asked, *req.MaxTokens)
		}
		most = int32(asked)
		if req.Output == "forced" {
			least = most
		}
	} else {
		if req.MaxTokens != nil {
			most = int32(*req.MaxTokens)
		}
		if req.MinTokens != nil {
			least = int32(*req.MinTokens)
		}
	}
	all := maps.Clone(b.fixed)
	if b.Cell.API == "completions" {
		var prompt strings.Builder
		for _, m := range history {
			prompt.WriteString(m.Content)
		}
		all["prompt"] = prompt.String()
	} else {
		all["messages"] = history
	}
	if most > 0 {
		all[req.MaxField] = most
	}
	if least > 0 && b.Forced != nil {
		maps.Copy(all, b.Forced(int(least), int(most)))
	}
	merge(all, req.Body)
	body, err = json.Marshal(all)
	return least, most, body, err
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
