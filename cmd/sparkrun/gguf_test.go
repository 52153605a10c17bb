package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// A GGUF model of random weights, so that a real llama.cpp can be run with nothing fetched:
// architecture qwen2, two small layers, a token for each byte and for a few words. It says letters and spaces,
// and never stops by itself. The format is ggml's (docs/gguf.md of that project), version 3.

const (
	ggufUint32, ggufInt32, ggufFloat32, ggufString, ggufArray = 4, 5, 6, 8, 9 // kinds of values
	ggufAlign                                                 = 32
	modelWidth, modelLayers, modelHeads, modelInner           = 64, 2, 4, 128
)

// ggufTensor is a matrix or vector of float32.
type ggufTensor struct {
	name   string
	dims   []uint64
	values []float32
}

// ggufValue is a key's value: uint32, float32, string, []string or []int32.
type ggufValue struct {
	key   string
	value any
}

// writeGGUF writes the model to a file.
func writeGGUF(t *testing.T, path string) {
	t.Helper()
	tokens, kinds, merges := byteVocabulary()
	r := rand.New(rand.NewPCG(1, 42))
	random := func(name string, in, out int) ggufTensor {
		v := make([]float32, in*out)
		for i := range v {
			v[i] = float32(r.NormFloat64() / math.Sqrt(float64(in)))
		}
		return ggufTensor{name, []uint64{uint64(in), uint64(out)}, v}
	}
	all := func(name string, n int, value func(i int) float32) ggufTensor {
		v := make([]float32, n)
		for i := range v {
			v[i] = value(i)
		}
		return ggufTensor{name, []uint64{uint64(n)}, v}
	}
	one, zero := func(int) float32 { return 1 }, func(int) float32 { return 0 }
	tensors := []ggufTensor{
		random("token_embd.weight", modelWidth, len(tokens)), all("output_norm.weight", modelWidth, one),
		random("output.weight", modelWidth, len(tokens)),
		all("output.bias", len(tokens), func(i int) float32 {
			if i == ' ' || (i >= 'a' && i <= 'z') {
				return 0
			}
			return -100 // never said
		}),
	}
	for i := range modelLayers {
		p := fmt.Sprintf("blk.%d.", i)
		tensors = append(tensors, all(p+"attn_norm.weight", modelWidth, one), all(p+"ffn_norm.weight", modelWidth, one))
		for _, name := range []string{"attn_q", "attn_k", "attn_v"} {
			tensors = append(tensors, random(p+name+".weight", modelWidth, modelWidth), all(p+name+".bias", modelWidth, zero))
		}
		tensors = append(tensors, random(p+"attn_output.weight", modelWidth, modelWidth), random(p+"ffn_gate.weight", modelWidth, modelInner),
			random(p+"ffn_up.weight", modelWidth, modelInner), random(p+"ffn_down.weight", modelInner, modelWidth))
	}
	end := uint32(len(tokens) - 1)
	values := []ggufValue{
		{"general.architecture", "qwen2"}, {"general.name", "random"}, {"general.alignment", uint32(ggufAlign)},
		{"qwen2.context_length", uint32(8192)}, {"qwen2.embedding_length", uint32(modelWidth)}, {"qwen2.block_count", uint32(modelLayers)},
		{"qwen2.feed_forward_length", uint32(modelInner)}, {"qwen2.attention.head_count", uint32(modelHeads)}, {"qwen2.attention.head_count_kv", uint32(modelHeads)},
		{"qwen2.rope.freq_base", float32(1e6)}, {"qwen2.attention.layer_norm_rms_epsilon", float32(1e-6)},
		{"tokenizer.ggml.model", "gpt2"}, {"tokenizer.ggml.pre", "qwen2"}, {"tokenizer.ggml.tokens", tokens}, {"tokenizer.ggml.token_type", kinds},
		{"tokenizer.ggml.merges", merges}, {"tokenizer.ggml.eos_token_id", end},
		{"tokenizer.chat_template", "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"},
	}
	if err := os.WriteFile(path, ggufFile(values, tensors), 0o644); err != nil {
		t.Fatal(err)
	}
}

// modelWords are the words that are one token with the space before them.
const modelWords = "the of and to in that which is by be as it with from light rays this for are at or same one not glass"

// byteVocabulary has a token for each byte, as byte-level BPE writes bytes: those that can
// be seen as they are, the others from U+0100 on; then the words and what they are merged
// from, and the end.
func byteVocabulary() (tokens []string, kinds []int32, merges []string) {
	const normal, control = 1, 3
	hidden := rune(256)
	for b := range rune(256) {
		if (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE) {
			tokens = append(tokens, string(b))
		} else {
			tokens = append(tokens, string(hidden))
			hidden++
		}
	}
	space := tokens[' ']
	for word := range strings.FieldsSeq(modelWords) {
		for i := range word {
			begun := space + word[:i]
			if longer := begun + word[i:i+1]; !slices.Contains(tokens, longer) {
				tokens, merges = append(tokens, longer), append(merges, begun+" "+word[i:i+1])
			}
		}
	}
	kinds = slices.Repeat([]int32{normal}, len(tokens))
	return append(tokens, "<|end|>"), append(kinds, control), merges
}

// ggufFile is the file's bytes.
func ggufFile(values []ggufValue, tensors []ggufTensor) []byte {
	var b bytes.Buffer
	put := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) }
	text := func(s string) { put(uint64(len(s))); b.WriteString(s) }
	b.WriteString("GGUF")
	put(uint32(3))
	put(uint64(len(tensors)))
	put(uint64(len(values)))
	for _, kv := range values {
		text(kv.key)
		switch v := kv.value.(type) {
		case uint32:
			put(uint32(ggufUint32))
			put(v)
		case float32:
			put(uint32(ggufFloat32))
			put(v)
		case string:
			put(uint32(ggufString))
			text(v)
		case []int32:
			put([]uint32{ggufArray, ggufInt32})
			put(uint64(len(v)))
			put(v)
		case []string:
			put([]uint32{ggufArray, ggufString})
			put(uint64(len(v)))
			for _, s := range v {
				text(s)
			}
		}
	}
	const float32Type = 0
	offset := uint64(0)
	for _, t := range tensors {
		text(t.name)
		put(uint32(len(t.dims)))
		put(t.dims)
		put(uint32(float32Type))
		put(offset)
		offset += uint64(len(t.values)) * 4
		offset += -offset % ggufAlign
	}
	align := func() {
		for b.Len()%ggufAlign != 0 {
			b.WriteByte(0)
		}
	}
	align()
	for _, t := range tensors {
		put(t.values)
		align()
	}
	return b.Bytes()
}
