package store

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sparkrun/runner/journal"
	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/scenario/addr"
	"sparkrun/scenario/plan"
)

// Past is a run that has been, to be made again from its raw rows.
type Past struct {
	Info    result.Run // with its plan; Entries and Thresholds after Cells
	Request Request
	Ended   bool // it came to its end, if only to an interrupt's
	Exit    int

	run   *Run
	lines []journal.Line
}

// Past reads what a run was.
func (r *Run) Past() (*Past, error) {
	var file struct {
		Run     result.Run `json:"run"`
		Request Request    `json:"request"`
		Plan    plan.Plan  `json:"plan"`
	}
	if err := r.ReadJSON("run.json", &file); err != nil {
		return nil, err
	}
	lines, err := journal.Read(r.JournalPath())
	if err != nil {
		return nil, err
	}
	p := &Past{Info: file.Run, Request: file.Request, run: r, lines: lines}
	p.Info.Plan, p.Info.Dir = &file.Plan, r.Dir
	p.Exit, p.Ended = journal.Ended(lines)
	p.Info.Interrupted = !p.Ended || p.Exit == 130
	for i := range file.Plan.Cells {
		c := &file.Plan.Cells[i]
		if c.Address, err = addr.Parse(c.Name); err != nil {
			return nil, fmt.Errorf("read run.json of run %s: %w", r.ID, err)
		}
	}
	if n := len(lines); n > 0 {
		p.Info.Ended = lines[n-1].Time
	}
	return p, nil
}

// Cells makes every cell again, in the plan's order, and hands each over while its records
// are in memory. A cell that a kill cut is summarised to its last row.
func (p *Past) Cells(each func(*result.Cell) error) error {
	ended := map[string]journal.Line{} // the last line of each cell
	servers, models := map[string]string{}, map[string]string{}
	for i := range p.Info.Plan.Cells {
		servers[p.Info.Plan.Cells[i].Canonical] = p.Info.Plan.Cells[i].Server
	}
	for _, l := range p.lines {
		if l.Type == journal.Cell {
			ended[l.Canonical] = l
			models[servers[l.Canonical]] = cmp.Or(l.Model, models[servers[l.Canonical]])
		}
	}
	rows, err := p.run.rowFiles()
	if err != nil {
		return err
	}
	for i := range p.Info.Plan.Cells {
		c := &p.Info.Plan.Cells[i]
		line, done := ended[c.Canonical]
		if !done {
			line.Model = models[c.Server] // as its server called it for another cell
		}
		cell, err := p.cell(c, line, done, rows[c.Name])
		if err != nil {
			return fmt.Errorf("make %s again: %w", c.Name, err)
		}
		p.Info.Entries = append(p.Info.Entries, cell.Entries...)
		if err := each(cell); err != nil {
			return err
		}
	}
	return nil
}

func (p *Past) cell(c *plan.Cell, line journal.Line, done bool, rows int) (*result.Cell, error) {
	s := &plan.Server{Address: c.Server}
	if i := slices.IndexFunc(p.Info.Plan.Servers, func(s plan.Server) bool { return s.Address == c.Server }); i >= 0 {
		s = &p.Info.Plan.Servers[i]
	}
	cell := &result.Cell{Plan: c, Server: s, Model: line.Model}
	if rows != 0 {
		records, _, err := p.run.ReadRows(rows)
		if err != nil {
			return nil, err
		}
		cell.Records = records
		if cell.Samples, err = p.run.ReadSamples(rows); err != nil {
			return nil, err
		}
	}
	if done {
		if err := json.Unmarshal(line.Load, &cell.Outcome); line.Load != nil && err != nil {
			return nil, fmt.Errorf("read the journal's line of it: %w", err)
		}
	} else {
		cell.Outcome = cut(c, cell.Records)
		for i := range cell.Outcome.Phases {
			ran := &cell.Outcome.Phases[i]
			ran.Observed, ran.Throttled = result.Observe(cell.Samples, ran.Start, ran.End)
		}
		line.Outcome, line.Cause = "interrupted", "the run ended before it"
	}
	if len(cell.Records) > 0 {
		cell.Entries = result.Summarise(c, s, cell.Records, cell.Outcome)
	}
	switch {
	case len(cell.Entries) > 0:
	case line.Outcome == "failed":
		cell.Entries = result.FailedEntries(c, s, line.Cause)
	default:
		cell.Entries = result.SkippedEntries(c, s, line.Cause)
	}
	for i := range cell.Entries {
		e := &cell.Entries[i]
		if e.Model == "" {
			e.Model = line.Model
		}
		if n := p.Request.Parallelism; n > 1 && e.Requests.Scheduled > 0 {
			e.AddShared(n)
		}
	}
	if done && line.Try < p.lines[len(p.lines)-1].Try {
		result.FromTry(cell.Entries, line.Try)
	}
	var on result.Fingerprint
	if line.Server != nil && json.Unmarshal(line.Server, &on) == nil && on.ID != "" {
		p.Info.AddServer(&on)
		for i := range cell.Entries {
			cell.Entries[i].Fingerprint = on.ID
		}
	}
	result.Conclude(cell.Entries, line.Outcome, line.Cause)
	return cell, nil
}

// cut is what the rows of a cell say of phases that nobody wrote the end of. A search has
// them once for each value that it tried, which the rows name.
func cut(c *plan.Cell, records []record.Record) load.Outcome {
	out := load.Outcome{Interrupted: true}
	if c.Search == nil {
		out.Phases = cutPhases(c.Phases, records)
		return out
	}
	for step := 0; ; step++ {
		var own []record.Record
		for i := range records {
			if records[i].SearchStep == step {
				own = append(own, records[i])
			}
		}
		if own == nil {
			return out
		}
		rung := slices.IndexFunc(c.Search.Rungs, func(r plan.Rung) bool { return r.Value == own[0].SearchValue })
		if rung < 0 {
			return out // of a search that was another one then
		}
		// Steps lie one behind the other, of as many phases each: what an earlier one lacks
		// was not there to be measured.
		for len(out.Phases) < step*len(c.Phases) {
			out.Phases = append(out.Phases, load.PhaseOutcome{})
		}
		out.Tried = append(out.Tried, rung)
		out.Phases = append(out.Phases, cutPhases(c.Search.Rungs[rung].Phases, own)...)
	}
}

// cutPhases are the phases that records were sent in, to the last one: each begins with its
// first request and ends where the next begins, the last one with the last thing that
// happened in it.
func cutPhases(phases []plan.Phase, records []record.Record) []load.PhaseOutcome {
	var out []load.PhaseOutcome
	starts := make([]int64, len(phases))
	last, seen := int64(0), 0
	for i := range records {
		r := &records[i]
		if r.Phase >= len(starts) {
			continue
		}
		at := max(r.Scheduled, 1)
		if starts[r.Phase] == 0 || at < starts[r.Phase] {
			starts[r.Phase] = at
		}
		last = max(last, r.Sent, r.StreamEnd, r.LastToken)
		seen = max(seen, r.Phase+1)
	}
	for i, ph := range phases[:seen] {
		ran := load.PhaseOutcome{Name: ph.Name, Measure: ph.Measure, Start: starts[i], End: last}
		for _, next := range starts[i+1 : seen] {
			if next != 0 {
				ran.End = next
				break
			}
		}
		if ran.Start == 0 {
			ran.Start = ran.End // it sent nothing that ended
		}
		if most := ran.Start + int64(ph.Duration); ph.Duration > 0 && ph.MinRequests == 0 {
			ran.End = min(ran.End, most)
		}
		out = append(out, ran)
	}
	return out
}

// rowFiles are the numbers of the files of raw rows by the cell that they are of. A resumed run
// may have given a cell another number than its plan has, so that the rows say it themselves.
func (r *Run) rowFiles() (map[string]int, error) {
	lines, _ := filepath.Glob(r.Path("rows", "*.jsonl")) // the patterns are right
	tables, _ := filepath.Glob(r.Path("requests", "*.parquet"))
	files := append(lines, tables...)
	slices.SortStableFunc(files, func(a, b string) int { return modified(a).Compare(modified(b)) })
	of := map[string]int{}
	for _, path := range files {
		name, _, _ := strings.Cut(filepath.Base(path), ".")
		number, err := strconv.Atoi(name)
		if err != nil {
			continue // not ours
		}
		cellOf := cellOfTable
		if filepath.Ext(path) == ".jsonl" {
			cellOf = cellOfLines
		}
		cell, err := cellOf(path)
		if err != nil {
			return nil, err
		}
		if cell != "" {
			of[cell] = number // the newest, where an earlier try left one too
		}
	}
	return of, nil
}

// cellOfLines is the cell that a file of JSON lines is of, "" where it has no whole one.
func cellOfLines(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read rows: %w", err)
	}
	defer file.Close()
	line, err := bufio.NewReader(file).ReadBytes('\n')
	if err != nil {
		return "", nil // torn
	}
	var row struct {
		Cell string `json:"cell"`
	}
	if err := json.Unmarshal(line, &row); err != nil {
		return "", fmt.Errorf("read rows %s, line 1: %w", path, errors.New("it is no row"))
	}
	return row.Cell, nil
}
