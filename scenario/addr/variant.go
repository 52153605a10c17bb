package addr

import (
	"slices"
	"strconv"
	"strings"
)

// Variant is the name of a server with values on axes of its own, as in
// vllm(max_num_seqs=256). The axes are sorted by name, so that reordering them in the file
// changes nothing.
func Variant(server string, axes []Axis) string {
	axes = slices.Clone(axes)
	slices.SortFunc(axes, func(a, b Axis) int { return strings.Compare(a.Name, b.Name) })
	parts := make([]string, len(axes))
	for i, a := range axes {
		parts[i] = a.Name + "=" + quote(a.Value)
	}
	return server + "(" + strings.Join(parts, ",") + ")"
}

// Base is a variant's server without its axes; any other value is itself.
func Base(value string) string {
	if n := variantLength(value); n > 0 && n == len(value) {
		return value[:strings.IndexByte(value, '(')]
	}
	return value
}

// variantLength is how long the variant at the front of s is, 0 where there is none:
// NAME(AXIS=VALUE,AXIS=VALUE), a VALUE quoted where it must be.
func variantLength(s string) int {
	ident, rest := name(s)
	if ident == "" || !strings.HasPrefix(rest, "(") {
		return 0
	}
	for rest = rest[1:]; ; rest = rest[1:] {
		ident, after := name(rest)
		after, ok := strings.CutPrefix(after, "=")
		if ident == "" || !ok {
			return 0
		}
		n := valueLength(after)
		if n == 0 || n == len(after) {
			return 0
		}
		switch rest = after[n:]; rest[0] {
		case ')':
			return len(s) - len(rest) + 1
		case ',':
		default:
			return 0
		}
	}
}

// valueLength is how long the bare or quoted value at the front of s is, 0 for none.
func valueLength(s string) int {
	if strings.HasPrefix(s, `"`) {
		quoted, err := strconv.QuotedPrefix(s)
		if err != nil {
			return 0
		}
		return len(quoted)
	}
	if end := strings.IndexFunc(s, func(r rune) bool { return !bare(r) }); end >= 0 {
		return end
	}
	return len(s)
}
