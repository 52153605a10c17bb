package sinks

import (
	"context"
	"encoding/json"
	"io"
	"strconv"

	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// conversations writes the finished dialogues with the model's own answers, in the format
// that vLLM's multi-turn benchmark reads and writes. A run of several cells leaves a file
// a cell, as every cell plays its own conversations.
type conversations struct {
	path  string
	cells int
}

// spoken is a dialogue in that format.
type spoken struct {
	ID       string    `json:"id"`
	Messages []message `json:"messages"`
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

func init() {
	register(schema.Kind{
		Name: "conversations", Doc: "The finished dialogues with the model's answers, as vLLM's multi-turn benchmark writes them; a file a cell.",
		Content: true, Attrs: []schema.Attr{pathAttr("conversations.json")},
	}, newConversations)
}

func newConversations(s plan.Sink, dir string, _ Env) (Sink, error) {
	return &conversations{path: pathOf(s, dir)}, nil
}

func (s *conversations) Path() string { return s.path }

func (s *conversations) Begin(_ context.Context, r *result.Run) error {
	s.cells = len(r.Plan.Cells)
	return writable(s.file(r.Plan.Cells[0].Number))
}

// file is where a cell's conversations go: answers.json, or answers-7.json of several.
func (s *conversations) file(number int) string {
	if s.cells == 1 {
		return s.path
	}
	return beside(s.path, strconv.Itoa(number))
}

func (s *conversations) Cell(_ context.Context, c *result.Cell) error {
	done := finished(c.Records)
	return replace(s.file(c.Plan.Number), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "    ")
		return enc.Encode(done)
	})
}

func (s *conversations) End(context.Context, *result.Run) error {
	if s.cells > 1 {
		s.path = beside(s.path, "*")
	}
	return nil
}

// finished are the dialogues that were played from their first turn to their last, in the
// order in which they ended.
func finished(records []record.Record) []spoken {
	open := map[int64]*spoken{}
	next := map[int64]int32{}
	done := []spoken{}
	for i := range records {
		rec := &records[i]
		if rec.Status != record.OK || rec.Turn != next[rec.Conversation] {
			continue
		}
		next[rec.Conversation]++
		d := open[rec.Conversation]
		if d == nil {
			d = &spoken{ID: rec.ConversationID}
			open[rec.Conversation] = d
		}
		if rec.System != "" {
			d.Messages = append(d.Messages, message{"system", rec.System})
		}
		d.Messages = append(d.Messages, message{"user", rec.Prompt}, message{"assistant", rec.Answer.Content})
		if rec.LastTurn {
			done = append(done, *d)
			delete(open, rec.Conversation)
		}
	}
	return done
}
