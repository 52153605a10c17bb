package wire

import (
	"bytes"
	"encoding/json"
)

// event is what is needed of one stream event; the slices are raw JSON values inside it.
type event struct {
	err    []byte
	usage  []byte
	finish []byte // a string that is not empty
	texts  [][]byte
	thoughts,
	tools []byte
	choices bool // there is one
	content bool // some text that is not empty
	thinks  bool // some reasoning that is not empty
	buf     [2][]byte
}

// scan walks a chat or completion chunk once; false where it is not one JSON object.
func (e *event) scan(b []byte) bool {
	e.texts = e.buf[:0]
	i, ok := object(b, 0, func(key, value []byte) bool {
		switch string(key) {
		case "choices":
			return array(value, e.choice)
		case "usage":
			if value[0] == '{' {
				e.usage = value
			}
		case "error":
			if string(value) != "null" {
				e.err = value
			}
		}
		return true
	})
	return ok && len(bytes.TrimSpace(b[i:])) == 0
}

func (e *event) choice(b []byte) bool {
	if b[0] != '{' {
		return false
	}
	e.choices = true
	_, ok := object(b, 0, func(key, value []byte) bool {
		switch string(key) {
		case "delta":
			if value[0] == '{' {
				_, ok := object(value, 0, e.delta)
				return ok
			}
		case "text":
			e.text(value)
		case "finish_reason":
			if len(value) > 2 && value[0] == '"' {
				e.finish = value
			}
		}
		return true
	})
	return ok
}

func (e *event) delta(key, value []byte) bool {
	switch string(key) {
	case "content", "refusal":
		e.text(value)
	case "reasoning", "reasoning_content":
		if len(value) > 2 && value[0] == '"' {
			e.thoughts, e.thinks = value, true
		}
	case "tool_calls":
		if value[0] == '[' && len(value) > 2 {
			e.tools = value
		}
	case "function_call":
		if value[0] == '{' && len(value) > 2 {
			e.tools = value
		}
	}
	return true
}

func (e *event) text(value []byte) {
	if len(value) > 2 && value[0] == '"' {
		e.texts, e.content = append(e.texts, value), true
	}
}

// text is the string that a raw JSON value stands for.
func text(raw []byte) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// object calls visit for every member of the object at b[i:] and returns where it ends.
func object(b []byte, i int, visit func(key, value []byte) bool) (end int, ok bool) {
	i = space(b, i)
	if i >= len(b) || b[i] != '{' {
		return i, false
	}
	i = space(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1, true
	}
	for {
		start := space(b, i)
		if i = str(b, start); i < 0 {
			return 0, false
		}
		key := b[start+1 : i-1]
		if i = space(b, i); i >= len(b) || b[i] != ':' {
			return 0, false
		}
		start = space(b, i+1)
		if i = value(b, start); i < 0 || !visit(key, b[start:i]) {
			return 0, false
		}
		i = space(b, i)
		if i >= len(b) {
			return 0, false
		}
		switch b[i] {
		case ',':
			i++
		case '}':
			return i + 1, true
		default:
			return 0, false
		}
	}
}

// array calls visit for every element of an array; a null is an empty one.
func array(b []byte, visit func(value []byte) bool) bool {
	if string(b) == "null" {
		return true
	}
	if b[0] != '[' {
		return false
	}
	i := space(b, 1)
	if i < len(b) && b[i] == ']' {
		return true
	}
	for {
		start := space(b, i)
		if i = value(b, start); i < 0 || !visit(b[start:i]) {
			return false
		}
		if i = space(b, i); i >= len(b) {
			return false
		}
		switch b[i] {
		case ',':
			i++
		case ']':
			return true
		default:
			return false
		}
	}
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// str returns where the string at b[i:] ends, -1 where there is none.
func str(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// value returns where the value at b[i:] ends, -1 where there is none. Containers are
// skipped by their brackets.
func value(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return str(b, i)
	case '{', '[':
		for depth := 0; i < len(b); i++ {
			switch b[i] {
			case '"':
				if i = str(b, i); i < 0 {
					return -1
				}
				i--
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
		return -1
	}
	start := i
	for i < len(b) && bytes.IndexByte([]byte(",}] \t\r\n:\"{["), b[i]) < 0 {
		i++
	}
	if i == start {
		return -1
	}
	return i
}
