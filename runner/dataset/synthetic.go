package dataset

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"

	"sparkrun/scenario/dist"
	"sparkrun/scenario/schema"
)

func init() {
	register(kind{Kind: schema.Kind{
		Name: "synthetic", Check: checkSynthetic,
		Doc: "Prompts of given lengths, made from a text. One turn without prefixes: words that begin like no other prompt. With turns or prefixes: the layout of vLLM's multi-turn benchmark (shared prefix, a number, prefix, instruction, text).",
		Attrs: []schema.Attr{
			{Name: "shape", Type: schema.String, DefaultDoc: "none", Doc: `Short for lengths of one turn: "D(2048,128)" fixed, "N(480,240)/(300,150)" normal mean and deviation, "U(50,250)/(50,450)" uniform without its end, "U(250,450)" the same from 1 on. As genai-bench has them.`},
			{Name: "turns", Type: schema.Dist, DefaultDoc: "1", Doc: "User turns of a conversation."},
			{Name: "input_tokens", Type: schema.Dist, DefaultDoc: "none; this or shape", Doc: "Tokens of a user turn. The shared prefix counts as part of the first."},
			{Name: "output_tokens", Type: schema.Dist, DefaultDoc: "none; this or shape", Doc: "Tokens of an answer."},
			{Name: "prefix_tokens", Type: schema.Dist, DefaultDoc: "0", Doc: "Tokens in the first turn beyond input_tokens, different in each conversation."},
			{Name: "shared_prefix_tokens", Type: schema.Dist, DefaultDoc: "0", Doc: "Tokens that begin the first turn, the same in all conversations; drawn once."},
			{Name: "text", Type: schema.String, DefaultDoc: "Newton's Opticks, embedded", Doc: "The text that prompts are cut from."},
			{Name: "text_files", Type: schema.PathList, DefaultDoc: "Newton's Opticks, embedded", Doc: "Files of such text."},
			{Name: "conversations", Type: schema.Int, DefaultDoc: "endless", Doc: "Conversations in the set. Lengths that are lognormal by their mean have this mean over the set."},
			seedAttr,
			exhausted("generate", "stop", "repeat"),
		}},
		read: func(v schema.Values, open Opener) (set, error) {
			r, err := newRecipe(v)
			if err != nil {
				return nil, err
			}
			if r.text, err = corpus(v, open); err != nil {
				return nil, err
			}
			if _, err := newWords(r.text, 1); err != nil {
				return nil, err
			}
			return r, nil
		},
	})
}

// recipe is what a synthetic dataset is made of.
type recipe struct {
	turns, input, output, prefix, shared *dist.Sampler
	normal                               *normal // shape N: drawn as genai-bench does
	leastOutput                          int64   // of the shapes N and U 2, as there; else 1
	conversations                        int64   // 0: endless
	text                                 string
	multi                                bool // the layout of several turns
	messages                             bool // turns counts messages, as in generator files
	strict                               bool // the text must be long enough
}

// normal is the shape N of genai-bench: whole parts of normal draws.
type normal struct{ inMean, inStd, outMean, outStd float64 }

var shapes = regexp.MustCompile(`^([DNU])\((\d+),(\d+)\)(?:/\((\d+),(\d+)\))?$`)

// newRecipe reads the attributes of a synthetic dataset.
func newRecipe(v schema.Values) (*recipe, error) {
	r := &recipe{conversations: v.Int("conversations"), multi: v.Has("turns") || v.Has("prefix_tokens") || v.Has("shared_prefix_tokens")}
	turns := dist.Const(1)
	if v.Has("turns") {
		turns = v.Dist("turns")
	}
	if v.Has("text") && v.Has("text_files") {
		return nil, errors.New("text and text_files are both set: keep one")
	}
	input, output, err := r.lengthsOf(v)
	if err != nil {
		return nil, err
	}
	if r.normal != nil && r.multi {
		return nil, errors.New("a shape N is for one turn: with turns or prefixes set input_tokens and output_tokens")
	}
	return r, r.sample(turns, input, output, v.Dist("prefix_tokens"), v.Dist("shared_prefix_tokens"))
}

// sample prepares the distributions.
func (r *recipe) sample(turns, input, output, prefix, shared dist.Dist) error {
	for _, x := range []struct {
		into **dist.Sampler
		dist dist.Dist
	}{{&r.turns, turns}, {&r.input, input}, {&r.output, output}, {&r.prefix, prefix}, {&r.shared, shared}} {
		var err error
		if *x.into, err = dist.New(x.dist); err != nil {
			return err
		}
	}
	if r.conversations > mostConversations {
		return fmt.Errorf("%d conversations: %d are the most, leave it out for an endless set", r.conversations, mostConversations)
	}
	return nil
}

// lengthsOf reads shape, or input_tokens and output_tokens.
func (r *recipe) lengthsOf(v schema.Values) (input, output dist.Dist, err error) {
	shape := v.String("shape")
	if shape == "" {
		if !v.Has("input_tokens") || !v.Has("output_tokens") {
			err = errors.New("set input_tokens and output_tokens, or shape")
		}
		return v.Dist("input_tokens"), v.Dist("output_tokens"), err
	}
	if v.Has("input_tokens") || v.Has("output_tokens") {
		return input, output, errors.New("shape and input_tokens or output_tokens are both set: keep one")
	}
	m := shapes.FindStringSubmatch(shape)
	if m == nil || m[1] == "D" && m[4] != "" || m[1] == "N" && m[4] == "" {
		return input, output, fmt.Errorf("shape %q is none of D(IN,OUT), N(MEAN,STD)/(MEAN,STD), U(FROM,TO)/(FROM,TO) and U(TO,TO)", shape)
	}
	n := make([]float64, 4)
	for i := range n {
		n[i], _ = strconv.ParseFloat(m[i+2], 64)
	}
	if m[1] == "U" && m[4] == "" { // short for lengths from 1 on
		n = []float64{1, n[0], 1, n[1]}
	}
	switch m[1] {
	case "D":
		input, output = dist.Const(n[0]), dist.Const(n[1])
	case "N":
		r.normal = &normal{n[0], n[1], n[2], n[3]}
		r.leastOutput = 2
	case "U": // the end is not drawn, as in genai-bench
		if n[0] >= n[1] || n[2] >= n[3] {
			return input, output, fmt.Errorf("shape %q: each pair must go up", shape)
		}
		input, output = below(n[0], n[1]), below(n[2], n[3])
		r.leastOutput = 2
	}
	return input, output, nil
}

// Longest is how many tokens a prompt and an answer of a shape have at most; of N, which has
// no end, three deviations above the mean.
func Longest(shape string) (in, out int64, err error) {
	var r recipe
	input, output, err := r.lengthsOf(schema.Values{"shape": schema.Plain(shape)})
	if n := r.normal; n != nil {
		return int64(n.inMean + 3*n.inStd), int64(n.outMean + 3*n.outStd), nil
	}
	return end(input), end(output), err
}

// end is the greatest value of a constant or of what below gives.
func end(d dist.Dist) int64 {
	if d.Max != nil {
		return int64(*d.Max)
	}
	return int64(d.Value)
}

func below(from, to float64) dist.Dist {
	to--
	return dist.Dist{Kind: dist.Uniform, Min: &from, Max: &to}
}

func (r *recipe) size(seed uint64) Size {
	n := r.conversations
	switch {
	case n == 0:
		return Size{Conversations: -1}
	case !r.multi:
		return Size{Conversations: n, Turns: map[int64]int64{1: n}}
	}
	s := Size{Conversations: n, Turns: map[int64]int64{}}
	for _, messages := range newDrawn(r, seed).batch(0).messages {
		s.Turns[messages/2]++
	}
	return s
}

func (r *recipe) play(p play) (scripts, error) {
	if r.multi {
		return newLayout(r, p)
	}
	tok, err := newTokens(p, r.text, 0)
	if err != nil {
		return nil, err
	}
	return &oneTurn{recipe: r, tok: tok, seed: p.seed, salt: p.salt}, nil
}

// oneTurn makes single prompts from a seed; number i is the same whenever it is asked for.
type oneTurn struct {
	*recipe
	tok        *tokens
	seed, salt uint64
}

func (y *oneTurn) note() string { return y.tok.note() }

func (y *oneTurn) script(i int64) (*script, error) {
	in, out := y.lengths(rand.New(rand.NewPCG(y.seed, uint64(i))))
	if max(in, out) > mostTokens {
		return nil, fmt.Errorf("prompt %d has %d tokens in and %d out: give the distribution a max", i, in, out)
	}
	// The salt too: no cell sends what another one has sent, with whatever seed.
	words := rand.New(rand.NewPCG(y.seed+y.salt*golden, uint64(i)|1<<63))
	return &script{id: strconv.FormatInt(i, 10), row: -1, turns: []turn{{user: y.tok.unique(words, in), answer: y.tok.slice(0, out), asked: out}}}, nil
}

// golden spreads seeds that are near each other (2^64 / the golden ratio).
const golden = 0x9e3779b97f4a7c15

func (y *oneTurn) lengths(r *rand.Rand) (in, out int64) {
	if n := y.normal; n != nil {
		in, out = int64(math.Trunc(n.inMean+n.inStd*r.NormFloat64())), int64(math.Trunc(n.outMean+n.outStd*r.NormFloat64()))
	} else {
		in, out = y.input.Int(r), y.output.Int(r)
	}
	return max(1, in), max(1, y.leastOutput, out)
}

func checkSynthetic(v schema.Values) []schema.Problem {
	if _, err := newRecipe(v); err != nil {
		return []schema.Problem{{Attr: map[bool]string{true: "shape"}[v.Has("shape")], Summary: "Wrong lengths of a synthetic dataset", Detail: err.Error() + "."}}
	}
	return nil
}
