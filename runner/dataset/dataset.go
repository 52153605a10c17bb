package dataset

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"sparkrun/runner/load"
	"sparkrun/scenario/plan"
)

// Options are what a dataset needs of the cell that plays it.
type Options struct {
	Cell   *plan.Cell
	Model  string
	Salt   string                               // "": texts are as the set has them
	Forced func(least, most int) map[string]any // the framework's fields for an exact length; may be nil
	// Headroom is how many times its length a forced answer may become, for models that must
	// be let come to an end; 0 is 1.
	Headroom int64
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

// turn is one user turn. asked is how many tokens its answer should have, least and most
// are the limits that the dataset's row sets itself; 0: not known.
type turn struct {
	user        string
	answer      string
	asked       int64
	least, most int64
}

// scripts are the conversations of a dataset.
type scripts interface {
	// script returns conversation i, or load.ErrExhausted.
	script(i int64) (*script, error)
}

// Set is a dataset that has been read and checked, ready to be played by many cells.
type Set struct {
	dataset plan.Dataset
	set     set
}

// Read reads a dataset, as far as no server is needed for it, and checks it. Errors name
// the file and line.
func Read(d plan.Dataset, open Opener) (*Set, error) {
	k, err := kindOf(d.Type)
	if err != nil {
		return nil, err
	}
	s, err := k.read(d.Values, open)
	if err != nil {
		return nil, err
	}
	return &Set{d, s}, nil
}

// Source makes a cell's requests. Notes are what should be said of them, in sentences;
// Deal gives its conversations to another process.
type Source interface {
	load.Source
	Notes() []string
	Deal(i int64) ([]byte, error)
}

// Open makes the source of a cell's requests: a load.Timed where the dataset is a trace.
func (s *Set) Open(ctx context.Context, o Options) (Source, error) {
	all, err := s.play(play{ctx: ctx, seed: s.seed(o.Cell.Seed), salt: o.salt(), model: o.Model, server: o.Tokenizer})
	if err != nil {
		return nil, err
	}
	if _, file := s.set.(*fileSet); file && o.Salt != "" {
		all = &salted{all, fmt.Sprintf("[%08x] ", uint32(o.salt()))}
	}
	out := &played{source: source{scripts: all, bodies: newBodies(o)}, notes: append(notesOf(all), o.notes()...), count: s.set.size(s.seed(o.Cell.Seed)).Conversations}
	if t, ok := s.set.(*trace); ok {
		return &timed{out, t, s.dataset.Values.String("when_exhausted") == "repeat"}, nil
	}
	return out, nil
}

// salt makes the texts of a cell unlike those that any other cell or run has sent: a server
// that has seen them before would else answer from its prefix cache. What is drawn stays
// the same, and every server gets the same texts. 0 is none.
func (o *Options) salt() uint64 {
	if o.Salt == "" {
		return 0
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", o.Cell.Seed, o.Salt)
	return h.Sum64()
}

// notes are what should be said of the requests.
func (o *Options) notes() []string {
	if o.Headroom <= 1 || o.Cell.Request.Output != "forced" {
		return nil
	}
	return []string{fmt.Sprintf("answers of %s are forced to have at least their length and end by themselves within %d times of it: vLLM fails where this model's turn goes on after its end (ignore_eos)", o.Model, o.Headroom)}
}

// Notes are what should be said of the dataset, in sentences: what was left out of it.
func (s *Set) Notes() []string { return notesOf(s.set) }

// noter is a set, or its scripts, of which something is to be said; "" is nothing.
type noter interface{ note() string }

func notesOf(v any) []string {
	if n, ok := v.(noter); ok && n.note() != "" {
		return []string{n.note()}
	}
	return nil
}

type played struct {
	source
	notes []string
	count int64 // conversations of the set, -1: endless
}

// Conversations is how many the set has, -1 for an endless one.
func (p *played) Conversations() int64 { return p.count }

// salted are a file's conversations, each with the same salt in front of its first message.
type salted struct {
	scripts
	salt string
}

func (s *salted) script(i int64) (*script, error) {
	sc, err := s.scripts.script(i)
	if err != nil {
		return nil, err
	}
	out := *sc // the file's own is shared
	if out.system != "" {
		out.system = s.salt + out.system
		return &out, nil
	}
	out.turns = slices.Clone(sc.turns)
	out.turns[0].user = s.salt + out.turns[0].user
	return &out, nil
}

func (s *salted) note() string {
	for _, n := range notesOf(s.scripts) {
		return n
	}
	return ""
}

func (p *played) Notes() []string { return p.notes }

// timed is the source of a trace.
type timed struct {
	*played
	trace *trace
	again bool
}

func (t *timed) Arrival(i int64) (time.Duration, bool) { return t.trace.arrival(i, t.again) }

// Size is how much there is for a cell of the seed.
func (s *Set) Size(cellSeed uint64) Size { return s.set.size(s.seed(cellSeed)) }

func (s *Set) seed(cellSeed uint64) uint64 {
	if s.dataset.Values.Has("seed") {
		return uint64(s.dataset.Values.Int("seed"))
	}
	return cellSeed
}

// play ends or repeats the set's conversations as the dataset wants it.
func (s *Set) play(p play) (scripts, error) {
	all, err := s.set.play(p)
	if err != nil {
		return nil, err
	}
	if n := s.set.size(p.seed).Conversations; n > 0 {
		switch s.dataset.Values.String("when_exhausted") {
		case "repeat":
			return &counted{all, n, true}, nil
		case "stop":
			return &counted{all, n, false}, nil
		}
	}
	return all, nil
}

// counted has count conversations, and begins again after them or ends.
type counted struct {
	scripts
	count int64
	again bool
}

func (c *counted) script(i int64) (*script, error) {
	if i >= c.count && !c.again {
		return nil, load.ErrExhausted
	}
	return c.scripts.script(i % c.count)
}

func (c *counted) note() string {
	for _, n := range notesOf(c.scripts) {
		return n
	}
	return ""
}
