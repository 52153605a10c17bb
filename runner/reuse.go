package runner

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"sparkrun/runner/journal"
	"sparkrun/runner/load"
	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
)

// reuse takes the cells that an earlier try of this run finished from its rows: same
// address, same digest, and the server is what it was. It returns their canonical
// addresses. Where a session's server is to be started for other cells, what it is can be
// told best once it runs: its finished cells stay among the tasks, and confirm decides.
func (r *run) reuse() map[string]bool {
	same := map[string]journal.Line{}
	starts := map[string]bool{}  // sessions that measure
	moves := map[string]string{} // what moved, by server and what was found of it before
	for i := range r.Plan.Cells {
		c := &r.Plan.Cells[i]
		line, ok := r.Finished[c.Canonical]
		if ok && line.Digest == c.Digest {
			key := c.Server + string(line.Server)
			moved, asked := moves[key]
			if !asked {
				moved = r.moved(c, line)
				moves[key] = moved
			}
			if moved == "" {
				same[c.Canonical] = line
				continue
			}
			r.again(c, moved)
		}
		starts[c.Session] = true
	}
	reused, numbers := map[string]bool{}, map[int]bool{}
	for i := range r.Plan.Cells {
		c := &r.Plan.Cells[i]
		line, ok := same[c.Canonical]
		if !ok {
			continue
		}
		numbers[line.Number] = true
		if starts[c.Session] && measuredOn(line) != nil {
			r.tentative[c.Canonical] = line
		} else {
			reused[c.Canonical] = r.take(c, line)
		}
	}
	r.renumber(reused, numbers)
	return reused
}

// again says why a finished cell is measured again.
func (r *run) again(c *plan.Cell, why string) {
	r.emit(Event{Type: EventLog, Level: "warn", Message: fmt.Sprintf("measure %s again: %s", c.Name, why)})
}

// take takes a finished cell from its rows, false where they can't be read.
func (r *run) take(c *plan.Cell, line journal.Line) bool {
	cell, err := r.readCell(c, line.Number, line.Load)
	if err != nil {
		r.again(c, err.Error())
		return false
	}
	cell.Model = line.Model
	result.FromTry(cell.Entries, line.Try)
	on := measuredOn(line)
	for i := range cell.Entries {
		cell.Entries[i].Model = line.Model
		if on != nil {
			cell.Entries[i].Fingerprint = on.ID
		}
		if r.Parallelism > 1 {
			cell.Entries[i].AddShared(r.Parallelism)
		}
	}
	r.mu.Lock()
	if on != nil {
		r.info.AddServer(on)
	}
	r.entries[c.Canonical] = cell.Entries
	r.doneSecs += c.Estimate.Seconds
	r.mu.Unlock()
	r.sinkCell(cell)
	r.emit(Event{Type: EventCellEnded, Address: c.Name, Outcome: Succeeded, Message: "measured before", Data: cell.Entries})
	return true
}

// confirm takes the finished cells of a session whose server runs now and is what it was;
// the others are measured again.
func (r *run) confirm(srv *server) {
	for i := range r.Plan.Cells {
		c := &r.Plan.Cells[i]
		if c.Session != srv.session {
			continue
		}
		line, ok := r.waiting(c)
		if !ok {
			continue
		}
		if changed := measuredOn(line).Changed(srv.print); len(changed) > 0 {
			r.again(c, strings.Join(changed, "; "))
			continue
		}
		r.takeEarly(c, line)
	}
}

// waiting takes a cell off those that wait for its server.
func (r *run) waiting(c *plan.Cell) (journal.Line, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	line, ok := r.tentative[c.Canonical]
	delete(r.tentative, c.Canonical)
	return line, ok
}

// takeEarly takes a finished cell whose task is still to come.
func (r *run) takeEarly(c *plan.Cell, line journal.Line) {
	if !r.take(c, line) {
		return
	}
	r.mu.Lock()
	r.settled[c.Canonical] = true
	r.mu.Unlock()
	r.writeSummary()
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

func marshal(v any) json.RawMessage {
	b, err := json.Marshal(v)
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
