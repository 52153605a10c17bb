package runner

import (
	"encoding/json"
	"fmt"
	"slices"

	"sparkrun/runner/journal"
	"sparkrun/runner/load"
	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
)

// reuse takes the cells that an earlier try of this run finished from its rows: same
// address, same digest. It returns their canonical addresses.
func (r *run) reuse() map[string]bool {
	reused, numbers := map[string]bool{}, map[int]bool{}
	for i := range r.Plan.Cells {
		c := &r.Plan.Cells[i]
		line, ok := r.Finished[c.Canonical]
		if !ok || line.Digest != c.Digest {
			continue
		}
		if moved := r.moved(c, line); moved != "" {
			r.emit(Event{Type: EventLog, Level: "warn", Message: fmt.Sprintf("measure %s again: %s", c.Name, moved)})
			continue
		}
		cell, err := r.readCell(c, line.Number, line.Load)
		if err != nil {
			r.emit(Event{Type: EventLog, Level: "warn", Message: fmt.Sprintf("measure %s again: %v", c.Name, err)})
			continue
		}
		cell.Model = line.Model
		result.FromTry(cell.Entries, line.Try)
		for i := range cell.Entries {
			cell.Entries[i].Model = line.Model
			if r.Parallelism > 1 {
				cell.Entries[i].AddShared(r.Parallelism)
			}
		}
		reused[c.Canonical], numbers[line.Number] = true, true
		r.entries[c.Canonical] = cell.Entries
		r.doneSecs += c.Estimate.Seconds
		r.sinkCell(cell)
		r.emit(Event{Type: EventCellEnded, Address: c.Name, Outcome: Succeeded, Message: "measured before", Data: cell.Entries})
	}
	r.renumber(reused, numbers)
	return reused
}

// moved says that the image on which a cell was measured is another one by now, under the
// same name; "" where it is the same, or cannot be told because it is not here.
func (r *run) moved(c *plan.Cell, line journal.Line) string {
	s := r.server(c.Server)
	ref := s.Values.String("image")
	if line.Image == "" || ref == "" {
		return ""
	}
	engine, err := r.Tools.Containers(s.Nodes[0])
	if err != nil {
		return ""
	}
	now, err := engine.Digest(r.Control.soft, ref)
	if err != nil || now == "" || now == line.Image {
		return ""
	}
	return fmt.Sprintf("image %s is %s now, it was %s", ref, now, line.Image)
}

// renumber keeps the cells that are still to run off the row files of finished ones,
// which a changed scenario may have given other places in the plan.
func (r *run) renumber(reused map[string]bool, taken map[int]bool) {
	next := len(r.Plan.Cells) + 1
	for i := range r.Plan.Cells {
		c := &r.Plan.Cells[i]
		if reused[c.Canonical] || !taken[c.Number] {
			continue
		}
		for taken[next] {
			next++
		}
		c.Number, next = next, next+1
	}
}

// readCell makes a finished cell from its raw rows. Its number is the one that the
// earlier try gave it.
func (r *run) readCell(c *plan.Cell, number int, outcome json.RawMessage) (*result.Cell, error) {
	records, closed, err := r.Store.ReadRows(number)
	if err != nil {
		return nil, err
	}
	if !closed { // the earlier try ended between the two
		kept := *c
		kept.Number = number
		r.keepRows(&kept, records)
	}
	var out load.Outcome
	if err := json.Unmarshal(outcome, &out); err != nil {
		return nil, fmt.Errorf("read the journal's line of it: %w", err)
	}
	s := r.server(c.Server)
	return &result.Cell{Plan: c, Server: s, Records: records, Outcome: out, Entries: result.Summarise(c, s, records, out)}, nil
}

func marshal(out load.Outcome) json.RawMessage {
	b, err := json.Marshal(out)
	if err != nil {
		panic(err) // plain data
	}
	return b
}

// without drops the tasks of finished cells, and those of sessions that have none left.
// What waited for a dropped task waits for it no more.
func without(tasks []plan.Task, finished map[string]bool) []plan.Task {
	busy := map[string]bool{}
	for _, t := range tasks {
		if t.Kind == plan.TaskCell && !finished[t.Subject] {
			busy[t.Session] = true
		}
	}
	dropped := map[string]bool{}
	var kept []plan.Task
	for _, t := range tasks {
		if (t.Kind == plan.TaskCell && finished[t.Subject]) || (t.Session != "" && !busy[t.Session]) {
			dropped[t.ID] = true
			continue
		}
		kept = append(kept, t)
	}
	return untie(kept, dropped)
}

// untie removes the edges to dropped tasks.
func untie(kept []plan.Task, dropped map[string]bool) []plan.Task {
	gone := func(id string) bool { return dropped[id] }
	for i := range kept {
		kept[i].Needs = slices.DeleteFunc(slices.Clone(kept[i].Needs), gone)
		kept[i].After = slices.DeleteFunc(slices.Clone(kept[i].After), gone)
	}
	return kept
}

// serverTasks are the tasks of servers alone.
func serverTasks(tasks []plan.Task) []plan.Task {
	dropped := map[string]bool{}
	var kept []plan.Task
	for _, t := range tasks {
		if t.Kind != plan.TaskCheck && t.Kind != plan.TaskStart && t.Kind != plan.TaskStop {
			dropped[t.ID] = true
			continue
		}
		kept = append(kept, t)
	}
	return untie(kept, dropped)
}
