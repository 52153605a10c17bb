package view

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"sparkrun/runner"
	"sparkrun/runner/result"
)

// played are the events of a small run.
func played() []runner.Event {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	rate := 123.456
	return []runner.Event{
		{Type: runner.EventRunStarted, Time: at, Run: "one", Data: &runner.Started{Dir: "results/s/one", Cells: []string{"benchmark.b#1"}}},
		{Type: runner.EventTaskStarted, Time: at, Kind: "start", Address: "server.a.start"},
		{Type: runner.EventTaskStarted, Time: at, Kind: "cell", Address: "benchmark.b#1"},
		{Type: runner.EventPhaseStarted, Time: at, Address: "benchmark.b#1", Phase: "steady"},
		{Type: runner.EventProgress, Time: at, Address: "benchmark.b#1", Phase: "steady", Progress: &runner.Progress{Cell: 1, Cells: 1, Fraction: 0.5, InFlight: 4, OK: 10, OutputTokensPerS: 99.6, TTFTMeanMS: 12.3, RemainingSeconds: 75}},
		{Type: runner.EventCellEnded, Time: at, Address: "benchmark.b#1", Data: []result.Entry{{Address: "benchmark.b#1", Phase: "steady", Verdict: result.OK, Requests: result.Requests{Scheduled: 20, OK: 20}, Throughput: map[string]*float64{"output_tokens_per_s": &rate}}}},
		{Type: runner.EventTaskEnded, Time: at, Kind: "stop", Address: "server.a.stop", Outcome: runner.Failed, Message: "TEARDOWN_STILL_THERE: no"},
		{Type: runner.EventInterrupt, Time: at, Message: "Interrupted."},
		{Type: runner.EventRunEnded, Time: at, Data: &runner.Ended{ExitCode: 130, Reasons: []string{"interrupted"}, Files: []string{"results/s/one/summary.json"}, Resume: "sparkrun resume results/s/one"}},
	}
}

func show(o Options) (stdout, stderr string) {
	var out, errs bytes.Buffer
	o.Stdout, o.Stderr = &out, &errs
	v := New(o)
	for _, e := range played() {
		v.Event(e)
	}
	v.Close()
	return out.String(), errs.String()
}

func TestPlain(t *testing.T) {
	out, errs := show(Options{})
	want := `Run one: 1 cells, results in results/s/one
Starting  server.a.start
Measuring benchmark.b#1
          benchmark.b#1: steady
[1/1] benchmark.b#1 steady  50 % 4 in flight, 10 ok, 0 failed, 100 tokens/s, TTFT 12 ms, 1m15s left
ok        benchmark.b#1 steady: 20 of 20 requests ok, 123.5 output tokens/s
Failed    server.a.stop: TEARDOWN_STILL_THERE: no
Interrupted.
Exit code 130: interrupted
Go on with: sparkrun resume results/s/one
`
	if errs != want || out != "results/s/one/summary.json\n" {
		t.Errorf("stderr\n%s\nstdout %q", errs, out)
	}
	if strings.ContainsAny(errs, "\x1b\r") {
		t.Error("control codes without a terminal")
	}
}

func TestQuietAndTerminal(t *testing.T) {
	if _, errs := show(Options{Quiet: true}); errs != "Interrupted.\nExit code 130: interrupted\nGo on with: sparkrun resume results/s/one\n" {
		t.Errorf("quiet: %q", errs)
	}
	_, errs := show(Options{Width: 40})
	for _, l := range strings.FieldsFunc(errs, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if strings.HasPrefix(l, "\x1b[K[") && len([]rune(l)) > 40+3 {
			t.Errorf("the live line is wider than the terminal: %q", l)
		}
	}
	if !strings.Contains(errs, "\r\x1b[Kok ") {
		t.Errorf("the live line is not cleared before the next: %q", errs)
	}
}

func TestJSON(t *testing.T) {
	out, errs := show(Options{JSON: true})
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(played()) || errs != "" {
		t.Fatalf("%d lines, stderr %q", len(lines), errs)
	}
	var last struct {
		Type string       `json:"type"`
		Data runner.Ended `json:"data"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Type != "run_ended" || last.Data.ExitCode != 130 {
		t.Errorf("%v %+v", err, last)
	}
}
