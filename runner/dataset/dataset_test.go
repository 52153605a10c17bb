package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/dist"
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
	s, err := read(d, files)
	if err != nil {
		return nil, err
	}
	return s.Open(t.Context(), o)
}

// read reads a dataset from files in memory, with the kind's defaults.
func read(d plan.Dataset, files map[string]string) (*Set, error) {
	v := schema.Values{}
	for _, k := range Kinds() {
		for _, a := range k.Attrs {
			if k.Name == d.Type && a.Default != nil {
				v[a.Name] = a.Default
			}
		}
	}
	maps.Copy(v, d.Values)
	d.Values = v
	return Read(d, func(path string) (io.ReadCloser, error) {
		text, ok := files[path]
		if !ok {
			return nil, errors.New("no file " + path)
		}
		return io.NopCloser(strings.NewReader(text)), nil
	})
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
		notes := s.(Source).Notes()
		if want := map[string]int{"counted": 1}[name]; len(notes) != want || want == 1 && !strings.Contains(notes[0], "words, of 3.00 tokens each on average, and their lengths are not exact") {
			t.Errorf("%s: notes %q", name, notes)
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
			s, err := start(t, plan.Dataset{Type: "synthetic", Values: v}, Options{Cell: c, Salt: "run"}, nil)
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

// A file's conversations keep their texts, but for a salt in front of the first message: the
// system's where there is one.
func TestSaltOfFiles(t *testing.T) {
	files := map[string]string{"f": `{"messages":[{"role":"user","content":"hello"},{"role":"assistant","content":"yes"},{"role":"user","content":"and?"},{"role":"assistant","content":"no"}]}
{"messages":[{"role":"system","content":"be"},{"role":"user","content":"hello"},{"role":"assistant","content":"yes"}]}
`}
	text := func(salt string, i int64) string {
		source, err := start(t, plan.Dataset{Type: "jsonl", Values: schema.Values{"path": "f"}}, Options{Salt: salt, Tokenizer: words{}}, files)
		if err != nil {
			t.Fatal(err)
		}
		c, err := source.Open(i)
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for range c.Turns() {
			var r record.Request
			if _, err := c.Next(nil, &r); err != nil {
				t.Fatal(err)
			}
			said = append(said, r.System, r.Prompt)
		}
		return strings.Join(said, "|")
	}
	salt := regexp.MustCompile(`\[[0-9a-f]{8}\] `)
	for i, want := range []string{"|hello||and?", "be|hello"} {
		plain, one, two, again := text("", int64(i)), text("one", int64(i)), text("two", int64(i)), text("one", int64(i))
		if plain != want || one == two || one != again {
			t.Errorf("conversation %d: %q, salted %q and %q, again %q", i, plain, one, two, again)
		}
		if len(salt.FindAllString(one, -1)) != 1 || salt.ReplaceAllString(one, "") != want {
			t.Errorf("conversation %d: salted %q, want one salt in front of %q", i, one, want)
		}
		if begins := map[int]string{0: "|[", 1: "["}[i]; !strings.HasPrefix(one, begins) {
			t.Errorf("conversation %d: %q does not begin with its salt", i, one)
		}
	}
}

func TestShapes(t *testing.T) {
	for shape, ok := range map[string]bool{"D(1,2)": true, "N(480,240)/(300,150)": true, "U(50,250)/(50,450)": true, "D(1,2)/(3,4)": false, "N(1,2)": false, "U(5,5)/(1,2)": false, "U(100,200)": true, "U(1,9)": false, "X(1,2)": false, "": false} {
		v := schema.Values{"shape": schema.Plain(shape)}
		if got := checkSynthetic(v) == nil; got != ok {
			t.Errorf("shape %q is taken: %v", shape, got)
		}
	}
	// Bounds as genai-bench has them: the upper end of U is not drawn, answers have 2 or more.
	for shape, want := range map[string][4]int64{"D(7,3)": {7, 7, 3, 3}, "U(3,6)/(4,6)": {3, 5, 4, 5}, "U(3,4)": {1, 2, 2, 3}, "N(2,9)/(2,9)": {1, 0, 2, 0}} {
		longest := [2]int64{want[1], want[3]}
		if want[1] == 0 {
			longest = [2]int64{2 + 3*9, 2 + 3*9}
		}
		if in, out, err := Longest(shape); err != nil || [2]int64{in, out} != longest {
			t.Errorf("%s: longest are %d and %d (%v), want %v", shape, in, out, err, longest)
		}
		s, err := read(plan.Dataset{Type: "synthetic", Values: schema.Values{"shape": schema.Plain(shape)}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := [4]int64{1 << 40, 0, 1 << 40, 0}
		one := &oneTurn{recipe: s.set.(*recipe)}
		for i := range uint64(500) {
			in, out := one.lengths(rand.New(rand.NewPCG(1, i)))
			got = [4]int64{min(got[0], in), max(got[1], in), min(got[2], out), max(got[3], out)}
		}
		if want[1] == 0 { // no upper end
			got[1], got[3] = 0, 0
		}
		if got != want {
			t.Errorf("%s: in from %d to %d, out from %d to %d, want %v", shape, got[0], got[1], got[2], got[3], want)
		}
	}
}

// A model that must be let come to an end gets room for it, within the request's own limit.
func TestHeadroom(t *testing.T) {
	forced := func(least, most int) map[string]any {
		return map[string]any{"min_tokens": least, "exact": least == most}
	}
	limit := int64(30)
	for name, c := range map[string]struct {
		headroom int64
		output   string
		max      *int64
		want     string
		notes    int
	}{
		"none":           {0, "forced", nil, `{"exact":true,"max_tokens":20,"min_tokens":20}`, 0},
		"four":           {4, "forced", nil, `{"exact":false,"max_tokens":80,"min_tokens":20}`, 1},
		"within a limit": {4, "forced", &limit, `{"exact":false,"max_tokens":30,"min_tokens":20}`, 1},
		"natural":        {4, "natural", nil, `{"max_tokens":20}`, 0},
	} {
		cell := cell()
		cell.Request.Output, cell.Request.MaxTokens, cell.Request.MaxField = c.output, c.max, "max_tokens"
		cell.Request.Body = map[string]any{"messages": nil, "stream": nil, "stream_options": nil, "model": nil, "extra": nil, "top_k": nil}
		source, err := start(t, plan.Dataset{Type: "synthetic", Values: schema.Values{"shape": schema.Plain("D(30,20)")}}, Options{Cell: cell, Headroom: c.headroom, Forced: forced, Tokenizer: words{}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, r, _ := first(t, source, 0)
		var body map[string]any
		if err := json.Unmarshal(r.Body, &body); err != nil {
			t.Fatal(err)
		}
		delete(body, "messages")
		got, _ := json.Marshal(body)
		if string(got) != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if notes := source.(Source).Notes(); len(notes) != c.notes {
			t.Errorf("%s: notes %q", name, notes)
		}
		if c.output == "forced" && (r.AskedMin == r.AskedMax) != (c.headroom == 0) {
			t.Errorf("%s: asked %d to %d", name, r.AskedMin, r.AskedMax)
		}
	}
}

func TestMultiTurnSendsTheModelsAnswers(t *testing.T) {
	file := map[string]string{"f": `[{"id":"x","messages":[{"role":"user","content":"one"},{"role":"assistant","content":"two three four"},{"role":"user","content":"five"},{"role":"assistant","content":"six"}]}]`}
	for answers, want := range map[string]string{"actual": "said", "dataset": "two three four"} {
		c := cell()
		c.Conversations.Answers = answers
		s, err := start(t, plan.Dataset{Type: "conversations", Values: schema.Values{"path": "f"}}, Options{Cell: c}, file)
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

func constant(v float64) dist.Dist { return dist.Const(v) }

func uniform(from, to float64) dist.Dist {
	return dist.Dist{Kind: dist.Uniform, Min: &from, Max: &to}
}

func lognormal(mean, most float64) dist.Dist {
	return dist.Dist{Kind: dist.Lognormal, Mean: &mean, Max: &most}
}

// TestLengths: what is asked for is the dataset's wish within the request's own limits.
func TestLengths(t *testing.T) {
	n := func(v int64) *int64 { return &v }
	for _, c := range []struct {
		output      string
		min, max    *int64
		turn        turn
		least, most int32
	}{
		{"forced", nil, nil, turn{asked: 20}, 20, 20},
		{"forced", n(8), n(8), turn{asked: 20}, 8, 8},
		{"forced", n(30), n(40), turn{asked: 20}, 30, 30},
		{"forced", nil, nil, turn{}, -1, -1},
		{"forced", n(5), n(9), turn{}, 5, 9},
		{"natural", nil, nil, turn{asked: 20}, -1, 20},
		{"natural", n(3), n(12), turn{asked: 20}, 3, 12},
		{"dataset", nil, nil, turn{asked: 20}, -1, -1},
		{"dataset", nil, nil, turn{asked: 20, least: 2, most: 50}, 2, 50},
		{"dataset", nil, n(40), turn{asked: 20, most: 50}, -1, 40},
		{"dataset", nil, n(40), turn{asked: 20}, -1, 40},
	} {
		b := newBodies(Options{Cell: &plan.Cell{Request: plan.Request{Output: c.output, MinTokens: c.min, MaxTokens: c.max}}})
		if least, most := b.lengths(&c.turn); least != c.least || most != c.most {
			t.Errorf("%+v: asks for %d to %d", c, least, most)
		}
	}
}

// TestRunsSendTheirOwnTexts: the same scenario again sends prompts of the same lengths
// that a server's prefix cache does not know, from their first words on.
func TestRunsSendTheirOwnTexts(t *testing.T) {
	for _, values := range []schema.Values{
		{"shape": schema.Plain("U(40,90)/(5,9)")},
		{"turns": dist.Const(2), "input_tokens": dist.Const(40), "output_tokens": dist.Const(5), "shared_prefix_tokens": dist.Const(60)},
	} {
		prompts := map[string]string{}
		for _, run := range []string{"monday", "tuesday", "monday"} {
			source, err := start(t, plan.Dataset{Type: "synthetic", Values: values}, Options{Salt: run, Tokenizer: words{}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			c, err := source.Open(3)
			if err != nil {
				t.Fatal(err)
			}
			var r record.Request
			if _, err := c.Next(nil, &r); err != nil {
				t.Fatal(err)
			}
			if before, ok := prompts[run]; ok && before != r.Prompt {
				t.Error("the same run sends another text")
			}
			prompts[run] = r.Prompt
		}
		a, b := splitWords(prompts["monday"]), splitWords(prompts["tuesday"])
		if len(a) != len(b) || a[0]+a[1] == b[0]+b[1] {
			t.Errorf("%d and %d words, which begin %q and %q", len(a), len(b), a[:2], b[:2])
		}
	}
}
