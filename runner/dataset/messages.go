package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"unicode/utf8"
)

// said is a message of a file; content is a string or a list of text parts.
type said struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// text is the message's content as OpenAI's API has it.
func (m said) text() (string, error) {
	var s string
	if json.Unmarshal(m.Content, &s) == nil {
		return s, nil
	}
	var parts []struct {
		Type string  `json:"type"`
		Text *string `json:"text"`
	}
	if json.Unmarshal(m.Content, &parts) != nil {
		return "", errors.New("the content of a message must be a string or a list of text parts")
	}
	for _, p := range parts {
		if p.Text == nil {
			return "", fmt.Errorf("a message has a part of type %q: only text can be sent", p.Type)
		}
		s += *p.Text
	}
	return s, nil
}

// spoken is a message with its role in our words: system, user or assistant.
type spoken struct{ role, text string }

// newScript makes user turns of messages.
func newScript(said []spoken) (*script, error) {
	s := &script{row: -1}
	for i, m := range said {
		switch m.role {
		case "system":
			if len(s.turns) > 0 {
				return nil, fmt.Errorf("message %d is a system's: it must come before the user's first", i+1)
			}
			s.system += m.text
		case "user":
			if n := len(s.turns); n > 0 && said[i-1].role == "user" {
				return nil, fmt.Errorf("message %d is the user's, as the one before it: user and assistant must take turns", i+1)
			}
			s.turns = append(s.turns, turn{user: m.text})
		case "assistant":
			switch {
			case len(s.turns) == 0:
				return nil, fmt.Errorf("message %d is the assistant's, and no user's is before it: a conversation begins with the user", i+1)
			case said[i-1].role == "assistant":
				return nil, fmt.Errorf("message %d is the assistant's, as the one before it: user and assistant must take turns", i+1)
			}
			s.turns[len(s.turns)-1].answer = m.text
		}
	}
	if len(s.turns) == 0 {
		return nil, errors.New("it is empty: a conversation has at least one message of the user")
	}
	return s, nil
}

// jsonType is what JSON calls a Go type.
func jsonType(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Bool:
		return "true or false"
	}
	return "a number"
}

// notUTF8 says where a text that begins in a line stops being UTF-8.
func notUTF8(b []byte, line int64) error {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return fmt.Errorf("line %d is not UTF-8 (byte 0x%02x): convert the file, as in: iconv -f latin1 -t utf-8", line, b[i])
		}
		if r == '\n' {
			line++
		}
		i += n
	}
	return errors.New("it is not UTF-8")
}
