package result

import "sparkrun/runner/load"

// Worker is a process that made a share of an entry's load.
type Worker struct {
	Rank         int     `json:"rank"`
	Host         string  `json:"host"`
	Requests     int64   `json:"requests"`       // of the whole cell, those of which there are records
	ClockErrorMS float64 `json:"clock_error_ms"` // that its times may be off those of the others, at most
	Lost         string  `json:"lost,omitempty"` // why nothing more came of it
}

func workersOf(out load.Outcome) []Worker {
	var all []Worker
	for _, w := range out.Workers {
		all = append(all, Worker{w.Rank, w.Host, w.Requests, float64(w.OffsetError) / 1e6, w.Lost})
	}
	return all
}

// lostIn are the workers whose loss touches a phase: it came before the phase's end, or
// after it and before the next began, when records of it were still to come.
func (w *window) lostIn(out load.Outcome) (lost []load.Worker) {
	for _, worker := range out.Workers {
		touched := worker.Lost != ""
		for _, p := range out.Phases {
			if p.Start > w.ran.Start && p.Start <= worker.LostAt {
				touched = false
			}
		}
		if touched {
			lost = append(lost, worker)
		}
	}
	return lost
}
