package store

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"sparkrun/runner/journal"
	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/scenario/addr"
	"sparkrun/scenario/metric"
	"sparkrun/scenario/plan"
)

const ms = int64(1e6)

// TestCut: the phases of a cell that was killed, from its rows. Warmup from 10 ms (its
// second request is of 60), ramp sent nothing that ended, steady from 100 to the last thing
// that happened at 190, or for 50 ms where that is its duration.
func TestCut(t *testing.T) {
	c := &plan.Cell{Phases: []plan.Phase{{Name: "warmup"}, {Name: "ramp"}, {Name: "steady", Measure: true}, {Name: "cooldown"}}}
	records := []record.Record{
		{Phase: 0, Scheduled: 10 * ms, Sent: 11 * ms, LastToken: 50 * ms, StreamEnd: 51 * ms},
		{Phase: 2, Scheduled: 120 * ms, Sent: 121 * ms, LastToken: 180 * ms, StreamEnd: 190 * ms},
		{Phase: 0, Scheduled: 60 * ms, Sent: 60 * ms, LastToken: 130 * ms, StreamEnd: 131 * ms},
		{Phase: 2, Scheduled: 100 * ms, Sent: 101 * ms, Status: record.Timeout},
	}
	out := cut(c, records)
	want := []load.PhaseOutcome{
		{Name: "warmup", Start: 10 * ms, End: 100 * ms}, {Name: "ramp", Start: 100 * ms, End: 100 * ms}, {Name: "steady", Measure: true, Start: 100 * ms, End: 190 * ms},
	}
	if !out.Interrupted || !reflect.DeepEqual(out.Phases, want) {
		t.Errorf("got  %+v\nwant %+v", out, want)
	}
	c.Phases[2].Duration = 50 * time.Millisecond
	if end := cut(c, records).Phases[2].End; end != 150*ms {
		t.Errorf("a phase of 50 ms ends at %d ms", end/ms)
	}
	c.Phases[2].MinRequests = 100 // it may go on past its duration
	if end := cut(c, records).Phases[2].End; end != 190*ms {
		t.Errorf("a phase that waits for requests ends at %d ms", end/ms)
	}
	if out := cut(c, nil); len(out.Phases) != 0 {
		t.Errorf("no rows: %+v", out)
	}
}

// TestCutSearch: the second value of a search was under way.
func TestCutSearch(t *testing.T) {
	phases := []plan.Phase{{Name: "warmup"}, {Name: "steady", Measure: true}}
	c := &plan.Cell{Phases: phases, Search: &plan.Search{Name: "knee", Vary: "concurrency", Rungs: []plan.Rung{{Value: 1, Phases: phases}, {Value: 2, Phases: phases}, {Value: 4, Phases: phases}},
		Program: &metric.Program{Columns: []string{"requests.ok"}, Consts: []float64{0}, Depth: 2, Code: []metric.Instr{{Op: metric.Col}, {Op: metric.Const}, {Op: metric.Gt}}}}}
	row := func(step int, value float64, phase int, at int64) record.Record {
		return record.Record{SearchStep: step, SearchValue: value, Phase: phase, Scheduled: at * ms, Sent: at * ms, FirstToken: at*ms + ms, LastToken: at*ms + 5*ms, StreamEnd: at*ms + 5*ms}
	}
	out := cut(c, []record.Record{row(0, 1, 0, 10), row(0, 1, 1, 20), row(0, 1, 1, 30), row(1, 4, 0, 40), row(1, 4, 1, 50)})
	if len(out.Tried) != 2 || out.Tried[0] != 0 || out.Tried[1] != 2 || len(out.Phases) != 4 || out.Phases[1].Start != 20*ms || out.Phases[1].End != 35*ms || out.Phases[3].Start != 50*ms {
		t.Errorf("%+v", out)
	}
	// The first value was cut in its warmup: its place is kept.
	if out := cut(c, []record.Record{row(0, 1, 0, 10), row(1, 4, 1, 50)}); len(out.Phases) != 4 || out.Phases[1].End != 0 || out.Phases[3].Start != 50*ms {
		t.Errorf("%+v", out)
	}
	entries := result.Summarise(c, &plan.Server{}, []record.Record{row(0, 1, 0, 10), row(0, 1, 1, 20), row(1, 4, 0, 40)}, cut(c, []record.Record{row(0, 1, 0, 10), row(0, 1, 1, 20), row(1, 4, 0, 40)}))
	if len(entries) != 1 || entries[0].Search == nil || entries[0].Search.Value == nil || *entries[0].Search.Value != 1 {
		t.Errorf("%+v", entries)
	}
	if out := cut(c, []record.Record{row(0, 3, 0, 10)}); out.Tried != nil {
		t.Errorf("a value that is none of the search's: %+v", out)
	}
}

// TestPast: cells that ended in every way, one whose rows have another number than the plan
// gives it, as after a resume.
func TestPast(t *testing.T) {
	r := create(t, "one")
	p := plan.Plan{Servers: []plan.Server{{Address: "server.a", Framework: "sim"}}}
	for i, name := range []string{"ok", "failed", "start", "cut", "never"} {
		c := plan.Cell{
			Address: addr.Cell{Benchmark: name, Repeat: 1}, Number: i + 1, Server: "server.a", Session: "server.a", Record: plan.Record{Events: true},
			Phases: []plan.Phase{{Name: "steady", Measure: true}},
		}
		c.Name, c.Canonical = c.Address.String(), c.Address.Canonical()
		p.Cells = append(p.Cells, c)
	}
	info := result.Run{ID: "one", Scenario: "s"}
	if err := r.WriteJSON("run.json", map[string]any{"schema": 1, "run": info, "request": Request{Parallelism: 2}, "plan": p}); err != nil {
		t.Fatal(err)
	}
	write := func(c plan.Cell, n int) {
		rows, err := r.CreateRows(&info, &c)
		if err != nil {
			t.Fatal(err)
		}
		for i := range int64(n) {
			at := (i + 1) * 10 * ms
			rows.Write(&record.Record{Scheduled: at, Sent: at, FirstEvent: at + ms, FirstToken: at + ms, LastToken: at + 5*ms, StreamEnd: at + 5*ms, OutputTokens: 5, InputTokens: 3, FirstEventTokens: 1, Events: []record.Event{{At: at + ms}, {At: at + 5*ms}}})
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(p.Cells[0], 40)
	renumbered := p.Cells[1]
	renumbered.Number = 9
	write(renumbered, 35)
	write(p.Cells[3], 3)
	j, err := journal.Open(r.JournalPath())
	if err != nil {
		t.Fatal(err)
	}
	ran, err := json.Marshal(load.Outcome{Phases: []load.PhaseOutcome{{Name: "steady", Measure: true, Start: ms, End: 400 * ms}}})
	if err != nil {
		t.Fatal(err)
	}
	none, err := json.Marshal(load.Outcome{})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		j.Append(journal.Line{Type: journal.Run}),
		j.Append(journal.Line{Type: journal.Cell, Canonical: p.Cells[0].Canonical, Number: 1, Outcome: "succeeded", Model: "m", Load: ran}),
		j.Append(journal.Line{Type: journal.Cell, Canonical: p.Cells[1].Canonical, Number: 9, Outcome: "failed", Cause: "the server died", Model: "m", Load: ran}),
		j.Append(journal.Line{Type: journal.Cell, Canonical: p.Cells[2].Canonical, Number: 3, Outcome: "failed", Cause: "no start", Load: none}),
		j.Append(journal.Line{Type: journal.Run}), // a resume, killed too
		j.Close(),
	)
	if err != nil {
		t.Fatal(err)
	}
	past, err := r.Past()
	if err != nil {
		t.Fatal(err)
	}
	var cells []*result.Cell
	if err := past.Cells(func(c *result.Cell) error { cells = append(cells, c); return nil }); err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		verdict result.Verdict
		cause   string
		rows    int
		mark    string
	}{
		{result.Suspect, "", 40, "shared_client"},
		{result.Failed, "the server died", 35, "shared_client"},
		{result.Failed, "no start", 0, ""},
		{result.Suspect, "", 3, "interrupted"},
		{result.Skipped, "the run ended before it", 0, ""},
	} {
		e := past.Info.Entries[i]
		var marks []string
		for _, m := range e.Marks {
			marks = append(marks, m.Name)
		}
		if e.Verdict != want.verdict || e.Cause != want.cause || len(cells[i].Records) != want.rows || !strings.Contains(strings.Join(marks, " "), want.mark) {
			t.Errorf("%s: %s %q, %d rows, marks %v; want %+v", e.Address, e.Verdict, e.Cause, len(cells[i].Records), marks, want)
		}
	}
	if past.Ended || !past.Info.Interrupted || past.Info.Entries[0].Model != "m" || past.Info.Entries[3].Model != "m" {
		t.Errorf("%+v", past.Info)
	}
	if one, two := past.Info.Entries[0].Session, past.Info.Entries[3].Session; one != "server.a (try 1)" || two != "server.a" {
		t.Errorf("server starts %q and %q: an earlier try had another", one, two)
	}
	if e := past.Info.Entries[0]; math.Abs(*e.Throughput["output_tokens_per_s"]-195/0.399) > 1e-9 { // 39 of 40 end in the window
		t.Errorf("throughput %v", *e.Throughput["output_tokens_per_s"])
	}
	if err := os.WriteFile(r.RowsPath(4), []byte("no row\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := past.Cells(func(*result.Cell) error { return nil }); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a file that has no rows: %v", err)
	}
}
