package dataset

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"sparkrun/scenario/plan"
)

// opticks is the default text: Isaac Newton, Opticks (4th edition, 1730), public domain;
// prose paragraphs from Project Gutenberg's transcription.
//
//go:embed opticks.txt
var opticks string

// tokens cut prompts of given lengths out of a text.
type tokens struct {
	pieces []string // the text, cut
	starts []int    // pieces that begin a word
	// perPiece is how many tokens a piece is: 1 where the server cut the text, else
	// what it counted for a text of words.
	perPiece float64
}

// newTokens cuts a dataset's text with the server's tokenizer, else into words whose
// tokens the server counts, else into words taken for tokens.
func newTokens(ctx context.Context, t Tokenizer, d plan.Dataset, openFile func(string) (io.ReadCloser, error)) (*tokens, error) {
	text := opticks
	if own := d.Values.String("text"); own != "" {
		text = own
	}
	if files := d.Values.Strings("text_files"); len(files) > 0 {
		var b strings.Builder
		for _, path := range files {
			f, err := openFile(path)
			if err != nil {
				return nil, err
			}
			_, err = io.Copy(&b, f)
			f.Close()
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", path, err)
			}
		}
		text = b.String()
	}
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("the text of %s is not UTF-8", d.Address)
	}
	if t != nil {
		if pieces, err := t.Pieces(ctx, text); err == nil {
			return cut(pieces, 1)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	words := splitWords(text)
	tok, err := cut(words, 1)
	if err != nil || t == nil {
		return tok, err
	}
	// Two counts: their difference is free of what the chat template adds.
	few, many := min(50, len(words)), min(600, len(words))
	a, errA := t.PromptTokens(ctx, strings.Join(words[:few], ""))
	b, errB := t.PromptTokens(ctx, strings.Join(words[:many], ""))
	if errA == nil && errB == nil && b > a && a > 0 {
		tok.perPiece = float64(b-a) / float64(many-few)
	}
	return tok, ctx.Err()
}

func cut(pieces []string, perPiece float64) (*tokens, error) {
	t := &tokens{pieces: pieces, perPiece: perPiece}
	for i, p := range pieces {
		if rest, ok := strings.CutPrefix(p, " "); ok {
			if r, _ := utf8.DecodeRuneInString(rest); unicode.IsLetter(r) {
				t.starts = append(t.starts, i)
			}
		}
	}
	if len(t.starts) < 2 {
		return nil, fmt.Errorf("the dataset's text has %d words: it needs at least two", len(t.starts))
	}
	return t, nil
}

// with is t for another text; no server is asked.
func (t *tokens) with(text string) *tokens {
	if text == "" {
		return t
	}
	other, err := cut(splitWords(text), t.perPiece)
	if err != nil {
		return t
	}
	return other
}

// splitWords cuts before every space that a letter follows.
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

// count is about how many tokens a text has.
func (t *tokens) count(text string) int64 {
	return max(1, int64(math.Round(float64(len(splitWords(text)))*max(1, t.perPiece))))
}

// random is where random numbers come from (math/rand/v2's Rand).
type random interface{ IntN(n int) int }

// unlike is how many random words begin a text, so that no two texts share a beginning
// that a prefix cache could know.
const unlike = 4

// text is n tokens: some random words, then running text from a random place.
func (t *tokens) text(r random, n int64) string {
	left := int(math.Round(float64(n) / t.perPiece))
	if n > 0 {
		left = max(1, left)
	}
	var b strings.Builder
	for range min(unlike, left) {
		b.WriteString(t.pieces[t.starts[r.IntN(len(t.starts))]])
		left--
	}
	at := t.starts[r.IntN(len(t.starts))]
	for ; left > 0; left-- {
		b.WriteString(t.pieces[at])
		if at++; at == len(t.pieces) {
			at = t.starts[0]
		}
	}
	return b.String()
}
