package sinks

import (
	"slices"
	"strconv"
	"strings"

	"sparkrun/runner/result"
)

// series is what a chart draws as one line: the entries of a benchmark that differ in the
// load axis alone, repeats together.
type series struct {
	name   string // server and other axes
	points []point
}

type point struct {
	load    float64
	entries []*result.Entry
}

// value is the median of a number over the repeats of a point, nil where none has it.
func (p *point) value(path string) any {
	var all []float64
	for _, e := range p.entries {
		if v := e.Value(path); v != nil {
			all = append(all, *v)
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	return result.Percentile(all, 0.5)
}

// seriesOf makes the lines of a benchmark; axis is the one that goes up along them, "" for
// none, which gives no line.
func seriesOf(entries []result.Entry, benchmark string) (axis string, lines []series) {
	var own []*result.Entry
	for i := range entries {
		if entries[i].Benchmark == benchmark {
			own = append(own, &entries[i])
		}
	}
	if axis = loadAxis(own); axis == "" {
		return "", nil
	}
	for _, e := range own {
		load, err := strconv.ParseFloat(e.Matrix[axis], 64)
		if err != nil {
			continue // a cell that include has added without the axis
		}
		name := []string{strings.TrimPrefix(e.Server, "server.")}
		for _, a := range e.Axes {
			if a != axis && a != "server" {
				name = append(name, a+"="+e.Matrix[a])
			}
		}
		l := at(&lines, strings.Join(name, " "), func(s *series) string { return s.name }, func(n string) series { return series{name: n} })
		p := at(&l.points, load, func(p *point) float64 { return p.load }, func(v float64) point { return point{load: v} })
		p.entries = append(p.entries, e)
	}
	for i := range lines {
		slices.SortFunc(lines[i].points, func(a, b point) int { return cmpFloat(a.load, b.load) })
	}
	return axis, lines
}

// at finds the element with a key, or adds one.
func at[T any, K comparable](list *[]T, key K, of func(*T) K, add func(K) T) *T {
	for i := range *list {
		if of(&(*list)[i]) == key {
			return &(*list)[i]
		}
	}
	*list = append(*list, add(key))
	return &(*list)[len(*list)-1]
}

// loadAxis is the axis of a benchmark whose values are numbers: one that is named as load
// is, else the first.
func loadAxis(entries []*result.Entry) string {
	first := ""
	for _, e := range entries {
		for _, a := range e.Axes {
			if !numeric(entries, a) {
				continue
			}
			if slices.Contains([]string{"concurrency", "rate", "users"}, a) {
				return a
			}
			if first == "" {
				first = a
			}
		}
	}
	return first
}

func numeric(entries []*result.Entry, axis string) bool {
	for _, e := range entries {
		if v, ok := e.Matrix[axis]; ok {
			if _, err := strconv.ParseFloat(v, 64); err != nil {
				return false
			}
		}
	}
	return true
}
