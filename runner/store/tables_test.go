package store

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/runner/table"
	"sparkrun/scenario/addr"
	"sparkrun/scenario/plan"
)

// spoken is a cell whose prompts and answers are kept.
func spoken(number int, axis string) *plan.Cell {
	c := &plan.Cell{
		Address: addr.Cell{Benchmark: "b", Repeat: number, Axes: []addr.Axis{{Name: axis, Value: "x"}}}, Number: number,
		Phases: []plan.Phase{{Name: "warmup"}, {Name: "steady", Measure: true}}, Record: plan.Record{Events: true, Content: true},
	}
	c.Name = c.Address.String()
	return c
}

// measure writes a cell's rows and leaves them as lines.
func measure(t *testing.T, r *Run, c *plan.Cell, records []record.Record) {
	t.Helper()
	rows, err := r.CreateRows(&result.Run{ID: r.ID}, c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		rows.Write(&records[i])
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
}

// keep measures a cell and closes it.
func keep(t *testing.T, r *Run, c *plan.Cell, records []record.Record) {
	t.Helper()
	measure(t, r, c, records)
	if err := r.KeepRows(&result.Run{ID: r.ID}, c, records); err != nil {
		t.Fatal(err)
	}
}

func readsAs(t *testing.T, when string, r *Run, n int, want []record.Record, wantClosed bool) {
	t.Helper()
	back, closed, err := r.ReadRows(n)
	if err != nil || closed != wantClosed || !reflect.DeepEqual(back, want) {
		t.Errorf("%s: closed %v, %v, read back\n%+v\nwritten\n%+v", when, closed, err, back, want)
	}
}

// files are the run's files below its folder that hold rows.
func files(t *testing.T, r *Run) (names []string) {
	t.Helper()
	err := filepath.WalkDir(r.Dir, func(path string, d fs.DirEntry, err error) error {
		if name, _ := filepath.Rel(r.Dir, path); !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestTablesReadBack: a closed cell's records read back from its Parquet files are the same,
// and the lines are gone; also once the run has put the texts together.
func TestTablesReadBack(t *testing.T) {
	defer goleak.VerifyNone(t)
	r := create(t, "one")
	first, second := spokenRecords(), spokenRecords()[:1]
	second[0].Prompt = "what else?"
	keep(t, r, spoken(3, "users"), first)
	keep(t, r, spoken(12, "rate"), second)
	keep(t, r, spoken(13, "rate"), nil)
	readsAs(t, "parts", r, 3, first, true)
	readsAs(t, "parts", r, 12, second, true)
	readsAs(t, "parts", r, 13, nil, true)
	for range 2 { // a run without new cells changes nothing
		if err := r.KeepContent(); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"content.parquet", "events/12.parquet", "events/13.parquet", "events/3.parquet", "requests/12.parquet", "requests/13.parquet", "requests/3.parquet"}
	if got := files(t, r); !slices.Equal(got, want) {
		t.Errorf("the run has %q, want %q", got, want)
	}
	readsAs(t, "together", r, 3, first, true)
	readsAs(t, "together", r, 12, second, true)

	// Another try measures a cell again: what it said replaces what it had said.
	second[0].Answer.Content = "otherwise"
	keep(t, r, spoken(12, "rate"), second)
	readsAs(t, "again", r, 12, second, true)
	if err := r.KeepContent(); err != nil {
		t.Fatal(err)
	}
	readsAs(t, "again, together", r, 3, first, true)
	readsAs(t, "again, together", r, 12, second, true)
	in, err := table.Open(r.ContentPath())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var names []string
	for _, c := range in.Columns() {
		names = append(names, c.Name)
	}
	if got, want := strings.Join(names, " "), "run_id cell benchmark axis_users axis_rate repeat phase measured request_id conversation_id turn status system prompt answer reasoning tool_calls"; got != want {
		t.Errorf("content.parquet has the columns\n%s, want\n%s", got, want)
	}
}

// TestClosingIsCut: whatever file is the last that a killed sparkrun has written, the cell's
// records are there once, and closing it again leaves what closing leaves.
func TestClosingIsCut(t *testing.T) {
	whole := create(t, "whole")
	records := spokenRecords()
	keep(t, whole, spoken(3, "users"), records)
	want := files(t, whole)
	order := []string{"events/3.parquet", "content/3.parquet", "requests/3.parquet"}
	for done := range len(order) + 1 {
		r := create(t, "cut")
		measure(t, r, spoken(3, "users"), records)
		for _, name := range order[:done] {
			b, err := os.ReadFile(whole.Path(name))
			if err == nil {
				err = os.MkdirAll(filepath.Dir(r.Path(name)), 0o755)
			}
			if err == nil {
				err = os.WriteFile(r.Path(name), b, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		readsAs(t, fmt.Sprintf("%d files", done), r, 3, records, done == len(order))
		if err := r.KeepRows(&result.Run{ID: r.ID}, spoken(3, "users"), records); err != nil {
			t.Fatal(err)
		}
		if got := files(t, r); !slices.Equal(got, want) {
			t.Errorf("%d files, closed again: %q, want %q", done, got, want)
		}
		// The next try measures it anew and is killed: nothing of the first is left to be read.
		measure(t, r, spoken(3, "users"), records[:2])
		readsAs(t, fmt.Sprintf("%d files, measured anew", done), r, 3, records[:2], false)
	}
}

// TestKeepRowsFails: what can't be made into Parquet stays as lines.
func TestKeepRowsFails(t *testing.T) {
	r := create(t, "one")
	records := spokenRecords()
	measure(t, r, spoken(3, "users"), records)
	if err := os.WriteFile(r.Path("requests"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	err := r.KeepRows(&result.Run{ID: r.ID}, spoken(3, "users"), records)
	if err == nil || !strings.Contains(err.Error(), "they stay in "+r.RowsPath(3)) {
		t.Errorf("no folder: %v", err)
	}
	readsAs(t, "lines", r, 3, records, false)
}

// TestColumns: the types that the package's comment promises, and every field that a record
// keeps is read back.
func TestColumns(t *testing.T) {
	want := map[string]table.Type{"request_id": table.Text, "status": table.Text, "ttft_ms": table.Real, "approx_cached_percent": table.Real, "tokens_per_event": table.Real, "output_tokens_per_s_per_user": table.Real, "sent_ns": table.Whole, "input_tokens": table.Whole, "turn": table.Whole, "answer_matches": table.Whole, "last_turn": table.Flag, "search_value": table.Real}
	seen := map[string]bool{}
	for _, c := range columns {
		if w, ok := want[c.Name]; ok && c.Type != w {
			t.Errorf("%s is %s, want %s", c.Name, c.Type, w)
		}
		if seen[c.Name] {
			t.Errorf("%s is there twice", c.Name)
		}
		seen[c.Name] = true
	}
	for name := range want {
		if !seen[name] {
			t.Errorf("there is no column %s", name)
		}
	}
	for name := range fieldSetters {
		if !seen[name] {
			t.Errorf("%s is set and is no column", name)
		}
	}
	if slices.ContainsFunc(result.Fields(), func(f result.Field) bool { return !seen[f.Name] }) {
		t.Error("a field is no column")
	}
}

// BenchmarkKeepRows is what a cell's close costs a request of 100 token events: nothing is
// measured meanwhile, and the next cell waits for it.
func BenchmarkKeepRows(b *testing.B) {
	const requests, events = 10_000, 100
	records := make([]record.Record, requests)
	for i := range records {
		at := int64(i+1) * 1e7
		rec := record.Record{ID: fmt.Sprintf("one-1-%d", i), Scheduled: at, Sent: at + 1000, FirstEvent: at + 2e6, FirstToken: at + 3e6, FirstOut: at + 3e6, StreamEnd: at + 1e9, InputTokens: 100, OutputTokens: events, FirstEventTokens: 1, DatasetRow: -1, HistoryTokens: -1, CachedTokens: -1, ReasoningTokens: -1, AskedMin: -1, AskedMax: -1}
		for e := range int64(events) {
			rec.Events = append(rec.Events, record.Event{At: at + 3e6 + e*9_871_337 + e*e%977})
		}
		rec.LastToken = rec.Events[events-1].At
		records[i] = rec
	}
	r, err := Create(b.TempDir(), "s", "one")
	if err != nil {
		b.Fatal(err)
	}
	c := spoken(1, "users")
	c.Record.Content = false
	var size int64
	for b.Loop() {
		if err := os.WriteFile(r.RowsPath(1), nil, 0o644); err != nil {
			b.Fatal(err)
		}
		for i := range records {
			records[i].Phase = 1
		}
		if err := r.KeepRows(&result.Run{ID: "one"}, c, records); err != nil {
			b.Fatal(err)
		}
	}
	for _, path := range []string{"requests/1.parquet", "events/1.parquet"} {
		info, err := os.Stat(r.Path(path))
		if err != nil {
			b.Fatal(err)
		}
		size += info.Size()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/requests, "ns/request")
	b.ReportMetric(float64(size)/requests, "bytes/request")
}
