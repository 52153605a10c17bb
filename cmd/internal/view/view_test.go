package view

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

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
		{Type: runner.EventCellEnded, Time: at, Address: "benchmark.b#1", Data: []result.Entry{{Address: "benchmark.b#1", Benchmark: "b", Phase: "steady", Verdict: result.OK, Requests: result.Requests{Scheduled: 20, OK: 20}, Throughput: map[string]*float64{"output_tokens_per_s": &rate}}}},
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

func TestQuiet(t *testing.T) {
	if _, errs := show(Options{Quiet: true}); errs != "Interrupted.\nExit code 130: interrupted\nGo on with: sparkrun resume results/s/one\n" {
		t.Errorf("quiet: %q", errs)
	}
}

// TestScreen: no line is wider than the terminal, the live part is taken back before what
// stands above it is printed, and nothing of it is left at the end.
func TestScreen(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, width := range []int{30, 60, 100, 200} {
		out, errs := show(Options{Width: func() int { return width }})
		plain := regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`).ReplaceAllString(errs, "")
		for l := range strings.SplitSeq(strings.ReplaceAll(plain, "\r", "\n"), "\n") {
			if n := len([]rune(l)); n > width && !strings.Contains(l, "results/s/one") && !strings.Contains(l, "TEARDOWN") {
				t.Errorf("at %d columns a line has %d: %q", width, n, l)
			}
		}
		if out != "results/s/one/summary.json\n" || !strings.Contains(plain, "Interrupted.") || !strings.HasSuffix(errs, "Go on with: sparkrun resume results/s/one\n") && !strings.Contains(errs, "Go on with: sparkrun resume results/s/one\n") {
			t.Errorf("at %d columns: %q", width, errs)
		}
		// What the screen shows when all is played on it.
		if shown := replay(errs); strings.Contains(shown, "in flight") || !strings.Contains(shown, "Interrupted.") {
			t.Errorf("at %d columns the screen ends as\n%s", width, shown)
		}
	}
	_, errs := show(Options{Width: func() int { return 120 }})
	shown := replay(errs)
	for _, want := range []string{"b ", "ok  #1", "123.5", "20/20", "server.a.stop: TEARDOWN_STILL_THERE"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the screen lacks %q:\n%s", want, shown)
		}
	}
}

// replay plays what was written on a screen of endless height: cursor up, erase below.
func replay(written string) string {
	lines, row := []string{""}, 0
	for i := 0; i < len(written); {
		if m := regexp.MustCompile(`^\x1b\[(\d*)([A-Za-z])`).FindStringSubmatch(written[i:]); m != nil {
			switch m[2] {
			case "A":
				n, _ := strconv.Atoi(m[1])
				row = max(0, row-n)
			case "J":
				lines = append(lines[:row], "")
			}
			i += len(m[0])
			continue
		}
		switch c := written[i]; c {
		case '\r':
		case '\n':
			row++
			if row == len(lines) {
				lines = append(lines, "")
			}
		default:
			lines[row] += string(c)
		}
		i++
	}
	return strings.Join(lines, "\n")
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

// TestNarrowed: the live part is taken back whole from a terminal that has become narrower and
// has broken its lines.
func TestNarrowed(t *testing.T) {
	width := 120
	s := &screen{Options: Options{Width: func() int { return width }, Stderr: new(bytes.Buffer)}, left: -1, total: 1}
	s.running = []*running{{address: "benchmark.b[server=vllm]#1", phase: "steady", progress: &runner.Progress{Fraction: 0.5, OutputTokensPerS: 1000}}}
	s.draw("")
	if s.rowsDrawn() != 2 {
		t.Errorf("%d rows at 120 columns, want the cell's and the run's", s.rowsDrawn())
	}
	width = 60
	if n := s.drawn[0]; n <= 60 || n > 119 || s.rowsDrawn() != 3 {
		t.Errorf("a line of %d and another are %d rows at 60 columns, want 3", n, s.rowsDrawn())
	}
	out := new(bytes.Buffer)
	s.Stderr = out
	s.draw("")
	if !strings.HasPrefix(out.String(), "\x1b[3A\r\x1b[J") {
		t.Errorf("it is drawn again by %q", out.String())
	}
}
