package result

import (
	"slices"

	"sparkrun/runner/record"
)

// Turns keep the first turns of conversations apart from the later ones: a first turn's
// prompt is new to the server, a later one's mostly known, and their mean is neither's.
type Turns struct {
	First *TurnStats `json:"first"`
	Later *TurnStats `json:"later"`
}

// TurnStats are the statistics of some turns' ok requests.
type TurnStats struct {
	Count   int64  `json:"count"`
	TTFT    *Stats `json:"ttft_ms"`
	TPOT    *Stats `json:"tpot_ms"`
	Latency *Stats `json:"latency_ms"`
	Input   *Stats `json:"input_tokens"`
	Cached  *Stats `json:"cached_tokens"`
}

// turns splits the ok requests; nil where all are first turns.
func (w *window) turns() *Turns {
	if !slices.ContainsFunc(w.ok, func(rec *record.Record) bool { return rec.Turn > 0 }) {
		return nil
	}
	var first, later []*record.Record
	for _, rec := range w.ok {
		if rec.Turn == 0 {
			first = append(first, rec)
		} else {
			later = append(later, rec)
		}
	}
	return &Turns{First: turnStats(first), Later: turnStats(later)}
}

func turnStats(records []*record.Record) *TurnStats {
	t, sorted, into := &TurnStats{Count: int64(len(records))}, &sorter{}, make([]float64, len(records))
	for name, s := range t.fields() {
		*s = sorted.stats(column(records, into, name))
	}
	return t
}

func (t *TurnStats) fields() map[string]**Stats {
	return map[string]**Stats{"ttft_ms": &t.TTFT, "tpot_ms": &t.TPOT, "latency_ms": &t.Latency, "input_tokens": &t.Input, "cached_tokens": &t.Cached}
}

// value is the number at what follows turns. in a path: first.count, later.ttft_ms.p50.
func (t *Turns) value(part []string) *float64 {
	if t == nil {
		return nil
	}
	of := t.First
	if part[0] == "later" {
		of = t.Later
	}
	if of == nil {
		return nil // a file that we did not write
	}
	switch s := of.fields(); {
	case len(part) == 2 && part[1] == "count":
		return ptr(float64(of.Count))
	case len(part) == 3 && s[part[1]] != nil:
		return (*s[part[1]]).value(part[2])
	}
	return nil
}
