package sim

import (
	"hash/fnv"
	"unicode"
	"unicode/utf8"
)

// maxPiece is the longest token in bytes.
const maxPiece = 7

// pieces cuts a text into the simulator's tokens: a space belongs to the word behind it,
// a word is cut into pieces of seven bytes, anything else is a token by itself.
func pieces(text string) []string {
	var out []string
	for len(text) > 0 {
		i := 0
		if text[0] == ' ' && len(text) > 1 {
			i = 1
		}
		letters := 0
		for i < len(text) {
			r, n := utf8.DecodeRuneInString(text[i:])
			if !unicode.IsLetter(r) && !unicode.IsDigit(r) || i+n > maxPiece {
				break
			}
			i += n
			letters++
		}
		if letters == 0 {
			_, n := utf8.DecodeRuneInString(text)
			i = n
		}
		out = append(out, text[:i])
		text = text[i:]
	}
	return out
}

// Tokens of the chat template: before the first message, and around each.
const (
	templateTokens = 3
	messageTokens  = 4
)

func tokenID(piece string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(piece))
	return h.Sum32() % 200000
}

// blockSize is how many tokens a block of the prefix cache has, as in vLLM.
const blockSize = 16

// blocks are the chained hashes of a prompt's whole blocks.
func blocks(prompt []string) []uint64 {
	h := fnv.New64a()
	var out []uint64
	for i, p := range prompt {
		h.Write([]byte(p))
		h.Write([]byte{0})
		if (i+1)%blockSize == 0 {
			out = append(out, h.Sum64())
		}
	}
	return out
}

var words = []string{
	" the", " model", " of", " light", " and", " water", " a", " small", " house", " in", " time", " with", " old",
	" stone", " river", " to", " night", " open", " road", " is", " green", " over", " field", " she", " said", ",",
	" that", " no", " one", " had", " seen", " before", ".", " It", " was", " then", " quiet", " again",
}

// word is token number i of an answer.
func word(seed uint64, i int64) string {
	x := (seed + uint64(i)*0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
	return words[(x>>33)%uint64(len(words))]
}
