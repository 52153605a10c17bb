package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, path string, lines ...Line) {
	t.Helper()
	j, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if err := j.Append(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTornTailIsCutOffAndAppendingGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	write(t, path, Line{Type: Run, Version: "1"}, Line{Type: Cell, Canonical: "a", Outcome: "succeeded"})
	whole, _ := os.ReadFile(path)
	if err := os.WriteFile(path, append(bytes.Clone(whole), `{"seq":3,"type":"ce`...), 0o644); err != nil {
		t.Fatal(err)
	}

	lines, err := Read(path)
	if err != nil || len(lines) != 2 {
		t.Fatalf("read %d lines, %v; want the 2 whole ones", len(lines), err)
	}
	write(t, path, Line{Type: Cell, Canonical: "b", Outcome: "failed"})
	lines, _ = Read(path)
	if len(lines) != 3 || lines[2].Canonical != "b" || lines[2].Seq != 3 {
		t.Fatalf("after the torn tail: %+v", lines)
	}
	write(t, path, Line{Type: Run}, Line{Type: Cell, Canonical: "c"})
	lines, _ = Read(path)
	if lines[2].Try != 1 || lines[4].Try != 2 {
		t.Errorf("tries %d and %d, want 1 and 2", lines[2].Try, lines[4].Try)
	}
}

func TestFinishedLeftoverEnded(t *testing.T) {
	zero := 0
	lines := []Line{
		{Type: Run},
		{Type: Create, Name: "p1"},
		{Type: Created, Name: "p1", Pid: 7},
		{Type: Create, Name: "p2"},
		{Type: Cell, Canonical: "a", Outcome: "succeeded", Digest: "d"},
		{Type: Cell, Canonical: "b", Outcome: "failed"},
		{Type: Removed, Name: "p2"},
	}
	if done := Finished(lines); len(done) != 1 || done["a"].Digest != "d" {
		t.Errorf("finished %v, want a alone", done)
	}
	if left := Leftover(lines); len(left) != 1 || left[0].Pid != 7 {
		t.Errorf("leftover %v, want p1 with its pid", left)
	}
	if _, ok := Ended(lines); ok {
		t.Error("a run without an end line has ended")
	}
	if code, ok := Ended(append(lines, Line{Type: End, Exit: &zero})); !ok || code != 0 {
		t.Error("a run with an end line has not ended")
	}
	// A resumed run is open again until its own end line.
	if _, ok := Ended(append(lines, Line{Type: End, Exit: &zero}, Line{Type: Run})); ok {
		t.Error("a resumed run has ended before its end line")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"seq":1,"type":"run"}` + "\n" + `{"seq":2,"type":"cell","canonical":"a"}` + "\n{"))
	f.Fuzz(func(t *testing.T, b []byte) {
		lines, size := parse(bytes.NewReader(b))
		if size > int64(len(b)) {
			t.Fatalf("%d whole bytes of %d", size, len(b))
		}
		again, sizeAgain := parse(bytes.NewReader(b[:size]))
		if len(again) != len(lines) || sizeAgain != size {
			t.Fatalf("the whole part reads as %d lines, %d bytes; before %d, %d", len(again), sizeAgain, len(lines), size)
		}
		Finished(lines)
		Leftover(lines)
	})
}
