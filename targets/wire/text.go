package wire

import (
	"unicode/utf16"
	"unicode/utf8"

	"sparkrun/runner/record"
)

// texts are the parts of an answer's text as they came: the insides of JSON strings, one
// after the other. They are unescaped once, after the stream has ended.
type texts struct {
	content, reasoning, tools []byte
}

// add takes a raw JSON string.
func (t *texts) add(thinks bool, raw []byte) {
	raw = raw[1 : len(raw)-1]
	if thinks {
		t.reasoning = append(t.reasoning, raw...)
	} else {
		t.content = append(t.content, raw...)
	}
}

// addTools takes tool-call deltas: an array of all of them is valid JSON.
func (t *texts) addTools(raw []byte) {
	switch {
	case raw == nil:
	case len(t.tools) == 0:
		t.tools = append(append(append(t.tools, '['), raw...), ']')
	default:
		t.tools = append(append(append(t.tools[:len(t.tools)-1], ','), raw...), ']')
	}
}

// answer is the text as people read it.
func (t *texts) answer() record.Answer {
	return record.Answer{Content: unescape(t.content), Reasoning: unescape(t.reasoning), ToolCalls: string(t.tools)}
}

// unescape is the text that the inside of a JSON string stands for. Like encoding/json it
// puts U+FFFD for half a surrogate pair and for bytes that are not UTF-8; what is no
// escape stands for itself.
func unescape(b []byte) string {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case c == '\\' && i+1 < len(b):
			r, n := escaped(b[i:])
			out = utf8.AppendRune(out, r)
			i += n
		case c < utf8.RuneSelf:
			out = append(out, c)
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			out = utf8.AppendRune(out, r)
			i += n
		}
	}
	return string(out)
}

// escaped is the character of the escape at the front of b, and how long the escape is.
func escaped(b []byte) (r rune, n int) {
	switch b[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'u':
		r, ok := hex4(b)
		if !ok {
			break
		}
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if low, ok := hex4(b[6:]); ok {
			if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
				return both, 12
			}
		}
		return utf8.RuneError, 6
	}
	return '\\', 1
}

// hexDigit is the value of one.
func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// hex4 reads a \u and its four digits.
func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		digit, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(digit)
	}
	return r, true
}
