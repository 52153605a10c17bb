package sinks

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"sparkrun/runner/result"
)

func TestConsole(t *testing.T) {
	_, out := play(t, "console", nil)
	golden(t, "console.golden", out)
}

// TestRepeats: medians with their range, and which servers differ.
func TestRepeats(t *testing.T) {
	run := repeated()
	var out bytes.Buffer
	c := &console{w: &out}
	if err := c.End(context.Background(), run); err != nil {
		t.Fatal(err)
	}
	golden(t, "repeats.golden", out.String())
	dir := t.TempDir()
	x := &excel{path: filepath.Join(dir, "r.xlsx")}
	if err := x.Begin(context.Background(), run); err != nil {
		t.Fatal(err)
	}
	if err := x.End(context.Background(), run); err != nil {
		t.Fatal(err)
	}
	f, err := excelize.OpenFile(x.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := f.GetRows("Summary")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, r := range rows {
		text.WriteString(strings.Join(r, "|") + "\n")
	}
	for _, want := range []string{
		"output_tokens_per_s|users=4|100.50|110.55\n",
		"output_tokens_per_s of the repeats|users=4|100–101, median within 100–101 (95 %)|110–111, median within 110–111 (95 %)\n",
		"output_tokens_per_s|users=4, steady|server.vllm|server.sglang|100.50|110.55|+10.0%|0.0022|yes|same start",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no line %q in\n%s", want, text.String())
		}
	}
}

// TestNarrowConsole: on a narrow terminal no line of what is not ok is broken inside a word, or
// wider than the terminal.
func TestNarrowConsole(t *testing.T) {
	run, _ := sample()
	run.Entries[0].Add("client_limited", "this client sent requests up to 13.5 ms late (p99), more than its numbers can bear: give it more CPU, or less load")
	run.Entries[0].Errors = []result.ErrorCount{{Status: "timeout", Count: 3, Message: strings.Repeat("no answer came in time ", 6)}}
	wide, narrow := new(bytes.Buffer), new(bytes.Buffer)
	for width, out := range map[int]*bytes.Buffer{0: wide, 80: narrow} {
		if err := (&console{w: out, width: width}).End(t.Context(), run); err != nil {
			t.Fatal(err)
		}
	}
	if n := widest(narrow.String()); n > 80 {
		t.Errorf("a line of %d characters:\n%s", n, narrow)
	}
	if got, want := strings.Fields(narrow.String()), strings.Fields(wide.String()); len(got) < len(want)*9/10 {
		t.Errorf("%d words of %d are left", len(got), len(want))
	}
	for _, want := range []string{"\nsuspect  benchmark.chat[server=vllm,users=16]#1\n    client_limited: this client sent", "\n3 × timeout  benchmark.chat[server=vllm,users=16]#1\n    no answer"} {
		if !strings.Contains(narrow.String(), want) {
			t.Errorf("no %q in\n%s", want, narrow)
		}
	}
}
