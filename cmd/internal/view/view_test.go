package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

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

// replay plays what was written on a screen of endless size: cursor up, erase below, erase to the
// right, colours.
func replay(written string) string {
	lines, row, col := [][]rune{{}}, 0, 0
	code := regexp.MustCompile(`^\x1b\[([0-9;]*)([A-Za-z])`)
	for written != "" {
		if m := code.FindStringSubmatch(written); m != nil {
			switch m[2] {
			case "A":
				n, _ := strconv.Atoi(m[1])
				row = max(0, row-n)
			case "J":
				lines = append(lines[:row], lines[row][:min(col, len(lines[row]))])
			case "K":
				lines[row] = lines[row][:min(col, len(lines[row]))]
			}
			written = written[len(m[0]):]
			continue
		}
		c, size := utf8.DecodeRuneInString(written)
		written = written[size:]
		switch c {
		case '\r':
			col = 0
		case '\n':
			row, col = row+1, 0
			if row == len(lines) {
				lines = append(lines, nil)
			}
		default:
			lines[row] = append(lines[row][:col], append([]rune{c}, lines[row][min(col+1, len(lines[row])):]...)...)
			col++
		}
	}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(string(l) + "\n")
	}
	return b.String()
}

// frames are what was written, a string a call.
type frames []string

func (f *frames) Write(b []byte) (int, error) {
	*f = append(*f, string(b))
	return len(b), nil
}

// TestFrames: over a run with marks, long messages and a terminal that changes its width, each
// event is one write, no frame clears the screen, one that only brings the live part up to date
// erases nothing before it is written over, no line is as wide as the terminal, and verdict and
// marks of each cell are to be read at every width.
func TestFrames(t *testing.T) {
	defer goleak.VerifyNone(t)
	escape := regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)
	for _, widths := range [][]int{{60}, {80}, {120}, {200}, {120, 60}, {60, 200}} {
		width := widths[0]
		var written frames
		v := New(Options{Width: func() int { return width }, Stdout: new(bytes.Buffer), Stderr: &written})
		s := v.(*screen)
		close(s.stop) // its clock: each event draws by itself
		<-s.ended
		var refreshed int
		event := func(e runner.Event, draws bool) {
			t.Helper()
			before, live, broken := len(written), len(s.drawn), s.rowsDrawn() > len(s.drawn)
			v.Event(e)
			if n := len(written) - before; n > 1 || (draws && n == 0) {
				t.Fatalf("at %d columns %s took %d writes", width, e.Type, n)
			}
			for l := range strings.SplitSeq(escape.ReplaceAllString(strings.Join(written[before:], ""), ""), "\n") {
				if n := len([]rune(strings.Trim(l, "\r"))); n >= width {
					t.Errorf("at %d columns a line has %d: %q", width, n, l)
				}
			}
			if e.Type == runner.EventProgress && live == len(s.drawn) && !broken {
				refreshed++
				if f := written[before]; strings.Contains(f, "\x1b[J") || !strings.HasPrefix(f, fmt.Sprintf("\x1b[%dA\r", live)) {
					t.Errorf("at %d columns the live part is drawn again by %q", width, f)
				}
			}
		}
		cells := []string{"benchmark.chat[server=vllm,concurrency=16]#1", "benchmark.chat[server=llamacpp(max_num_seqs=256),concurrency=128]#1", "benchmark.other[server=vllm]#1"}
		rate := 1234.5
		stats := result.Stats{P50: &rate}
		event(runner.Event{Type: runner.EventRunStarted, Run: "one", Data: &runner.Started{Dir: "results/s/one", Cells: cells}}, true)
		for i, c := range cells {
			event(runner.Event{Type: runner.EventLog, Level: "info", Message: strings.Repeat("what is said at some length ", 9)}, true)
			event(runner.Event{Type: runner.EventPhaseStarted, Address: c, Phase: "a-long-phase"}, true)
			for n := range 5 {
				if n == 3 && i == 1 {
					width = widths[len(widths)-1]
				}
				event(runner.Event{Type: runner.EventProgress, Address: c, Phase: "steady", Progress: &runner.Progress{
					Fraction: float64(n) / 5, InFlight: 128, OK: int64(1000 * n), Failed: int64(n), OutputTokensPerS: 12345, TTFTMeanMS: 1234, RemainingSeconds: 100,
				}}, true)
			}
			event(runner.Event{Type: runner.EventCellEnded, Address: c, Data: []result.Entry{{
				Address: c, Benchmark: strings.FieldsFunc(c, func(r rune) bool { return r == '.' || r == '[' })[1], Phase: "steady", Verdict: result.Suspect,
				Requests: result.Requests{Scheduled: 1000, OK: 990}, Throughput: map[string]*float64{"output_tokens_per_s": &rate},
				Metrics: map[string]*result.Stats{"ttft_ms": &stats, "tpot_ms": &stats},
				Marks:   []result.Mark{{Name: "too_few"}, {Name: "client_limited"}, {Name: "not_steady"}, {Name: "beyond_selftest"}}[:i+2],
			}}}, true)
		}
		all := strings.Join(written, "")
		if m := regexp.MustCompile(`\x1b\[2J|\x1b\[[0-9;]*H|\x1bc|\x1b\[\?1049`).FindString(all); m != "" {
			t.Errorf("at %v columns a frame clears the screen: %q", widths, m)
		}
		if refreshed < 10 {
			t.Errorf("at %v columns only %d frames brought the live part up to date", widths, refreshed)
		}
		shown := replay(all)
		if strings.Contains(shown, "in flight") {
			t.Errorf("at %v columns of the live part is left\n%s", widths, shown)
		}
		for want, n := range map[string]int{"suspect": 3, "too_few": 3, "client_limited": 3, "not_steady": 2, "beyond_selftest": 1, "990/1000": 3} {
			if got := strings.Count(shown, want); got != n {
				t.Errorf("at %v columns %q is shown %d times, want %d:\n%s", widths, want, got, n, shown)
			}
		}
		if strings.Contains(shown, "…\n") {
			t.Errorf("at %v columns a line is cut:\n%s", widths, shown)
		}
	}
}

// TestWrapped: lines break between words; a word that is too wide is left whole.
func TestWrapped(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{"one two three", 13, "one two three"},
		{"one two three", 12, "one two\n  three"},
		{"one two three", 7, "one two\n  three"},
		{"one /a/long/path/of/a/file two", 10, "one\n  /a/long/path/of/a/file\n  two"},
		{"  in  by two\nand more", 8, "  in  by\n  two\nand more"},
		{"größer als", 6, "größer\n  als"},
		{"", 5, ""},
	} {
		if got := wrapped(c.text, c.width, 2); got != c.want {
			t.Errorf("%q in %d: %q, want %q", c.text, c.width, got, c.want)
		}
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
