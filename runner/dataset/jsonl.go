package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"sparkrun/scenario/schema"
)

func init() {
	register(kind{Kind: schema.Kind{
		Name: "jsonl", Attrs: fileAttrs("The file;"),
		Doc: `A file of JSON lines: {"messages": […]} as OpenAI's API takes them, {"prompt": "…"} or "…"; with "output_tokens" if its last answer's length is known, "min_tokens" and "max_tokens" for output = "dataset", and "id". A JSON list of such objects is taken too.`,
	}, read: func(v schema.Values, open Opener) (set, error) {
		return readFile(v, open, format{either, jsonLine}, false)
	}, write: func(c *Conversation) (any, error) {
		out := struct {
			ID           string    `json:"id"`
			Prompt       string    `json:"prompt,omitempty"`
			Messages     []message `json:"messages,omitempty"`
			OutputTokens int64     `json:"output_tokens,omitempty"`
			MinTokens    int64     `json:"min_tokens,omitempty"`
			MaxTokens    int64     `json:"max_tokens,omitempty"`
		}{ID: c.ID, Messages: c.messages()}
		last := c.Turns[len(c.Turns)-1]
		out.OutputTokens, out.MinTokens, out.MaxTokens = last.OutputTokens, last.MinTokens, last.MaxTokens
		if len(out.Messages) == 1 {
			out.Prompt, out.Messages = out.Messages[0].Content, nil
		}
		return out, nil
	}})
}

func jsonLine(raw []byte, line int64) (*script, error) {
	var l struct {
		ID           json.RawMessage `json:"id"`
		Prompt       *string         `json:"prompt"`
		Text         *string         `json:"text_input"` // as genai-perf and guidellm write it
		Messages     []said          `json:"messages"`
		OutputTokens int64           `json:"output_tokens"`
		MinTokens    int64           `json:"min_tokens"`
		MaxTokens    int64           `json:"max_tokens"`
	}
	if trimmed := bytes.TrimSpace(raw); trimmed[0] == '"' {
		l.Prompt = new(string)
		if err := json.Unmarshal(raw, l.Prompt); err != nil {
			return nil, atLine(err, raw, line)
		}
	} else if err := json.Unmarshal(raw, &l); err != nil {
		return nil, atLine(err, raw, line)
	}
	for name, n := range map[string]int64{"output_tokens": l.OutputTokens, "min_tokens": l.MinTokens, "max_tokens": l.MaxTokens} {
		if n < 0 || n > mostTokens {
			return nil, fmt.Errorf("line %d: %s is %d: it must be from 0 to %d", line, name, n, mostTokens)
		}
	}
	if l.Prompt == nil {
		l.Prompt = l.Text
	}
	var s *script
	switch {
	case l.Messages != nil:
		said := make([]spoken, len(l.Messages))
		for i, m := range l.Messages {
			text, err := m.text()
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
			said[i] = spoken{m.Role, text}
			switch m.Role {
			case "system", "user", "assistant":
			case "developer":
				said[i].role = "system"
			default:
				return nil, fmt.Errorf("line %d: message %d has the role %q: system, user or assistant is expected", line, i+1, m.Role)
			}
		}
		var err error
		if s, err = newScript(said); err != nil {
			return nil, invalid(err)
		}
	case l.Prompt == nil:
		return nil, fmt.Errorf(`line %d: it has neither "prompt" nor "messages"%s`, line, meant(raw))
	case *l.Prompt == "":
		return nil, invalid(errors.New("the prompt is empty"))
	default:
		s = &script{turns: []turn{{user: *l.Prompt}}}
	}
	if l.OutputTokens > 0 {
		s.turns[len(s.turns)-1].asked = l.OutputTokens
	}
	for i := range s.turns {
		s.turns[i].least, s.turns[i].most = l.MinTokens, l.MaxTokens
	}
	if s.id = idOf(l.ID); s.id == "" {
		s.id = strconv.FormatInt(line-1, 10)
	}
	return s, nil
}

// idOf is an id that may be a string or a number.
func idOf(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	if string(raw) == "null" {
		return ""
	}
	return string(raw)
}
