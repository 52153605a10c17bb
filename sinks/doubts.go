package sinks

import (
	"fmt"
	"slices"
	"strings"

	"sparkrun/runner/result"
)

// doubt is one thing that a cell is marked with, or why it is failed or skipped. Every sink
// that people read shows each with its sentence.
type doubt struct {
	of   *doubted
	mark string // "" for a cause
	why  string
}

// doubted is a cell, or the repeats of one that have the same doubts.
type doubted struct {
	address string // of several repeats: "…#1,#2,#4"
	phase   string
	sign    string // the verdict; "note" where the marks leave it ok
}

// text is the doubt on a line of its own.
func (d *doubt) text() string {
	if d.mark == "" {
		return firstLine(d.why)
	}
	return d.mark + ": " + d.why
}

// doubtsOf are the doubts of all cells in the order of their addresses, those of a cell
// together, its cause first.
func doubtsOf(entries []result.Entry) []doubt {
	sorted := make([]*result.Entry, len(entries))
	for i := range entries {
		sorted[i] = &entries[i]
	}
	slices.SortStableFunc(sorted, func(a, b *result.Entry) int { return byAddress(a.Address, b.Address) })
	var all []doubt
	alike := map[string]*doubted{}
	for _, e := range sorted {
		var own []doubt
		if e.Cause != "" || e.Verdict != result.OK && len(e.Marks) == 0 {
			own = append(own, doubt{why: e.Cause})
		}
		for _, m := range e.Marks {
			own = append(own, doubt{mark: m.Name, why: m.Why})
		}
		cell, repeat, _ := strings.Cut(e.Address, "#")
		key := fmt.Sprint(cell, e.Phase, e.Verdict, own)
		if of := alike[key]; of != nil {
			of.address += ",#" + repeat
			continue
		}
		of := &doubted{address: e.Address, phase: e.Phase, sign: string(e.Verdict)}
		if e.Verdict == result.OK {
			of.sign = "note"
		}
		alike[key] = of
		for i := range own {
			own[i].of = of
		}
		all = append(all, own...)
	}
	return all
}

// byAddress orders addresses with the numbers in them by value.
func byAddress(a, b string) int {
	switch {
	case natural(a, b):
		return -1
	case natural(b, a):
		return 1
	}
	return 0
}

// sortedThresholds are thresholds in the scenario's order, each by its cells.
func sortedThresholds(all []result.ThresholdResult) []result.ThresholdResult {
	var names []string
	for i := range all {
		if !slices.Contains(names, all[i].Name) {
			names = append(names, all[i].Name)
		}
	}
	out := slices.Clone(all)
	slices.SortStableFunc(out, func(a, b result.ThresholdResult) int {
		if a.Name != b.Name {
			return slices.Index(names, a.Name) - slices.Index(names, b.Name)
		}
		return byAddress(a.Address, b.Address)
	})
	return out
}
