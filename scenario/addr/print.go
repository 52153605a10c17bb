package addr

import (
	"slices"
	"strconv"
	"strings"
)

// String prints the address with its axes in the file's order:
// benchmark.multi_turn[server=vllm,concurrency=16]#2.
func (c Cell) String() string { return c.print(c.Axes) }

// Canonical prints the address with its axes sorted by name: the key of journals and
// digests, which reordering a matrix does not change.
func (c Cell) Canonical() string {
	axes := slices.Clone(c.Axes)
	slices.SortFunc(axes, func(a, b Axis) int { return strings.Compare(a.Name, b.Name) })
	return c.print(axes)
}

// WithoutRepeat is String without #n: what the repeats of a cell have in common.
func (c Cell) WithoutRepeat() string {
	s := c.String()
	return s[:strings.LastIndexByte(s, '#')]
}

// Value returns the cell's value on an axis; benchmark and repeat are axes too.
func (c Cell) Value(axis string) (string, bool) {
	switch axis {
	case "benchmark":
		return c.Benchmark, true
	case "repeat":
		return strconv.Itoa(c.Repeat), true
	}
	for _, a := range c.Axes {
		if a.Name == axis {
			return a.Value, true
		}
	}
	return "", false
}

func (c Cell) print(axes []Axis) string {
	var b strings.Builder
	b.WriteString("benchmark." + c.Benchmark)
	for i, a := range axes {
		b.WriteByte("[,"[min(i, 1)])
		b.WriteString(a.Name + "=" + quote(a.Value))
	}
	if len(axes) > 0 {
		b.WriteByte(']')
	}
	b.WriteString("#" + strconv.Itoa(c.Repeat))
	return b.String()
}

// quote prints a value bare where it can be: also one that is a variant as a whole.
func quote(v string) string {
	if n := variantLength(v); n > 0 && n == len(v) {
		return v
	}
	if v != "" && strings.IndexFunc(v, func(r rune) bool { return !bare(r) }) < 0 {
		return v
	}
	return strconv.Quote(v)
}

// bare reports whether a value may have r without quotes: [A-Za-z0-9._:/+-].
func bare(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._:/+-", r)
}
