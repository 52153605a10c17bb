package dataset

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"sparkrun/runner/load"
)

// Conversation is a conversation as it is written to a file or counted.
type Conversation struct {
	ID     string
	System string // "" if none
	Turns  []Turn
}

// Turn is one user turn. OutputTokens is how long its answer is to be, 0: as long as Answer.
type Turn struct {
	User, Answer string
	OutputTokens int64
}

// Conversations are those of the set, as the dataset has them: without the salt that
// keeps a cell's texts apart from another's. most ends an endless set, 0 is all. server
// may be nil: words are then taken for tokens.
func (s *Set) Conversations(ctx context.Context, seed uint64, most int64, server Tokenizer) iter.Seq2[*Conversation, error] {
	return func(yield func(*Conversation, error) bool) {
		n := s.Size(seed).Conversations
		if most > 0 && (n < 0 || most < n) {
			n = most
		}
		if n < 0 {
			yield(nil, errors.New("the set is endless: say how many conversations it is to have"))
			return
		}
		all, err := s.set.play(play{ctx: ctx, seed: s.seed(seed), server: server, asIs: true})
		for i := int64(0); i < n && err == nil; i++ {
			var c *script
			if c, err = all.script(i); errors.Is(err, load.ErrExhausted) {
				return
			}
			if err == nil && !yield(c.export(), nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

func (s *script) export() *Conversation {
	c := &Conversation{ID: s.id, System: s.system}
	for _, t := range s.turns {
		c.Turns = append(c.Turns, Turn{t.user, t.answer, t.asked})
	}
	return c
}

// Formats are the types that conversations can be written as.
func Formats() []string {
	var out []string
	for _, k := range kinds {
		if k.write != nil {
			out = append(out, k.Name)
		}
	}
	slices.Sort(out)
	return out
}

// Write writes conversations in a format and returns how many there were.
func Write(w io.Writer, format string, all iter.Seq2[*Conversation, error]) (int64, error) {
	k, err := kindOf(format)
	if err != nil || k.write == nil {
		return 0, fmt.Errorf("conversations can't be written as %q: use one of %s", format, strings.Join(Formats(), ", "))
	}
	out := bufio.NewWriter(w)
	n := int64(0)
	for c, err := range all {
		if err != nil {
			return n, err
		}
		record, err := k.write(c)
		if err != nil {
			return n, fmt.Errorf("write conversation %q: %w", c.ID, err)
		}
		b, err := encode(record)
		if err != nil {
			return n, err
		}
		switch {
		case !k.writesList:
		case n == 0:
			_, _ = out.WriteString("[\n")
		default:
			_, _ = out.WriteString(",\n")
		}
		_, _ = out.Write(b)
		if !k.writesList {
			_ = out.WriteByte('\n')
		}
		n++
	}
	if k.writesList {
		_, _ = out.WriteString(map[bool]string{true: "[]\n", false: "\n]\n"}[n == 0])
	}
	return n, out.Flush()
}

// encode is JSON that leaves <, > and & as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// messages are a conversation as OpenAI's API has it.
func (c *Conversation) messages() []message {
	var out []message
	if c.System != "" {
		out = append(out, message{Role: "system", Content: c.System})
	}
	for _, t := range c.Turns {
		out = append(out, message{Role: "user", Content: t.User})
		if t.Answer != "" {
			out = append(out, message{Role: "assistant", Content: t.Answer})
		}
	}
	return out
}

// Detect finds a file's type by its beginning.
func Detect(path string, open Opener) (string, error) {
	in, closeFile, err := unpack(path, open)
	if err != nil {
		return "", err
	}
	defer closeFile()
	begin, err := in.Peek(64 << 10)
	if len(begin) == 0 && err != nil {
		if err == io.EOF {
			err = errors.New("the file is empty")
		}
		return "", fmt.Errorf("%s: %w", path, err)
	}
	begin = bytes.TrimLeft(bytes.TrimPrefix(begin, []byte("\ufeff")), " \t\r\n")
	first := func(name string) int {
		if i := bytes.Index(begin, []byte(`"`+name+`"`)); i >= 0 {
			return i
		}
		return len(begin)
	}
	line, _, _ := bytes.Cut(begin, []byte("\n"))
	switch {
	case bytes.HasPrefix(begin, []byte("{")) && first("filetype") < len(begin):
		return "conversations", nil
	case bytes.HasPrefix(begin, []byte("[")) && first("messages") < first("conversations"):
		return "conversations", nil
	case bytes.HasPrefix(begin, []byte("[")) || bytes.HasPrefix(begin, []byte("{")) && first("conversations") < min(first("messages"), first("prompt")):
		return "sharegpt", nil
	case bytes.HasPrefix(begin, []byte("{")) && first("input_length") < len(begin):
		return "trace", nil
	case bytes.HasPrefix(begin, []byte("{")), bytes.HasPrefix(begin, []byte(`"`)):
		return "jsonl", nil
	case bytes.Contains(bytes.ToLower(line), []byte("timestamp,")):
		return "trace", nil
	}
	return "lines", nil
}
