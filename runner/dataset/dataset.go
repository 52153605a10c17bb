package dataset

import (
	"context"
	"fmt"
	"io"

	"sparkrun/runner/load"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// Options are what a dataset needs of the cell that plays it.
type Options struct {
	Cell   *plan.Cell
	Model  string
	Open   func(path string) (io.ReadCloser, error)
	Forced func(least, most int) map[string]any // the framework's fields for an exact length; may be nil
	// Tokenizer asks the server about tokens; nil counts words instead.
	Tokenizer Tokenizer
}

// Tokenizer is a server that can be asked about tokens.
type Tokenizer interface {
	// Pieces cuts a text into tokens that joined are the text.
	Pieces(ctx context.Context, text string) ([]string, error)
	// PromptTokens is the server's own count of a prompt with this text.
	PromptTokens(ctx context.Context, text string) (int, error)
}

// script is a conversation before it is played: prompts, and answers where the dataset
// has them.
type script struct {
	id     string
	row    int64 // line or element of the file, -1: synthetic
	system string
	turns  []turn
}

// turn is one user turn. asked is how many tokens its answer should have, 0: not known.
type turn struct {
	user   string
	answer string
	asked  int64
}

// scripts are the conversations of a dataset.
type scripts interface {
	// script returns conversation i, or load.ErrExhausted.
	script(i int64) (*script, error)
}

// Open opens a dataset for a cell. Errors name the file and line.
func Open(ctx context.Context, d plan.Dataset, o Options) (load.Source, error) {
	tok, err := newTokens(ctx, o.Tokenizer, d, o.Open)
	if err != nil {
		return nil, err
	}
	s, err := open(d, o, tok)
	if err != nil {
		return nil, err
	}
	return &source{scripts: s, bodies: newBodies(o)}, nil
}

// Check reads what can be read of a dataset without a server.
func Check(d plan.Dataset, openFile func(path string) (io.ReadCloser, error)) error {
	tok, err := newTokens(context.Background(), nil, d, openFile)
	if err != nil {
		return err
	}
	_, err = open(d, Options{Cell: &plan.Cell{}, Open: openFile}, tok)
	return err
}

func open(d plan.Dataset, o Options, tok *tokens) (scripts, error) {
	seed := o.Cell.Seed
	if d.Values.Has("seed") {
		seed = uint64(d.Values.Int("seed"))
	}
	var (
		s     scripts
		count int64 // how many it has, 0: endless
	)
	switch d.Type {
	case "synthetic":
		set, err := syntheticSet(d.Values)
		if err != nil {
			return nil, err
		}
		s, err = newSynthetic(set, tok, seed, o.Cell.Seed)
		if err != nil {
			return nil, err
		}
		count = d.Values.Int("conversations")
	case "jsonl", "conversations":
		path := d.Values.String("path")
		f, err := o.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		var list fileScripts
		if d.Type == "jsonl" {
			list, err = readJSONL(f)
		} else {
			var generated *set
			if list, generated, err = readConversations(f, path, o.Open); generated != nil && err == nil {
				if s, err = newSynthetic(*generated, tok.with(generated.text), seed, o.Cell.Seed); err != nil {
					return nil, fmt.Errorf("%s: %w", path, err)
				}
				count = generated.conversations
				break
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		list.count(tok)
		s, count = list, int64(len(list))
	default:
		return nil, fmt.Errorf("dataset type %q is unknown", d.Type)
	}
	switch when := d.Values.String("when_exhausted"); {
	case when == "repeat" && count > 0:
		s = repeating{s, count}
	case when == "stop" && count > 0:
		s = ending{s, count}
	}
	return s, nil
}

// repeating begins again after the last conversation.
type repeating struct {
	scripts
	count int64
}

func (r repeating) script(i int64) (*script, error) { return r.scripts.script(i % r.count) }

// ending has no more than count conversations.
type ending struct {
	scripts
	count int64
}

func (e ending) script(i int64) (*script, error) {
	if i >= e.count {
		return nil, load.ErrExhausted
	}
	return e.scripts.script(i)
}

// Kinds are the dataset types.
func Kinds() []schema.Kind {
	seed := schema.Attr{Name: "seed", Type: schema.Int, DefaultDoc: "the benchmark's seed and the repeat", Doc: "Seed of what is drawn."}
	when := func(def string, values ...string) schema.Attr {
		return schema.Attr{Name: "when_exhausted", Type: schema.String, Default: schema.Plain(def), Values: values, Doc: "What follows the last conversation: the cell stops, or it begins again, or new ones are made."}
	}
	return []schema.Kind{
		{Name: "synthetic", Doc: "Prompts of given lengths, made from a text.", Check: checkSynthetic, Attrs: []schema.Attr{
			{Name: "shape", Type: schema.String, DefaultDoc: "none", Doc: `Short for lengths of one turn: "D(2048,128)" fixed, "N(480,240)/(300,150)" normal mean and deviation, "U(50,250)/(50,450)" uniform.`},
			{Name: "turns", Type: schema.Dist, DefaultDoc: "1", Doc: "User turns of a conversation."},
			{Name: "input_tokens", Type: schema.Dist, DefaultDoc: "none; this or shape", Doc: "Tokens of a user turn."},
			{Name: "output_tokens", Type: schema.Dist, DefaultDoc: "none; this or shape", Doc: "Tokens of an answer."},
			{Name: "prefix_tokens", Type: schema.Dist, DefaultDoc: "0", Doc: "Tokens before the first turn, different in each conversation."},
			{Name: "shared_prefix_tokens", Type: schema.Int, DefaultDoc: "0", Doc: "Tokens before those, the same in all conversations."},
			{Name: "text", Type: schema.String, DefaultDoc: "Newton's Opticks, embedded", Doc: "The text that prompts are cut from."},
			{Name: "text_files", Type: schema.PathList, DefaultDoc: "Newton's Opticks, embedded", Doc: "Files of such text."},
			{Name: "conversations", Type: schema.Int, DefaultDoc: "endless", Doc: "Conversations in the set."},
			seed,
			when("generate", "generate", "stop", "repeat"),
		}},
		{Name: "jsonl", Doc: `A file of JSON lines: {"prompt": …} or {"messages": […]}, with "output_tokens" if its answer's length is known.`, Attrs: []schema.Attr{
			{Name: "path", Type: schema.Path, Required: true, DefaultDoc: "none", Doc: "The file."}, seed,
			when("stop", "stop", "repeat"),
		}},
		{Name: "conversations", Doc: "A JSON list of conversations with their messages, or a generator's file (vLLM's multi-turn benchmark).", Attrs: []schema.Attr{
			{Name: "path", Type: schema.Path, Required: true, DefaultDoc: "none", Doc: "The file."}, seed,
			when("stop", "stop", "repeat"),
		}},
	}
}

func checkSynthetic(v schema.Values) []schema.Problem {
	if _, err := syntheticSet(v); err != nil {
		return []schema.Problem{{Attr: map[bool]string{true: "shape"}[v.Has("shape")], Summary: "Wrong lengths of a synthetic dataset", Detail: err.Error() + "."}}
	}
	return nil
}
