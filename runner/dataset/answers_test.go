package dataset

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// letters is a server that counts a token a letter, and after most answers no more.
type letters struct {
	asked atomic.Int64
	most  int64
}

func (l *letters) Pieces(context.Context, string) ([]string, error) { return nil, errors.New("no") }
func (l *letters) PromptTokens(_ context.Context, text string) (int, error) {
	return 10 + 3*len(splitWords(text)), nil
}
func (l *letters) Count(ctx context.Context, text string) (int, error) {
	if l.asked.Add(1) > l.most {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return len(text), nil
}

// perWord is what a note says about words.
func perWord(note string) (v float64) {
	_, rest, _ := strings.Cut(note, "words (")
	_, _ = fmt.Sscanf(rest, "%f tokens", &v)
	return v
}

// TestAnswersAreCounted: by the server as long as there is time for it, once for all
// cells; the rest is estimated, and that is said.
func TestAnswersAreCounted(t *testing.T) {
	var b strings.Builder
	for i := range 10 {
		fmt.Fprintf(&b, `{"messages":[{"role":"user","content":"q%d"},{"role":"assistant","content":"abcd %s"}]}`+"\n", i, strings.Repeat("e", i)) // 2 words, 5 to 14 letters
	}
	lengths := func(server Tokenizer) (out []int64, notes string) {
		s, err := read(plan.Dataset{Type: "jsonl", Values: schema.Values{"path": "f"}}, map[string]string{"f": b.String()})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // two cells
			source, err := s.Open(t.Context(), Options{Cell: cell(), Model: "m", Tokenizer: server})
			if err != nil {
				t.Fatal(err)
			}
			notes, out = strings.Join(source.Notes(), "; "), nil
			for i := range int64(10) {
				_, r, _ := first(t, source, i)
				out = append(out, int64(r.AskedMin))
			}
		}
		return out, notes
	}
	all := &letters{most: 99}
	got, note := lengths(all)
	if fmt.Sprint(got) != "[5 6 7 8 9 10 11 12 13 14]" || note != "" || all.asked.Load() != 10 {
		t.Errorf("%v, %q, %d questions", got, note, all.asked.Load())
	}
	// Where time runs out, words have as many tokens as those that were counted.
	synctest.Test(t, func(*testing.T) { got, note = lengths(&letters{most: 4}) })
	counted, estimated := 0, 0
	for i, n := range got {
		if n == int64(5+i) {
			counted++
		} else if want := math.Round(2 * perWord(note)); n == int64(want) {
			estimated++
		}
	}
	if counted < 4 || counted+estimated != 10 || !strings.Contains(note, "counted the tokens of 4 of the dataset's answers in 10s; the lengths of the other 6 are estimated from their words (") {
		t.Errorf("%v, %q", got, note)
	}
	// A server that tells nothing but a prompt's length.
	synctest.Test(t, func(*testing.T) { got, note = lengths(&letters{}) })
	if fmt.Sprint(got) != "[6 6 6 6 6 6 6 6 6 6]" || !strings.Contains(note, "estimated from their words (3.00 tokens a word)") {
		t.Errorf("%v, %q", got, note)
	}
	// No server at all: words.
	if got, note = lengths(nil); fmt.Sprint(got) != "[2 2 2 2 2 2 2 2 2 2]" || note != "" {
		t.Errorf("%v, %q", got, note)
	}
}
