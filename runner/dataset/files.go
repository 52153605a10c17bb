package dataset

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"sparkrun/runner/load"
	"sparkrun/scenario/dist"
)

// fileScripts are the conversations of a file.
type fileScripts []*script

func (f fileScripts) script(i int64) (*script, error) {
	if i >= int64(len(f)) {
		return nil, load.ErrExhausted
	}
	return f[i], nil
}

// count fills in the length of answers that the file has as text.
func (f fileScripts) count(tok *tokens) {
	for _, s := range f {
		for i := range s.turns {
			if t := &s.turns[i]; t.asked == 0 && t.answer != "" {
				t.asked = tok.count(t.answer)
			}
		}
	}
}

// said is a message of a file; content is a string or a list of text parts.
type said struct {
	Role    string          `json:"role"`
	From    string          `json:"from"` // as ShareGPT names it
	Content json.RawMessage `json:"content"`
}

func (m said) text() (string, error) {
	var s string
	if json.Unmarshal(m.Content, &s) == nil {
		return s, nil
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if json.Unmarshal(m.Content, &parts) != nil {
		return "", errors.New("the content of a message is neither a string nor a list of text parts")
	}
	for _, p := range parts {
		s += p.Text
	}
	return s, nil
}

// newScript makes user turns of messages.
func newScript(messages []said) (*script, error) {
	s := &script{row: -1}
	for _, m := range messages {
		text, err := m.text()
		if err != nil {
			return nil, err
		}
		switch m.Role {
		case "system", "developer":
			s.system += text
		case "user":
			s.turns = append(s.turns, turn{user: text})
		case "assistant":
			if len(s.turns) == 0 || s.turns[len(s.turns)-1].answer != "" {
				return nil, errors.New("an assistant's message has no user's message before it")
			}
			s.turns[len(s.turns)-1].answer = text
		default:
			return nil, fmt.Errorf("role %q is none of system, user and assistant", m.Role)
		}
	}
	if len(s.turns) == 0 {
		return nil, errors.New("it has no user's message")
	}
	return s, nil
}

// readJSONL reads one conversation a line.
func readJSONL(in io.Reader) (fileScripts, error) {
	var out fileScripts
	lines := bufio.NewReader(in)
	for n := int64(1); ; n++ {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			s, bad := jsonLine(line)
			if bad != nil {
				return nil, fmt.Errorf("line %d: %w", n, bad)
			}
			s.row = n - 1
			s.id = strconv.FormatInt(s.row, 10)
			out = append(out, s)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, errors.New("the file has no line")
	}
	return out, nil
}

func jsonLine(line []byte) (*script, error) {
	var l struct {
		Prompt       string `json:"prompt"`
		Text         string `json:"text_input"`
		Messages     []said `json:"messages"`
		OutputTokens int64  `json:"output_tokens"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return nil, err
	}
	if l.OutputTokens < 0 {
		return nil, fmt.Errorf("output_tokens is %d", l.OutputTokens)
	}
	s := &script{turns: []turn{{user: l.Prompt + l.Text}}}
	if l.Messages != nil {
		var err error
		if s, err = newScript(l.Messages); err != nil {
			return nil, err
		}
	} else if s.turns[0].user == "" {
		return nil, errors.New(`it has neither "prompt" nor "messages"`)
	}
	if l.OutputTokens > 0 {
		s.turns[len(s.turns)-1].asked = l.OutputTokens
	}
	return s, nil
}

// readConversations reads a JSON list of conversations, or the file of vLLM's
// conversation generator, which comes back as a set.
func readConversations(in io.Reader, path string, openFile func(string) (io.ReadCloser, error)) (fileScripts, *set, error) {
	b, err := io.ReadAll(in)
	if err != nil {
		return nil, nil, err
	}
	if first := bytes.TrimSpace(b); len(first) > 0 && first[0] == '{' {
		s, err := generator(b, path, openFile)
		return nil, s, err
	}
	var list []struct {
		ID       json.RawMessage `json:"id"`
		Messages []said          `json:"messages"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, nil, err
	}
	var out fileScripts
	for i, c := range list {
		s, err := newScript(c.Messages)
		if err != nil {
			return nil, nil, fmt.Errorf("conversation %d: %w", i, err)
		}
		s.row, s.id = int64(i), strings.Trim(string(c.ID), `"`)
		if s.id == "" {
			s.id = strconv.Itoa(i)
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, nil, errors.New("the list is empty")
	}
	return out, nil, nil
}

// generator reads the file of vLLM's conversation generator. Its num_turns counts
// messages, ours user turns: half of it.
func generator(b []byte, path string, openFile func(string) (io.ReadCloser, error)) (*set, error) {
	type lengths struct {
		Turns  json.RawMessage `json:"num_turns"`
		Common json.RawMessage `json:"common_prefix_num_tokens"`
		Prefix json.RawMessage `json:"prefix_num_tokens"`
		Tokens json.RawMessage `json:"num_tokens"`
	}
	var g struct {
		FileType      string   `json:"filetype"`
		Conversations int64    `json:"num_conversations"`
		Files         []string `json:"text_files"`
		Input         lengths  `json:"prompt_input"`
		Output        lengths  `json:"prompt_output"`
	}
	if err := json.Unmarshal(b, &g); err != nil {
		return nil, err
	}
	if g.FileType != "generate_conversations" {
		return nil, fmt.Errorf(`filetype is %q: it must be a list of conversations, or have "filetype": "generate_conversations"`, g.FileType)
	}
	s := &set{conversations: g.Conversations}
	var common dist.Dist
	for _, f := range []struct {
		name  string
		from  json.RawMessage
		into  *dist.Dist
		scale float64
	}{
		{"num_turns", g.Input.Turns, &s.turns, 0.5},
		{"common_prefix_num_tokens", g.Input.Common, &common, 1},
		{"prefix_num_tokens", g.Input.Prefix, &s.prefix, 1},
		{"prompt_input.num_tokens", g.Input.Tokens, &s.input, 1},
		{"prompt_output.num_tokens", g.Output.Tokens, &s.output, 1},
	} {
		d, err := generatorDist(f.from, f.scale)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		*f.into = d
	}
	s.shared = int64(common.Value)
	for _, name := range g.Files {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		f, err := openFile(name)
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(f)
		f.Close()
		if err != nil {
			return nil, err
		}
		s.text += string(text)
	}
	return s, nil
}

func generatorDist(b json.RawMessage, scale float64) (dist.Dist, error) {
	var d struct {
		Distribution string   `json:"distribution"`
		Value        float64  `json:"value"`
		Min          *float64 `json:"min"`
		Max          *float64 `json:"max"`
		Mean         *float64 `json:"mean"`
		Average      *float64 `json:"average"`
		Sigma        *float64 `json:"sigma"`
		MedianRatio  *float64 `json:"median_ratio"`
		Alpha        *float64 `json:"alpha"`
	}
	if len(b) == 0 {
		return dist.Dist{}, nil
	}
	if err := json.Unmarshal(b, &d); err != nil {
		return dist.Dist{}, err
	}
	if d.Mean == nil {
		d.Mean = d.Average
	}
	for _, p := range []*float64{d.Min, d.Max, d.Mean} {
		if p != nil {
			*p *= scale
		}
	}
	out := dist.Dist{Kind: dist.Kind(d.Distribution), Value: d.Value * scale, Min: d.Min, Max: d.Max, Mean: d.Mean, Sigma: d.Sigma, MedianRatio: d.MedianRatio, Alpha: d.Alpha, Source: string(b)}
	_, err := dist.New(out)
	return out, err
}
