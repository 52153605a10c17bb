package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// words is a tokenizer whose tokens are words.
type words struct{}

func (words) Pieces(_ context.Context, text string) ([]string, error) { return splitWords(text), nil }
func (words) PromptTokens(context.Context, string) (int, error)       { return 0, errors.New("not asked") }

// three is a server that does not cut, and counts three tokens a word and ten around.
type three struct{}

func (three) Pieces(context.Context, string) ([]string, error) { return nil, errors.New("no") }
func (three) PromptTokens(_ context.Context, text string) (int, error) {
	return 10 + 3*len(splitWords(text)), nil
}

func cell() *plan.Cell {
	return &plan.Cell{API: "chat", Stream: true, Seed: 7, Request: plan.Request{Output: "forced", MaxField: "max_tokens", Body: map[string]any{"stream_options": map[string]any{"extra": true}, "top_k": 3}}}
}

func start(t *testing.T, d plan.Dataset, o Options, files map[string]string) (load.Source, error) {
	t.Helper()
	if o.Cell == nil {
		o.Cell = cell()
	}
	o.Open = func(path string) (io.ReadCloser, error) {
		text, ok := files[path]
		if !ok {
			return nil, errors.New("no file " + path)
		}
		return io.NopCloser(strings.NewReader(text)), nil
	}
	return Open(t.Context(), d, o)
}

type sent struct {
	Messages []message      `json:"messages"`
	Max      int            `json:"max_tokens"`
	Min      int            `json:"min_tokens"`
	Options  map[string]any `json:"stream_options"`
	TopK     int            `json:"top_k"`
}

func first(t *testing.T, s load.Source, i int64) (load.Conversation, record.Request, sent) {
	t.Helper()
	c, err := s.Open(i)
	if err != nil {
		t.Fatal(err)
	}
	var r record.Request
	if ok, err := c.Next(nil, &r); !ok || err != nil {
		t.Fatalf("no first turn: %v", err)
	}
	var b sent
	if err := json.Unmarshal(r.Body, &b); err != nil {
		t.Fatal(err)
	}
	return c, r, b
}

func TestSyntheticLengths(t *testing.T) {
	forced := func(least, _ int) map[string]any { return map[string]any{"min_tokens": least} }
	for name, tok := range map[string]Tokenizer{"own tokens": words{}, "counted": three{}} {
		s, err := start(t, plan.Dataset{Type: "synthetic", Values: schema.Values{"shape": schema.Plain("D(300,20)")}}, Options{Tokenizer: tok, Forced: forced}, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, r, b := first(t, s, 0)
		want := map[string]int{"own tokens": 300, "counted": 100}[name]
		if n := len(splitWords(b.Messages[0].Content)); n != want {
			t.Errorf("%s: %d words, want %d", name, n, want)
		}
		if r.AskedMin != 20 || r.AskedMax != 20 || b.Max != 20 || b.Min != 20 || b.TopK != 3 || b.Options["include_usage"] != true || b.Options["extra"] != true {
			t.Errorf("%s: %+v %+v", name, r, b)
		}
		_, _, again := first(t, s, 0)
		_, _, other := first(t, s, 1)
		if again.Messages[0] != b.Messages[0] || other.Messages[0] == b.Messages[0] {
			t.Errorf("%s: conversation 0 must be the same each time, and 1 another", name)
		}
	}
}

// A cell's prompts must not be in the prefix cache that another cell has filled.
func TestCellsSendOtherWords(t *testing.T) {
	for _, v := range []schema.Values{{"shape": schema.Plain("D(50,5)")}, {"shape": schema.Plain("D(50,5)"), "seed": int64(3)}} {
		seen := map[string]bool{}
		for seed := range uint64(3) {
			c := cell()
			c.Seed = seed
			s, err := start(t, plan.Dataset{Type: "synthetic", Values: v}, Options{Cell: c}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range int64(50) {
				_, _, b := first(t, s, i)
				opening := strings.Join(splitWords(b.Messages[0].Content)[:unlike], "")
				if seen[opening] {
					t.Fatalf("cell %d, conversation %d begins with %q, as another one did", seed, i, opening)
				}
				seen[opening] = true
			}
		}
	}
}

func TestShapes(t *testing.T) {
	for shape, ok := range map[string]bool{"D(1,2)": true, "N(480,240)/(300,150)": true, "U(50,250)/(50,450)": true, "D(1,2)/(3,4)": false, "N(1,2)": false, "U(5,5)/(1,2)": false, "X(1,2)": false, "": false} {
		v := schema.Values{"shape": schema.Plain(shape)}
		if got := checkSynthetic(v) == nil; got != ok {
			t.Errorf("shape %q is taken: %v", shape, got)
		}
	}
}

func TestMultiTurnSendsTheModelsAnswers(t *testing.T) {
	file := map[string]string{"f": `[{"id":"x","messages":[{"role":"user","content":"one"},{"role":"assistant","content":"two three four"},{"role":"user","content":"five"}]}]`}
	for answers, want := range map[string]string{"actual": "said", "dataset": "two three four"} {
		c := cell()
		c.Conversations.Answers = answers
		s, err := start(t, plan.Dataset{Type: "conversations", Values: schema.Values{"path": "f", "when_exhausted": schema.Plain("stop")}}, Options{Cell: c}, file)
		if err != nil {
			t.Fatal(err)
		}
		conv, r, _ := first(t, s, 0)
		if r.AskedMin != 3 || r.ConversationID != "x" {
			t.Errorf("asks for %d tokens, the dataset's answer has 3 words", r.AskedMin)
		}
		var next record.Request
		ok, err := conv.Next(&record.Record{InputTokens: 5, OutputTokens: 3, Answer: record.Answer{Content: "said"}}, &next)
		if !ok || err != nil || !strings.Contains(string(next.Body), `"content":"`+want+`"`) || next.HistoryTokens != 8 || next.Turn != 1 {
			t.Errorf("answers = %s: %s, history %d", answers, next.Body, next.HistoryTokens)
		}
		if _, err := s.Open(1); !errors.Is(err, load.ErrExhausted) {
			t.Errorf("a second conversation: %v", err)
		}
	}
}

func TestFiles(t *testing.T) {
	for name, c := range map[string]struct{ kind, file, err string }{
		"prompts":        {"jsonl", `{"prompt":"a","output_tokens":4}` + "\n\n" + `{"messages":[{"role":"user","content":[{"type":"text","text":"b"}]}]}`, ""},
		"no prompt":      {"jsonl", `{"prompt":"a"}` + "\n" + `{"question":"a"}`, "line 2"},
		"broken line":    {"jsonl", `{"prompt":`, "line 1"},
		"empty":          {"jsonl", "\n", "no line"},
		"wrong role":     {"conversations", `[{"messages":[{"role":"robot","content":"a"}]}]`, `role "robot"`},
		"answer first":   {"conversations", `[{"messages":[{"role":"assistant","content":"a"}]}]`, "conversation 0"},
		"other object":   {"conversations", `{"a":1}`, "filetype"},
		"generator":      {"conversations", `{"filetype":"generate_conversations","num_conversations":3,"prompt_input":{"num_turns":{"distribution":"constant","value":6},"num_tokens":{"distribution":"uniform","min":5,"max":9}},"prompt_output":{"num_tokens":{"distribution":"constant","value":4}}}`, ""},
		"bad generator":  {"conversations", `{"filetype":"generate_conversations","prompt_input":{"num_tokens":{"distribution":"weird"}}}`, "num_tokens"},
		"missing file":   {"jsonl", "", "no file"},
		"not a sequence": {"conversations", `[`, "unexpected end"},
	} {
		files := map[string]string{"f": c.file}
		if name == "missing file" {
			files = nil
		}
		s, err := start(t, plan.Dataset{Type: c.kind, Values: schema.Values{"path": "f"}}, Options{}, files)
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.err)
			continue
		}
		if name == "generator" {
			if conv, _, _ := first(t, s, 0); conv.Turns() != 3 {
				t.Errorf("6 messages are %d user turns", conv.Turns())
			}
		}
	}
}

func FuzzFiles(f *testing.F) {
	f.Add("jsonl", `{"prompt":"a"}`)
	f.Add("conversations", `[{"messages":[{"role":"user","content":"a"}]}]`)
	f.Add("conversations", `{"filetype":"generate_conversations"}`)
	f.Fuzz(func(_ *testing.T, kind, text string) {
		if kind != "jsonl" {
			kind = "conversations"
		}
		_ = Check(plan.Dataset{Type: kind, Values: schema.Values{"path": "f"}}, func(string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(text)), nil
		})
	})
}
