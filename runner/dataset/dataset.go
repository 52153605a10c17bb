package dataset

import (
	"context"

	"sparkrun/runner/load"
	"sparkrun/scenario/plan"
)

// Options are what a dataset needs of the cell that plays it.
type Options struct {
	Cell   *plan.Cell
	Model  string
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

// Open makes the source of a cell's requests.
func (s *Set) Open(ctx context.Context, o Options) (load.Source, error) {
	play, err := s.play(play{ctx: ctx, seed: s.seed(o.Cell.Seed), salt: o.Cell.Seed, model: o.Model, server: o.Tokenizer})
	if err != nil {
		return nil, err
	}
	return &source{scripts: play, bodies: newBodies(o)}, nil
}

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
	count := s.set.size(p.seed).Conversations
	switch when := s.dataset.Values.String("when_exhausted"); {
	case when == "repeat" && count > 0:
		return repeating{all, count}, nil
	case when == "stop" && count > 0:
		return ending{all, count}, nil
	}
	return all, nil
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
