package dataset

import (
	"encoding/json"
	"fmt"
	"strconv"

	"sparkrun/scenario/schema"
)

func init() {
	register(kind{Kind: schema.Kind{
		Name: "sharegpt", Attrs: fileAttrs("The file, a JSON list or an object a line;"),
		Doc: `Conversations as ShareGPT has them: {"id", "conversations": [{"from", "value"}]}, from human or user, gpt or assistant, system. Ids may repeat. Files as they are shared have empty and broken conversations: skip_invalid leaves them out.`,
	}, read: func(v schema.Values, open Opener) (set, error) {
		return readFile(v, open, format{either, shareGPT}, false)
	}, writesList: true, write: func(c *Conversation) (any, error) {
		type said struct {
			From  string `json:"from"`
			Value string `json:"value"`
		}
		out := struct {
			ID            string `json:"id"`
			Conversations []said `json:"conversations"`
		}{ID: c.ID}
		for _, m := range c.messages() {
			out.Conversations = append(out.Conversations, said{map[string]string{"user": "human", "assistant": "gpt", "system": "system"}[m.Role], m.Content})
		}
		return out, nil
	}})
}

// shareGPTRoles are the names that ShareGPT's files have for the roles (those of
// ShareGPT_V3_unfiltered_cleaned_split.json and sharegpt_20230401_clean_lang_split.json).
var shareGPTRoles = map[string]string{
	"human": "user", "user": "user",
	"gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant",
	"system": "system",
}

func shareGPT(raw []byte, line int64) (*script, error) {
	var c struct {
		ID            json.RawMessage `json:"id"`
		Conversations *[]struct {
			From  *string `json:"from"`
			Value *string `json:"value"`
		} `json:"conversations"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, atLine(err, raw, line)
	}
	if c.Conversations == nil {
		return nil, fmt.Errorf(`line %d: it has no "conversations": a list of {"from", "value"} is expected%s`, line, meant(raw))
	}
	said := make([]spoken, len(*c.Conversations))
	for i, m := range *c.Conversations {
		if m.From == nil || m.Value == nil {
			return nil, fmt.Errorf(`line %d: message %d must have "from" and "value", both strings`, line, i+1)
		}
		role, ok := shareGPTRoles[*m.From]
		if !ok {
			return nil, invalid(fmt.Errorf("message %d is from %q: human, user, gpt, assistant or system is expected", i+1, *m.From))
		}
		said[i] = spoken{role, *m.Value}
	}
	s, err := newScript(said)
	if err != nil {
		return nil, invalid(err)
	}
	if s.id = idOf(c.ID); s.id == "" {
		s.id = strconv.FormatInt(line-1, 10)
	}
	return s, nil
}
