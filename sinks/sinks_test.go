package sinks

import (
	"bytes"
	"path/filepath"
	"testing"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// TestEverySink: each declares itself with a default for every attribute or words for
// what its absence means, leaves the file that it names, also of a run without a cell, and
// refuses a folder that can't be made before anything runs.
func TestEverySink(t *testing.T) {
	for _, k := range Kinds() {
		if k.Doc == "" {
			t.Errorf("%s has no doc", k.Name)
		}
		for _, a := range k.Attrs {
			if a.Doc == "" || (a.Default == nil && a.DefaultDoc == "" && !a.Required) {
				t.Errorf("%s.%s lacks a doc or a default", k.Name, a.Name)
			}
		}
		for name, cells := range map[string]int{"a run": 4, "a run without a cell": 0} {
			run, all := sample()
			run.Entries = run.Entries[:cells]
			run.Plan.Cells = run.Plan.Cells[:max(1, cells)]
			values := schema.Values{}
			for _, a := range k.Attrs {
				if a.Default != nil {
					values[a.Name] = a.Default
				}
			}
			dir := t.TempDir()
			s, err := New(plan.Sink{Address: "sink." + k.Name, Type: k.Name, Values: values}, dir, Env{Stdout: new(bytes.Buffer)})
			if err == nil {
				err = s.Begin(t.Context(), run)
			}
			for _, c := range all[:cells] {
				if err == nil {
					err = s.Cell(t.Context(), c)
				}
			}
			if err == nil {
				err = s.End(t.Context(), run)
			}
			if err != nil {
				t.Errorf("%s of %s: %v", k.Name, name, err)
				continue
			}
			if path := s.Path(); path != "" {
				if found, _ := filepath.Glob(path); len(found) == 0 {
					t.Errorf("%s of %s has not left %s", k.Name, name, filepath.Base(path))
				}
			}
		}
		if k.Name == "console" {
			continue // it writes no file
		}
		run, _ := sample()
		s, err := New(plan.Sink{Type: k.Name, Values: schema.Values{"path": schema.Plain("/dev/null/x/file")}}, t.TempDir(), Env{})
		if err == nil {
			err = s.Begin(t.Context(), run)
		}
		if err == nil {
			t.Errorf("%s begins in a folder that can't be made", k.Name)
		}
	}
}
