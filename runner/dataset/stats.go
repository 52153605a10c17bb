package dataset

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"text/tabwriter"
)

// Stats is what a dataset has, per conversation and per turn.
type Stats struct {
	Conversations int64 `json:"conversations"`
	Turns         int64 `json:"turns"`
	// TokenSource is "tokenizer" (the server's) or "words".
	TokenSource string  `json:"token_source"`
	Metrics     []Count `json:"metrics"`
}

// Count is the distribution of a count.
type Count struct {
	Name string  `json:"name"`
	Doc  string  `json:"doc"`
	N    int64   `json:"n"`
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
}

// Measure counts the conversations' tokens, by a server's tokenizer or, where server is
// nil, by words. Memory is four bytes a count.
func Measure(ctx context.Context, all iter.Seq2[*Conversation, error], server Tokenizer) (*Stats, error) {
	s := &Stats{TokenSource: "words"}
	count := func(text string) (int32, error) { return int32(len(splitWords(text))), nil }
	if server != nil {
		s.TokenSource = "tokenizer"
		ask := counts(server)
		count = func(text string) (int32, error) {
			n, err := ask(ctx, text)
			return int32(n), err
		}
	}
	var turns, input, output, request []int32
	for c, err := range all {
		if err != nil {
			return nil, err
		}
		s.Conversations++
		s.Turns += int64(len(c.Turns))
		turns = append(turns, int32(len(c.Turns)))
		history := int32(0)
		for i, t := range c.Turns {
			text := t.User
			if i == 0 && c.System != "" {
				text = c.System + "\n" + text
			}
			in, err := count(text)
			if err != nil {
				return nil, fmt.Errorf("count the tokens of conversation %q: %w", c.ID, err)
			}
			out := int32(t.OutputTokens)
			if t.Answer != "" && out == 0 {
				if out, err = count(t.Answer); err != nil {
					return nil, fmt.Errorf("count the tokens of conversation %q: %w", c.ID, err)
				}
			}
			input = append(input, in)
			request = append(request, history+in)
			if out > 0 {
				output = append(output, out)
			}
			history += in + out
		}
	}
	s.Metrics = []Count{
		counted32("turns", "user turns of a conversation", turns),
		counted32("input_tokens", "new text of a turn", input),
		counted32("output_tokens", "answer of a turn, where its length is known", output),
		counted32("request_tokens", "all that a turn's request holds: new text and history, without the chat template", request),
	}
	return s, nil
}

// counts is how a server counts: with Count where it can, else by its pieces.
func counts(server Tokenizer) func(context.Context, string) (int, error) {
	if c, ok := server.(counter); ok {
		return c.Count
	}
	return func(ctx context.Context, text string) (int, error) {
		pieces, err := server.Pieces(ctx, text)
		return len(pieces), err
	}
}

// counted32 sorts v. Percentiles are interpolated between closest ranks.
func counted32(name, doc string, v []int32) Count {
	c := Count{Name: name, Doc: doc, N: int64(len(v))}
	if len(v) == 0 {
		return c
	}
	slices.Sort(v)
	for _, x := range v {
		c.Mean += float64(x)
	}
	c.Mean /= float64(len(v))
	at := func(p float64) float64 {
		rank := p * float64(len(v)-1)
		i := int(rank)
		if i+1 == len(v) {
			return float64(v[i])
		}
		return float64(v[i]) + (rank-float64(i))*float64(v[i+1]-v[i])
	}
	c.P50, c.P90, c.P99, c.Max = at(0.5), at(0.9), at(0.99), float64(v[len(v)-1])
	return c
}

// Text prints the statistics as a table.
func (s *Stats) Text(w io.Writer) error {
	source := "tokens by the server's tokenizer"
	if s.TokenSource == "words" {
		source = "words are taken for tokens (--url asks a server)"
	}
	fmt.Fprintf(w, "%d conversations, %d turns; %s\n", s.Conversations, s.Turns, source)
	out := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "\tn\tmean\tp50\tp90\tp99\tmax\t")
	for _, c := range s.Metrics {
		if c.N == 0 {
			fmt.Fprintf(out, "%s\t0\t–\t–\t–\t–\t–\t\n", c.Name)
			continue
		}
		fmt.Fprintf(out, "%s\t%d\t%.1f\t%.0f\t%.0f\t%.0f\t%.0f\t\n", c.Name, c.N, c.Mean, c.P50, c.P90, c.P99, c.Max)
	}
	return out.Flush()
}
