package store

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"sparkrun/runner/journal"
	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/scenario/metric"
	"sparkrun/scenario/plan"
)

func create(t *testing.T, id string) *Run {
	t.Helper()
	r, err := Create(t.TempDir(), "s", id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func cell() *plan.Cell {
	return &plan.Cell{Name: "benchmark.b#1", Number: 3, Phases: []plan.Phase{{Name: "steady", Measure: true}}, Record: plan.Record{Events: true}}
}

// spokenRecords are records with everything, a failed and an unsent one.
func spokenRecords() []record.Record {
	return []record.Record{
		{ID: "a", ConversationID: "c\"1", Conversation: 4, SearchStep: 3, SearchValue: 2.5, DatasetRow: 7, Turn: 2, HistoryTokens: 30, AskedMin: 5, AskedMax: 6, Scheduled: 10, Sent: 20, FirstEvent: 30, FirstToken: 40, FirstOut: 45, LastToken: 60, LastBare: 65, StreamEnd: 70, Connect: 5, RoundTrip: 4, Reconnects: 1, Retries: 2, Replica: 2, Matches: record.Differs, System: "be brief", Prompt: "hello",
			InputTokens: 8, OutputTokens: 3, CachedTokens: 0, ReasoningTokens: 1, FirstEventTokens: 1, FirstOutTokens: 2, ReasoningEvents: 1, BareEvents: 2, LastTurn: true, TokenSource: record.TokensUsage, Stamp: record.StampKernel, FinishReason: "length",
			Events: []record.Event{{At: 40}, {At: 50}, {At: 60}}, Answer: record.Answer{Content: "grüße\n", Reasoning: "r"}},
		{ID: "b", DatasetRow: -1, HistoryTokens: -1, AskedMin: -1, AskedMax: -1, Scheduled: 11, Sent: 21, StreamEnd: 31, InputTokens: -1, OutputTokens: -1, CachedTokens: -1, ReasoningTokens: -1, FirstEventTokens: -1, FirstOutTokens: -1, Status: 429, Error: "HTTP 429: \"slow\""},
		{ID: "c", DatasetRow: -1, HistoryTokens: -1, AskedMin: -1, AskedMax: -1, Scheduled: 12, InputTokens: -1, OutputTokens: -1, CachedTokens: -1, ReasoningTokens: -1, FirstEventTokens: -1, FirstOutTokens: -1, Status: record.Unsent, Error: "no room"},
	}
}

// TestRowsReadBack: a record read back from its row is the same.
func TestRowsReadBack(t *testing.T) {
	r := create(t, "one")
	records := spokenRecords()
	rows, err := r.CreateRows(&result.Run{ID: "one"}, cell())
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		rows.Write(&records[i])
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	back, closed, err := r.ReadRows(3)
	if err != nil || closed {
		t.Fatal(closed, err)
	}
	if !reflect.DeepEqual(back, records) {
		t.Errorf("read back\n%+v\nwritten\n%+v", back, records)
	}
	// A torn last line is left out; a broken one before it is an error with its number.
	b, err := os.ReadFile(r.RowsPath(3))
	if err != nil {
		t.Fatal(err)
	}
	if back, err := readRows(bytes.NewReader(b[:len(b)-5])); err != nil || len(back) != 2 {
		t.Errorf("torn: %d rows, %v", len(back), err)
	}
	if _, err := readRows(strings.NewReader("{}\n{broken}\n")); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("broken: %v", err)
	}
}

// TestRowsReachTheDisk: without Close, within the second that the docs promise.
func TestRowsReachTheDisk(t *testing.T) {
	r := create(t, "one")
	rows, err := r.CreateRows(&result.Run{}, cell())
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	rows.Write(&record.Record{ID: "a"})
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if back, _, err := r.ReadRows(3); err == nil && len(back) == 1 {
			return
		}
	}
	t.Error("the row is not on the disk")
}

func TestFullDisk(t *testing.T) {
	r := create(t, "one")
	if err := os.Symlink("/dev/full", r.RowsPath(3)); err != nil {
		t.Skip(err)
	}
	rows, err := r.CreateRows(&result.Run{}, cell())
	if err != nil {
		t.Skip(err)
	}
	for range 100_000 {
		rows.Write(&record.Record{ID: "a"})
	}
	if err := rows.Close(); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("a full disk: %v", err)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	end := func(r *Run, code int) {
		j, err := journal.Open(r.JournalPath())
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		if err := j.Append(journal.Line{Type: journal.Run}); err != nil {
			t.Fatal(err)
		}
		if code >= 0 {
			if err := j.Append(journal.Line{Type: journal.End, Exit: &code}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		id   string
		code int
	}{{"done", 0}, {"cut", -1}, {"stopped", 130}} {
		r, err := Create(dir, "s", c.id)
		if err != nil {
			t.Fatal(err)
		}
		end(r, c.code)
		time.Sleep(5 * time.Millisecond)
	}
	if _, err := Create(dir, "s", "done"); err == nil {
		t.Error("a run is made twice")
	}
	if _, err := Create(dir, "s", "../x"); err == nil {
		t.Error("a run id leaves the folder")
	}
	if target, err := os.Readlink(filepath.Join(dir, "s", "latest")); err != nil || target != "stopped" {
		t.Errorf("latest is %q, %v", target, err)
	}
	for arg, want := range map[string]string{"cu": "cut", "cut": "cut", "s/done": "done", "s/do": "done", "s/latest": "stopped", filepath.Join(dir, "s", "done"): "done"} {
		if r, err := Find(dir, arg); err != nil || r.ID != want {
			t.Errorf("Find(%q) is %v, %v; want %s", arg, r, err, want)
		}
	}
	for _, arg := range []string{"nothing", "s/nothing", "s/", "z/cut", "z/latest", "../s", "", "latest"} {
		if r, err := Find(dir, arg); err == nil {
			t.Errorf("Find(%q) is %v", arg, r)
		}
	}
	if r, err := Unfinished(dir); err != nil || r.ID != "stopped" {
		t.Errorf("unfinished: %v, %v", r, err)
	}
	if _, err := Create(dir, "s", "cut2"); err != nil {
		t.Fatal(err)
	}
	end(&Run{ID: "cut2", Dir: filepath.Join(dir, "s", "cut2")}, 0)
	if _, err := Find(dir, "cu"); err == nil || !strings.Contains(err.Error(), "2 runs: s/cut2, s/cut") {
		t.Errorf("two runs begin with cu: %v", err)
	}
	if r, err := Find(dir, "cut"); err != nil || r.ID != "cut" {
		t.Errorf("a whole id: %v, %v", r, err)
	}
}

func FuzzRows(f *testing.F) {
	f.Add([]byte(`{"request_id":"a","status":"ok","token_source":"usage","token_events_ns":[1,2]}` + "\n"))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = readRows(bytes.NewReader(b)) })
}

// FuzzSummary: whatever a file has that is named as one, comparing it does not break.
func FuzzSummary(f *testing.F) {
	f.Add([]byte(`{"schema":1,"cells":[{"address":"benchmark.b#1","turns":{},"metrics":{"ttft_ms":null},"goodput":{"all":null}},{"address":"benchmark.b#2","matrix":{"a":"1"},"verdict":"ok","throughput":{"output_tokens_per_s":1}}]}`))
	gate, err := result.ParseGate("output_tokens_per_s<-5%", metric.ResultPaths(nil, nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		s, err := parseSummary(b)
		if err != nil {
			return
		}
		side := result.Side{Name: s.Run.ID, Entries: s.Cells}
		result.CompareRuns(side, side)
		result.Gates([]*result.Gate{gate}, side, side)
		result.NewSummary(&s.Run, s.Cells, s.Thresholds)
		for i := range s.Cells {
			for _, path := range metric.ResultPaths([]string{"mine"}, []string{"fast"}) {
				s.Cells[i].Value(path)
			}
		}
	})
}
