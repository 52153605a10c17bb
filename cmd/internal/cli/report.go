package cli

import (
	"encoding/json"

	"github.com/hashicorp/hcl/v2"
)

// report prints diagnostics to stderr. With an error among them it returns the exit code
// of a wrong scenario.
func report(env *Env, diags hcl.Diagnostics, files map[string]*hcl.File) error {
	width := env.StderrTerminal()
	_ = hcl.NewDiagnosticTextWriter(env.Stderr, files, uint(width), env.color(width)).WriteDiagnostics(diags)
	if diags.HasErrors() {
		return &exitError{code: exitUsage}
	}
	return nil
}

// diagnostic is a diagnostic as validate --json prints it; lines and columns are from 1.
type diagnostic struct {
	Severity string `json:"severity"` // "error" or "warning"
	Summary  string `json:"summary"`
	Detail   string `json:"detail"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	EndLine  int    `json:"end_line,omitempty"`
	EndCol   int    `json:"end_column,omitempty"`
}

// reportJSON prints diagnostics to stdout as one JSON object.
func reportJSON(env *Env, diags hcl.Diagnostics) error {
	list := []diagnostic{}
	for _, d := range diags {
		out := diagnostic{Severity: "error", Summary: d.Summary, Detail: d.Detail}
		if d.Severity == hcl.DiagWarning {
			out.Severity = "warning"
		}
		if r := d.Subject; r != nil {
			out.File, out.Line, out.Column, out.EndLine, out.EndCol = r.Filename, r.Start.Line, r.Start.Column, r.End.Line, r.End.Column
		}
		list = append(list, out)
	}
	enc := json.NewEncoder(env.Stdout)
	enc.SetIndent("", "  ")
	if err := enc.Encode(struct {
		Valid       bool         `json:"valid"`
		Diagnostics []diagnostic `json:"diagnostics"`
	}{!diags.HasErrors(), list}); err != nil {
		return exit(exitRun, "%v", err)
	}
	if diags.HasErrors() {
		return &exitError{code: exitUsage}
	}
	return nil
}
