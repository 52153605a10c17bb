package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"sparkrun/scenario/dist"
)

// generatorFile is the input of vLLM's multi-turn conversation generator
// (benchmarks/multi_turn/generate_multi_turn.json). Its num_turns counts messages.
type generatorFile struct {
	FileType      string    `json:"filetype"`
	Conversations *int64    `json:"num_conversations"`
	Files         *[]string `json:"text_files"`
	Input         *struct {
		Turns  *generatorDist `json:"num_turns"`
		Common *generatorDist `json:"common_prefix_num_tokens"`
		Prefix *generatorDist `json:"prefix_num_tokens"`
		Tokens *generatorDist `json:"num_tokens"`
	} `json:"prompt_input"`
	Output *struct {
		Tokens *generatorDist `json:"num_tokens"`
	} `json:"prompt_output"`
}

func readGenerator(b []byte) (*generatorFile, error) {
	g := &generatorFile{}
	if err := json.Unmarshal(b, g); err != nil {
		return nil, atLine(err, b, 1)
	}
	if g.FileType != "generate_conversations" {
		return nil, fmt.Errorf(`filetype is %q: the file must be a list of conversations, or have "filetype": "generate_conversations"`, g.FileType)
	}
	return g, nil
}

// textFiles are the files of text; their paths start at the file's folder.
func (g *generatorFile) textFiles(path string) (files []string) {
	if g.Files == nil {
		return nil
	}
	for _, name := range *g.Files {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		files = append(files, name)
	}
	return files
}

// recipe makes what the file describes. Without text_files the text is the embedded one.
func (g *generatorFile) recipe(path string, open Opener) (*recipe, error) {
	switch {
	case g.Conversations == nil || *g.Conversations < 1:
		return nil, errors.New("num_conversations must be 1 or more")
	case g.Input == nil:
		return nil, errors.New("prompt_input is missing")
	case g.Output == nil:
		return nil, errors.New("prompt_output is missing")
	}
	r := &recipe{conversations: *g.Conversations, text: opticks, multi: true, messages: true, strict: true}
	none := &generatorDist{Kind: "constant", Value: new(float64)}
	if g.Input.Common == nil {
		g.Input.Common = none
	}
	if g.Input.Prefix == nil {
		g.Input.Prefix = none
	}
	var d [5]dist.Dist
	for i, f := range []struct {
		name string
		from *generatorDist
	}{
		{"prompt_input.num_turns", g.Input.Turns}, {"prompt_input.num_tokens", g.Input.Tokens}, {"prompt_output.num_tokens", g.Output.Tokens},
		{"prompt_input.prefix_num_tokens", g.Input.Prefix}, {"prompt_input.common_prefix_num_tokens", g.Input.Common},
	} {
		if f.from == nil {
			return nil, fmt.Errorf("%s is missing", f.name)
		}
		var err error
		if d[i], err = f.from.dist(); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if err := r.sample(d[0], d[1], d[2], d[3], d[4]); err != nil {
		return nil, err
	}
	if g.Files == nil {
		return r, r.reachable()
	}
	if len(*g.Files) == 0 {
		return nil, errors.New("text_files is empty: name a file, or leave it out for the embedded text")
	}
	var err error
	if r.text, err = readTexts(g.textFiles(path), open); err != nil {
		return nil, err
	}
	return r, r.reachable()
}

// reachable is an error where the text is too short by any tokenizer: one has hardly more
// than a token for two bytes. What it needs by the server's is known when there is one.
func (r *recipe) reachable() error {
	need, err := newDrawn(r, 1).need()
	if err == nil && need > int64(len(r.text)/2) {
		return fmt.Errorf("the text is too short: about %d tokens are needed, and it has %d bytes: add text_files, or ask for fewer conversations or shorter prefixes", need, len(r.text))
	}
	return err
}

// generatorDist is a distribution as such a file has it: uniform(min, max),
// constant(value), zipf(alpha, max), poisson(alpha, max), lognormal(average,
// median_ratio, max) or lognormal(mean, sigma, max) in log space.
type generatorDist struct {
	Kind        string   `json:"distribution"`
	Value       *float64 `json:"value"`
	Min         *float64 `json:"min"`
	Max         *float64 `json:"max"`
	Mean        *float64 `json:"mean"`
	Average     *float64 `json:"average"`
	Sigma       *float64 `json:"sigma"`
	MedianRatio *float64 `json:"median_ratio"`
	Alpha       *float64 `json:"alpha"`
}

func (g *generatorDist) dist() (dist.Dist, error) {
	d := dist.Dist{Kind: dist.Kind(g.Kind), Max: g.Max}
	if g.Max != nil && *g.Max == 0 && g.Kind != "uniform" {
		d.Max = nil // as there
	}
	need := map[string]*float64{}
	switch g.Kind {
	case "constant":
		need["value"] = g.Value
		d.Max = nil
		if g.Value != nil {
			d.Value = *g.Value
		}
	case "uniform":
		need["min"], need["max"] = g.Min, g.Max
		d.Min = g.Min
		if g.Min != nil && *g.Min <= 0 {
			return d, fmt.Errorf("min is %v, it must be above 0", *g.Min)
		}
	case "zipf":
		need["alpha"], d.Alpha = g.Alpha, g.Alpha
		if g.Alpha != nil && *g.Alpha <= 1 {
			return d, fmt.Errorf("alpha is %v, it must be above 1", *g.Alpha)
		}
	case "poisson":
		need["alpha"], d.Mean = g.Alpha, g.Alpha
	case "lognormal":
		if g.Average != nil {
			d.Mean, d.MedianRatio = g.Average, g.MedianRatio
			switch {
			case *g.Average < 1:
				return d, fmt.Errorf("average is %v, it must be 1 or more", *g.Average)
			case g.Mean != nil || g.Sigma != nil:
				return d, errors.New("average is set, and mean or sigma too: keep one")
			}
			break
		}
		need["mean"], need["sigma"] = g.Mean, g.Sigma
		d.Mu, d.Sigma = g.Mean, g.Sigma
		if g.Mean != nil && *g.Mean <= 0 {
			return d, fmt.Errorf("mean is %v, it must be above 0 (it is that of the logarithms)", *g.Mean)
		}
	default:
		return d, fmt.Errorf("distribution %q is none of constant, uniform, zipf, poisson and lognormal", g.Kind)
	}
	for _, name := range []string{"value", "min", "max", "alpha", "mean", "sigma"} {
		if v, is := need[name]; is && v == nil {
			return d, fmt.Errorf("%s needs %s", g.Kind, name)
		}
	}
	_, err := dist.New(d)
	return d, err
}

// atLine adds the line to an error of package json; b begins in line first.
func atLine(err error, b []byte, first int64) error {
	offset := int64(-1)
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &typ):
		offset = typ.Offset
		field := typ.Field
		if field == "" {
			field = "it"
		}
		err = fmt.Errorf("%s must be %s, there is a %s", field, jsonType(typ.Type.Kind()), typ.Value)
	}
	if offset < 0 || offset > int64(len(b)) {
		return fmt.Errorf("line %d: %w", first, err)
	}
	return fmt.Errorf("line %d: %w", first+int64(bytes.Count(b[:offset], []byte("\n"))), err)
}
