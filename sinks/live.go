package sinks

import (
	"slices"
	"sync"
	"time"

	"sparkrun/runner/result"
)

// Live is how a running cell is, a few times a second.
type Live struct {
	Cell             string  `json:"cell"`
	Phase            string  `json:"phase"`
	Done             float64 `json:"done"` // share of the phase, -1 where nothing bounds it
	InFlight         int64   `json:"in_flight"`
	Sent             int64   `json:"sent"`
	OK               int64   `json:"ok"`
	Failed           int64   `json:"failed"`
	OutputTokensPerS float64 `json:"output_tokens_per_s"` // over the last second
	TTFTMeanMS       float64 `json:"ttft_mean_ms"`        // of the ok requests so far
	RemainingSeconds float64 `json:"-"`                   // of the whole run, -1 unknown
}

// Watcher is a sink that also wants to know how the running cells are.
type Watcher interface{ Live(l Live) }

// board is what is known of a run while it goes on.
type board struct {
	mu        sync.Mutex
	info      *result.Run
	order     map[string]int // of the plan's cells
	entries   []result.Entry // of the finished ones, in the plan's order
	ended     map[string]bool
	running   []Live
	remaining float64 // seconds, -1 unknown
}

func (b *board) begin(r *result.Run) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.info, b.order, b.ended, b.remaining = r, map[string]int{}, map[string]bool{}, -1
	for i := range r.Plan.Cells {
		b.order[r.Plan.Cells[i].Name] = i
	}
}

// live takes what a running cell says.
func (b *board) live(l Live) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended[l.Cell] {
		return
	}
	b.remaining = l.RemainingSeconds
	i := slices.IndexFunc(b.running, func(r Live) bool { return r.Cell == l.Cell })
	if i < 0 {
		b.running = append(b.running, l)
		return
	}
	b.running[i] = l
}

// cell takes a finished cell.
func (b *board) cell(c *result.Cell) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended[c.Plan.Name] = true
	b.running = slices.DeleteFunc(b.running, func(r Live) bool { return r.Cell == c.Plan.Name })
	b.entries = append(b.entries, c.Entries...)
	slices.SortStableFunc(b.entries, func(x, y result.Entry) int { return b.order[x.Address] - b.order[y.Address] })
}

// now is a copy of what is known.
func (b *board) now() (info result.Run, entries []result.Entry, running []Live, done, total int, remaining float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	info = *b.info
	if info.Ended.IsZero() {
		info.Ended = time.Now()
	}
	return info, slices.Clone(b.entries), slices.Clone(b.running), len(b.ended), len(b.order), b.remaining
}
