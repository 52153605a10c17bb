package framework

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"sparkrun/targets"
)

// Tokenizer asks a server about tokens.
type Tokenizer struct {
	Client   *http.Client
	Endpoint targets.Endpoint
	API      string // "chat" or "completions"
}

// errNoPieces says that a server does not cut text into pieces for us.
var errNoPieces = errors.New("the server does not tell the pieces of a text")

// Pieces cuts a text into the server's tokens: the pieces joined are the text. It knows
// vLLM's /tokenize and llama.cpp's.
func (t Tokenizer) Pieces(ctx context.Context, text string) ([]string, error) {
	var out struct {
		Tokens  json.RawMessage `json:"tokens"`
		Strings []string        `json:"token_strs"`
	}
	ask := map[string]any{
		"model": t.Endpoint.Model, "prompt": text, "return_token_strs": true, "add_special_tokens": false, // vLLM
		"content": text, "with_pieces": true, "add_special": false, // llama.cpp
	}
	if err := call(ctx, t.Client, t.Endpoint, http.MethodPost, root(t.Endpoint)+"/tokenize", ask, &out); err != nil {
		return nil, err
	}
	pieces := out.Strings
	if pieces == nil {
		var tokens []struct {
			Piece json.RawMessage `json:"piece"`
		}
		if json.Unmarshal(out.Tokens, &tokens) != nil {
			return nil, errNoPieces
		}
		for _, tok := range tokens {
			var s string
			if json.Unmarshal(tok.Piece, &s) != nil {
				// Bytes of a broken character, as numbers: glued to the piece before them.
				var raw []int
				if json.Unmarshal(tok.Piece, &raw) != nil {
					return nil, errNoPieces
				}
				for _, b := range raw {
					s += string([]byte{byte(b)})
				}
			}
			pieces = append(pieces, s)
		}
	}
	for _, decode := range []func(string) string{
		func(s string) string { return s },
		byteLevel,
		func(s string) string { return strings.ReplaceAll(s, "▁", " ") }, // SentencePiece
	} {
		plain := make([]string, len(pieces))
		for i, p := range pieces {
			plain[i] = decode(p)
		}
		if strings.Join(plain, "") == text {
			return plain, nil
		}
	}
	return nil, errNoPieces
}

// Count is how many tokens a text has, without those of a chat template. It knows the
// /tokenize of vLLM, SGLang and llama.cpp.
func (t Tokenizer) Count(ctx context.Context, text string) (int, error) {
	var out struct {
		Count  *int              `json:"count"`
		Tokens []json.RawMessage `json:"tokens"`
	}
	ask := map[string]any{
		"model": t.Endpoint.Model, "prompt": text, "add_special_tokens": false, // vLLM, SGLang
		"content": text, "add_special": false, // llama.cpp
	}
	if err := call(ctx, t.Client, t.Endpoint, http.MethodPost, root(t.Endpoint)+"/tokenize", ask, &out); err != nil {
		return 0, err
	}
	if out.Count != nil {
		return *out.Count, nil
	}
	if out.Tokens == nil {
		return 0, errNoPieces
	}
	return len(out.Tokens), nil
}

// PromptTokens is how many tokens the server counts in a prompt of this text.
func (t Tokenizer) PromptTokens(ctx context.Context, text string) (int, error) {
	return promptTokens(ctx, t.Client, t.Endpoint, t.API, text)
}

// byteLevel undoes the printable alphabet of byte-level BPE vocabularies (GPT-2's
// bytes_to_unicode): printable Latin-1 stands for itself, the other bytes follow from U+0100.
func byteLevel(s string) string {
	out := make([]byte, 0, len(s))
	for _, r := range s {
		switch {
		case r < 0x100:
			out = append(out, byte(r))
		case int(r)-0x100 < len(hidden):
			out = append(out, hidden[r-0x100])
		default:
			return s
		}
	}
	return string(out)
}

// hidden are the bytes that the alphabet has no printable character for, in order.
var hidden = func() []byte {
	var b []byte
	for i := range 256 {
		if i <= ' ' || (i >= 0x7f && i <= 0xa0) || i == 0xad {
			b = append(b, byte(i))
		}
	}
	return b
}()
