package addr

import (
	"fmt"
	"strconv"
	"strings"
)

// Selector chooses cells by their axes: all of its patterns must match. benchmark and
// repeat are axes too.
type Selector []Axis

// ParseSelector reads axis=pattern,axis=pattern. A pattern is a value in which * stands
// for any text; a value with a comma or a quote is written in double quotes, but for a
// variant: server=vllm(max_num_seqs=256,dtype=fp8). server=vllm means all variants of it.
func ParseSelector(s string) (Selector, error) {
	var sel Selector
	for rest := s; ; {
		ident, after := name(rest)
		after, ok := strings.CutPrefix(after, "=")
		if ident == "" || !ok {
			return nil, fmt.Errorf("%q: write it as axis=value, several with commas between", s)
		}
		var value string
		if strings.HasPrefix(after, `"`) {
			quoted, err := strconv.QuotedPrefix(after)
			if err != nil {
				return nil, fmt.Errorf("%q: a quoted value has no end", s)
			}
			if value, err = strconv.Unquote(quoted); err != nil {
				return nil, fmt.Errorf("%q: %s is not a quoted value", s, quoted)
			}
			after = after[len(quoted):]
		} else {
			value = after[:patternLength(after)]
			after = after[len(value):]
		}
		sel = append(sel, Axis{ident, value})
		if after == "" {
			return sel, nil
		}
		if rest, ok = strings.CutPrefix(after, ","); !ok {
			return nil, fmt.Errorf("%q: expected a comma at %q", s, after)
		}
	}
}

// patternLength is how long the pattern at the front of s is: to the first comma that is
// not between parentheses.
func patternLength(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth <= 0 {
				return i
			}
		}
	}
	return len(s)
}

// Match reports whether the cell has a matching value on every axis of the selector.
func (s Selector) Match(c Cell) bool {
	for _, want := range s {
		got, ok := c.Value(want.Name)
		if !ok || (!glob(want.Value, got) && !glob(want.Value, Base(got))) {
			return false
		}
	}
	return true
}

// glob matches text against a pattern in which * stands for any text.
func glob(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(text) < len(first)+len(last) || !strings.HasPrefix(text, first) || !strings.HasSuffix(text, last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(text, p)
		if i < 0 {
			return false
		}
		text = text[i+len(p):]
	}
	return true
}
