package sinks

import (
	"slices"

	"sparkrun/runner/result"
)

// doubt is one thing that a cell is marked with, or why it is failed or skipped. Every sink
// that people read shows each with its sentence.
type doubt struct {
	entry *result.Entry
	sign  string // the cell's verdict; "note" where the mark leaves it ok
	mark  string // "" for a cause
	why   string
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
	var all []doubt
	for i := range entries {
		e := &entries[i]
		sign := string(e.Verdict)
		if e.Verdict == result.OK {
			sign = "note"
		}
		if e.Cause != "" || e.Verdict != result.OK && len(e.Marks) == 0 {
			all = append(all, doubt{e, sign, "", e.Cause})
		}
		for _, m := range e.Marks {
			all = append(all, doubt{e, sign, m.Name, m.Why})
		}
	}
	slices.SortStableFunc(all, func(a, b doubt) int { return byAddress(a.entry.Address, b.entry.Address) })
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
