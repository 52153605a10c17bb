package sinks

import (
	"context"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sparkrun/runner/result"
)

// TestForCI: what CI systems read, with texts that would break it.
func TestForCI(t *testing.T) {
	for kind, file := range map[string]string{"junit": "junit.xml", "markdown": "report.md"} {
		dir, _ := play(t, kind, nil)
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, kind+".golden", string(b))
	}
	run := repeated()
	run.Entries[0].Verdict, run.Entries[0].Cause = result.Invalid, "a <b> & \x00 ]]> | `c` *d*\nsecond line"
	run.Entries[1].Verdict = result.Skipped
	dir := t.TempDir()
	for _, s := range []Sink{&junit{filepath.Join(dir, "j.xml")}, &markdown{path: filepath.Join(dir, "m.md")}} {
		if err := s.End(context.Background(), run); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "j.xml"))
	if err != nil {
		t.Fatal(err)
	}
	var doc junitSuites
	if err := xml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	first := doc.Suites[0].Cases[0]
	if doc.Tests != 18 || doc.Failures != 1 || doc.Skipped != 1 || first.Failure == nil || first.Failure.Message != "a <b> & \ufffd ]]> | `c` *d*" || !strings.Contains(first.Failure.Text, "second line") {
		t.Errorf("%+v, %+v", doc, first.Failure)
	}
	b, err = os.ReadFile(filepath.Join(dir, "m.md"))
	if err != nil || !strings.Contains(string(b), "a &lt;b&gt; & \x00 ]]&gt; \\| \\`c\\` \\*d\\*\n") {
		t.Errorf("%v\n%s", err, b)
	}
	for _, line := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(line, "|") && strings.Count(strings.ReplaceAll(line, "\\|", ""), "|") != 5 {
			t.Errorf("a line of a table of four columns: %s", line)
		}
	}
}
