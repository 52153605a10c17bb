package addr

import (
	"fmt"
	"strconv"
	"strings"
)

// Parse reads what Cell.String prints.
func Parse(s string) (Cell, error) {
	rest, ok := strings.CutPrefix(s, "benchmark.")
	if !ok {
		return Cell{}, fmt.Errorf("address %q: it begins with benchmark.NAME", s)
	}
	var c Cell
	c.Benchmark, rest = name(rest)
	if c.Benchmark == "" {
		return Cell{}, fmt.Errorf("address %q: a name must follow benchmark.", s)
	}
	if list, ok := strings.CutPrefix(rest, "["); ok {
		for {
			var a Axis
			var err error
			if a, list, err = axis(list); err != nil {
				return Cell{}, fmt.Errorf("address %q: %w", s, err)
			}
			c.Axes = append(c.Axes, a)
			if rest, ok = strings.CutPrefix(list, "]"); ok {
				break
			}
			if list, ok = strings.CutPrefix(list, ","); !ok {
				return Cell{}, fmt.Errorf("address %q: expected , or ] at %q", s, list)
			}
		}
	}
	number, ok := strings.CutPrefix(rest, "#")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < 1 || strconv.Itoa(n) != number {
		return Cell{}, fmt.Errorf("address %q: it ends in #N, the repeat from 1", s)
	}
	c.Repeat = n
	return c, nil
}

// axis reads NAME=VALUE off the front of s.
func axis(s string) (a Axis, rest string, err error) {
	a.Name, rest = name(s)
	rest, ok := strings.CutPrefix(rest, "=")
	if a.Name == "" || !ok {
		return a, rest, fmt.Errorf("expected axis=value at %q", s)
	}
	if strings.HasPrefix(rest, `"`) {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return a, rest, fmt.Errorf("the quoted value at %q has no end", rest)
		}
		a.Value, err = strconv.Unquote(quoted)
		return a, rest[len(quoted):], err
	}
	end := variantLength(rest)
	if end == 0 {
		end = valueLength(rest)
	}
	if end == 0 {
		return a, rest, fmt.Errorf("axis %s has no value; an empty one is written \"\"", a.Name)
	}
	a.Value = rest[:end]
	return a, rest[end:], nil
}

// name cuts an identifier off the front of s: a letter or _, then letters, digits, _ and -.
func name(s string) (ident, rest string) {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || (c != '-' && (c < '0' || c > '9'))) {
			return s[:i], s[i:]
		}
	}
	return s, ""
}
