package dataset

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sparkrun/scenario/schema"
)

// opticks is the default text: Isaac Newton, Opticks (4th edition, 1730), public domain;
// prose paragraphs from Project Gutenberg's transcription.
//
//go:embed opticks.txt
var opticks string

// corpus is the text that a dataset's prompts are cut from.
func corpus(v schema.Values, open Opener) (string, error) {
	if own := v.String("text"); own != "" {
		return own, nil
	}
	if files := v.Strings("text_files"); len(files) > 0 {
		return readTexts(files, open)
	}
	return opticks, nil
}

func readTexts(paths []string, open Opener) (string, error) {
	var b strings.Builder
	for _, path := range paths {
		f, err := open(path)
		if err != nil {
			return "", err
		}
		text, err := io.ReadAll(f)
		f.Close()
		if err != nil {
			return "", fmt.Errorf("read %s: %w", path, err)
		}
		if !utf8.Valid(text) {
			return "", fmt.Errorf("%s: %w", path, notUTF8(text, 1))
		}
		b.Write(text)
	}
	return b.String(), nil
}

// tokens cut prompts of given lengths out of a text.
type tokens struct {
	text   string
	ends   []int32 // piece i ends before text[ends[i]]
	starts []int32 // pieces that begin a word
	// perPiece is how many tokens a piece is: 1 where the server cut the text, else
	// what it counted for a text of words.
	perPiece float64
	inexact  bool                           // a server is there, and did not cut the text
	server   func(text string) (int, error) // counts a text's tokens, nil: nobody does
	known    map[string]int64               // by count
}

// chunkBytes is how much text the server is asked to cut at a time.
const chunkBytes = 64 << 10

// cutTime is how long a server may take to cut a text.
const cutTime = time.Minute

// newTokens cuts a text with the server's tokenizer, else into words whose tokens the
// server counts, else into words taken for tokens. Of a long text no more than need
// tokens are cut; 0 is all.
func newTokens(p play, text string, need int64) (*tokens, error) {
	if p.server == nil {
		return newWords(text, 1)
	}
	ctx, cancel := context.WithTimeout(p.ctx, cutTime)
	defer cancel()
	if all, end, err := pieces(ctx, p.server, text, need); err == nil {
		text = text[:end]
		t, err := newPieces(text, all, 1)
		if err == nil {
			t.server = func(s string) (int, error) {
				cut, err := p.server.Pieces(p.ctx, s)
				return len(cut), err
			}
		}
		return t, err
	}
	if err := p.ctx.Err(); err != nil {
		return nil, err
	}
	t, err := newWords(text, tokensPerWord(p.ctx, p.server, text))
	if err != nil {
		return nil, err
	}
	t.inexact = true
	if c, ok := p.server.(counter); ok {
		t.server = func(s string) (int, error) { return c.Count(p.ctx, s) }
	}
	return t, nil
}

// note says that lengths are not exact.
func (t *tokens) note() string {
	if !t.inexact {
		return ""
	}
	return fmt.Sprintf("the server does not tell the tokens of a text: prompts are made of words, of %.2f tokens each on average, and their lengths are not exact", t.perPiece)
}

// pieces cuts a text of any length up to end, where there are more than need.
func pieces(ctx context.Context, server Tokenizer, text string, need int64) (all []string, end int, err error) {
	for end < len(text) && (need == 0 || int64(len(all)) <= need) {
		n := min(len(text)-end, chunkBytes)
		if end+n < len(text) {
			n = max(strings.LastIndexByte(text[end:end+n], ' '), 1)
			for !utf8.RuneStart(text[end+n]) {
				n++
			}
		}
		some, err := server.Pieces(ctx, text[end:end+n])
		if err != nil {
			return nil, 0, err
		}
		all = append(all, some...)
		end += n
	}
	return all, end, nil
}

// tokensPerWord asks the server's tokenizer, or else for the lengths of two prompts: their
// difference is free of what the chat template adds. It is 1 where the server does not say.
func tokensPerWord(ctx context.Context, server Tokenizer, text string) float64 {
	words := splitWords(text)
	few, many := min(50, len(words)), min(600, len(words))
	if c, ok := server.(counter); ok {
		ctx, cancel := context.WithTimeout(ctx, countTime)
		defer cancel()
		if n, err := c.Count(ctx, strings.Join(words[:many], "")); err == nil && n > 0 {
			return float64(n) / float64(many)
		}
	}
	a, errA := server.PromptTokens(ctx, strings.Join(words[:few], ""))
	b, errB := server.PromptTokens(ctx, strings.Join(words[:many], ""))
	if errA != nil || errB != nil || b <= a || a <= 0 {
		return 1
	}
	return float64(b-a) / float64(many-few)
}

func newWords(text string, perWord float64) (*tokens, error) {
	return newPieces(text, splitWords(text), perWord)
}

func newPieces(text string, pieces []string, perPiece float64) (*tokens, error) {
	if len(text) > math.MaxInt32 {
		return nil, fmt.Errorf("the dataset's text has %d bytes: %d are the most", len(text), math.MaxInt32)
	}
	t := &tokens{text: text, perPiece: perPiece, known: map[string]int64{}, ends: make([]int32, len(pieces))}
	end := 0
	for i, p := range pieces {
		if rest, ok := strings.CutPrefix(p, " "); ok {
			if r, _ := utf8.DecodeRuneInString(rest); unicode.IsLetter(r) {
				t.starts = append(t.starts, int32(i))
			}
		}
		end += len(p)
		t.ends[i] = int32(end)
	}
	if len(t.starts) < 2 {
		return nil, fmt.Errorf("the dataset's text has %d words: it needs at least two", len(t.starts))
	}
	return t, nil
}

// splitWords cuts before every space that another character comes before.
func splitWords(text string) []string {
	var out []string
	begin := 0
	for i := 1; i < len(text); i++ {
		if text[i] == ' ' && text[i-1] != ' ' {
			out = append(out, text[begin:i])
			begin = i
		}
	}
	return append(out, text[begin:])
}

// count is how many tokens a text has, or about how many where the server does not say.
// Digits count alike, so that one question is enough for texts that differ in a number.
func (t *tokens) count(text string) int64 {
	if text == "" {
		return 0
	}
	text = strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return '7'
		}
		return r
	}, text)
	n, ok := t.known[text]
	if ok {
		return n
	}
	n = max(1, int64(math.Round(float64(len(splitWords(text)))*t.perPiece)))
	if t.server != nil {
		if exact, err := t.server(text); err == nil {
			n = int64(max(1, exact))
		}
	}
	t.known[text] = n
	return n
}

// total is how many tokens the whole text has.
func (t *tokens) total() int64 { return int64(float64(len(t.ends)) * t.perPiece) }

// slice is n tokens of the text from token number from on; it begins again at the end.
func (t *tokens) slice(from, n int64) string {
	a := int(math.Round(float64(from) / t.perPiece))
	return t.run(a, t.many(n), 0)
}

// many is how many pieces n tokens are.
func (t *tokens) many(n int64) int {
	if n <= 0 {
		return 0
	}
	return max(1, int(math.Round(float64(n)/t.perPiece)))
}

// run is n pieces from piece a on; after the last one follows piece again.
func (t *tokens) run(a, n, again int) string {
	if a >= len(t.ends) {
		a = again + (a-len(t.ends))%(len(t.ends)-again)
	}
	if a+n <= len(t.ends) {
		return t.text[t.begin(a):t.begin(a+n)]
	}
	var b strings.Builder
	for n > 0 {
		some := min(n, len(t.ends)-a)
		b.WriteString(t.text[t.begin(a):t.begin(a+some)])
		n -= some
		a = again
	}
	return b.String()
}

// begin is where piece i begins, or the text ends.
func (t *tokens) begin(i int) int32 {
	if i == 0 {
		return 0
	}
	return t.ends[i-1]
}

// unlike is how many random words begin a text, so that no two texts share a beginning
// that a prefix cache could know.
const unlike = 4

// opening is n pieces at random, each the beginning of a word.
func (t *tokens) opening(r *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		at := int(t.starts[r.IntN(len(t.starts))])
		b.WriteString(t.text[t.begin(at):t.begin(at+1)])
	}
	return b.String()
}

// unique is n tokens: some random words, then running text from a random place.
func (t *tokens) unique(r *rand.Rand, n int64) string {
	left := t.many(n)
	words := min(unlike, left)
	return t.opening(r, words) + t.run(int(t.starts[r.IntN(len(t.starts))]), left-words, int(t.starts[0]))
}
