package runner

import (
	"context"
	"strings"
	"testing"

	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
)

// brittle is a sink that panics, and one that counts what it gets.
type brittle struct{ cells, ends int }

func (b *brittle) Begin(context.Context, *result.Run) error { return nil }
func (b *brittle) Path() string                             { return "" }
func (b *brittle) Cell(context.Context, *result.Cell) error { b.cells++; panic("no cell") }
func (b *brittle) End(context.Context, *result.Run) error   { b.ends++; panic("no end") }

// TestSinkPanics: a bug in a sink costs no cell and no other sink, and the run has not gone well.
func TestSinkPanics(t *testing.T) {
	first, second := &brittle{}, &brittle{}
	p := &plan.Plan{Sinks: []plan.Sink{{Address: "sink.a"}, {Address: "sink.b"}}}
	r := &run{Config: Config{Plan: p, Control: NewControl(), Sinks: map[string]Sink{"sink.a": first, "sink.b": second}, Observe: func(Event) {}}, info: &result.Run{}}
	r.sinkCell(&result.Cell{Plan: &plan.Cell{Name: "benchmark.x#1"}})
	err := r.endSink(t.Context(), &plan.Task{Subject: "sink.a"})
	if first.cells != 1 || second.cells != 1 || first.ends != 1 {
		t.Errorf("the sinks got %+v and %+v", first, second)
	}
	if err == nil || !strings.Contains(err.Error(), "write sink.a: internal error: no end") {
		t.Errorf("the end says %v", err)
	}
	if code, reasons := r.verdict(); code != 1 || len(reasons) != 3 {
		t.Errorf("exit code %d: %q", code, reasons)
	}
}
