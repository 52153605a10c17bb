package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"sparkrun/scenario/schema"
)

func init() {
	register(kind{Kind: schema.Kind{
		Name: "conversations", Attrs: fileAttrs("The file;"),
		Doc: "The input of vLLM's multi-turn benchmark: a JSON list of conversations ({id, messages: [{role, content}]}, user and assistant taking turns), or its generator's file, which says what to make.",
		Files: func(v schema.Values, open func(string) (io.ReadCloser, error)) []string {
			g, err := generatorAt(v.String("path"), open)
			if err != nil || g == nil {
				return nil
			}
			return g.textFiles(v.String("path"))
		},
	}, read: readConversations, writesList: true, write: func(c *Conversation) (any, error) {
		if c.System != "" {
			return nil, errors.New("it has a system message, which this format has no place for: use sharegpt or jsonl")
		}
		for i, t := range c.Turns {
			if t.Answer == "" {
				return nil, fmt.Errorf("turn %d has no answer, whose length this format takes for the length of the server's: use jsonl", i)
			}
		}
		return struct {
			ID       string    `json:"id"`
			Messages []message `json:"messages"`
		}{c.ID, c.messages()}, nil
	}})
}

// maxGenerator is the largest generator file in bytes.
const maxGenerator = 1 << 20

// readConversations reads a list, or a generator's file, which is one object.
func readConversations(v schema.Values, open Opener) (set, error) {
	path := v.String("path")
	g, err := generatorAt(path, open)
	if err != nil {
		return nil, err
	}
	if g == nil {
		return readFile(v, open, format{list, seedConversation}, true)
	}
	for _, name := range []string{"limit", "sample"} {
		if v.Has(name) {
			return nil, fmt.Errorf("%s is a generator's file, and %s is for a list: set num_conversations in the file", path, name)
		}
	}
	r, err := g.recipe(path, open)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// generatorAt reads a generator's file; nil where the file is none.
func generatorAt(path string, open Opener) (*generatorFile, error) {
	in, closeFile, err := unpack(path, open)
	if err != nil {
		return nil, err
	}
	defer closeFile()
	begin, err := in.Peek(512)
	if len(begin) == 0 && err != nil && err != io.EOF {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !bytes.HasPrefix(bytes.TrimLeft(begin, "\ufeff \t\r\n"), []byte("{")) {
		return nil, nil
	}
	b, err := io.ReadAll(io.LimitReader(in, maxGenerator))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	g, err := readGenerator(bytes.TrimPrefix(b, []byte("\ufeff")))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

// seedMessage has the keys role and content and no other.
type seedMessage struct{ Role, Content *string }

func (m *seedMessage) UnmarshalJSON(b []byte) error {
	var in struct {
		Role    *string `json:"role"`
		Content *string `json:"content"`
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil || in.Role == nil || in.Content == nil {
		return errMessage
	}
	*m = seedMessage{in.Role, in.Content}
	return nil
}

var errMessage = errors.New(`a message must be an object with "role" and "content", both strings, and nothing else`)

// seedConversation takes what the benchmark takes: user and assistant in turn, a whole
// number of turns.
func seedConversation(raw []byte, line int64) (*script, error) {
	var c struct {
		ID       *string         `json:"id"`
		Messages *[]*seedMessage `json:"messages"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, atLine(err, raw, line)
	}
	switch {
	case c.ID == nil:
		return nil, fmt.Errorf(`line %d: the conversation has no "id": a string is expected%s`, line, meant(raw))
	case c.Messages == nil:
		return nil, fmt.Errorf(`line %d: conversation %q has no "messages": a list is expected%s`, line, *c.ID, meant(raw))
	}
	said := make([]spoken, len(*c.Messages))
	for i, m := range *c.Messages {
		if m == nil {
			return nil, fmt.Errorf("line %d: conversation %q: message %d: %w", line, *c.ID, i+1, errMessage)
		}
		want := [2]string{"user", "assistant"}[i%2]
		if *m.Role != want {
			return nil, invalid(fmt.Errorf("message %d of %q has the role %q: %q is expected, user and assistant take turns", i+1, *c.ID, *m.Role, want))
		}
		said[i] = spoken{*m.Role, *m.Content}
	}
	if len(said)%2 == 1 {
		return nil, invalid(fmt.Errorf("%q has %d messages: an even number is expected, each of the user's with its answer", *c.ID, len(said)))
	}
	s, err := newScript(said)
	if err != nil {
		return nil, invalid(fmt.Errorf("%q: %w", *c.ID, err))
	}
	s.id = *c.ID
	return s, nil
}
