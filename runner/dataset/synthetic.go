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

// set is what a synthetic dataset is made of.
type set struct {
	turns, input, output, prefix dist.Dist
	shared                       int64
	conversations                int64
	text                         string  // instead of the dataset's; for generator files
	normal                       *normal // shape N: drawn as genai-bench does
}

// normal is the shape N of genai-bench: whole parts of normal draws, cut at 1 and 2.
type normal struct{ inMean, inStd, outMean, outStd float64 }

var shapes = regexp.MustCompile(`^([DNU])\((\d+),(\d+)\)(?:/\((\d+),(\d+)\))?$`)

// syntheticSet reads the attributes of a synthetic dataset.
func syntheticSet(v schema.Values) (set, error) {
	s := set{turns: dist.Const(1), prefix: v.Dist("prefix_tokens"), shared: v.Int("shared_prefix_tokens"), conversations: v.Int("conversations")}
	if v.Has("turns") {
		s.turns = v.Dist("turns")
	}
	if v.Has("text") && v.Has("text_files") {
		return s, errors.New("text and text_files are both set: keep one")
	}
	if shape := v.String("shape"); shape != "" {
		if v.Has("input_tokens") || v.Has("output_tokens") {
			return s, errors.New("shape and input_tokens or output_tokens are both set: keep one")
		}
		m := shapes.FindStringSubmatch(shape)
		if m == nil || (m[1] == "D") != (m[4] == "") {
			return s, fmt.Errorf("shape %q is none of D(IN,OUT), N(MEAN,STD)/(MEAN,STD) and U(FROM,TO)/(FROM,TO)", shape)
		}
		n := make([]float64, 4)
		for i := range n {
			n[i], _ = strconv.ParseFloat(m[i+2], 64)
		}
		switch m[1] {
		case "D":
			s.input, s.output = dist.Const(n[0]), dist.Const(n[1])
		case "N":
			s.normal = &normal{n[0], n[1], n[2], n[3]}
		case "U": // the end is not drawn, as in genai-bench
			if n[0] >= n[1] || n[2] >= n[3] {
				return s, fmt.Errorf("shape %q: each pair must go up", shape)
			}
			s.input, s.output = below(n[0], n[1]), below(n[2], n[3])
		}
		return s, nil
	}
	if !v.Has("input_tokens") || !v.Has("output_tokens") {
		return s, errors.New("set input_tokens and output_tokens, or shape")
	}
	s.input, s.output = v.Dist("input_tokens"), v.Dist("output_tokens")
	return s, nil
}

func below(from, to float64) dist.Dist {
	to--
	return dist.Dist{Kind: dist.Uniform, Min: &from, Max: &to}
}

// synthetic makes conversations from a seed; number i is the same whenever it is asked for.
type synthetic struct {
	tok                          *tokens
	seed, salt                   uint64
	turns, input, output, prefix *dist.Sampler
	normal                       *normal
	shared                       string
}

// newSynthetic draws lengths and texts from seed; salt makes the shared prefix one that
// no other cell has sent.
func newSynthetic(s set, tok *tokens, seed, salt uint64) (*synthetic, error) {
	y := &synthetic{tok: tok, seed: seed, normal: s.normal}
	for into, d := range map[**dist.Sampler]dist.Dist{&y.turns: s.turns, &y.input: s.input, &y.output: s.output, &y.prefix: s.prefix} {
		var err error
		if *into, err = dist.New(d); err != nil {
			return nil, err
		}
	}
	y.shared = tok.text(rand.New(rand.NewPCG(salt, 0x736861726564)), s.shared) // "shared"
	y.salt = salt
	return y, nil
}

func (y *synthetic) script(i int64) (*script, error) {
	lengths := rand.New(rand.NewPCG(y.seed, uint64(i)))
	// The salt too: no cell sends what another one has sent, with whatever seed.
	words := rand.New(rand.NewPCG(y.seed+y.salt*0x9e3779b97f4a7c15, uint64(i)|1<<63))
	s := &script{id: strconv.FormatInt(i, 10), row: -1}
	n := max(1, y.turns.Int(lengths))
	for t := range n {
		in, out := y.lengths(lengths)
		u := turn{asked: out}
		if t == 0 {
			u.user = y.shared + y.tok.text(words, y.prefix.Int(lengths))
		}
		u.user += y.tok.text(words, in)
		s.turns = append(s.turns, u)
	}
	return s, nil
}

func (y *synthetic) lengths(r *rand.Rand) (in, out int64) {
	if n := y.normal; n != nil {
		return max(1, int64(math.Trunc(n.inMean+n.inStd*r.NormFloat64()))), max(2, int64(math.Trunc(n.outMean+n.outStd*r.NormFloat64())))
	}
	return max(1, y.input.Int(r)), max(1, y.output.Int(r))
}
