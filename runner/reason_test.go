package runner

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryReasonIsProvoked: each code stands in an assertion of a script, or is used by a
// test of this package.
func TestEveryReasonIsProvoked(t *testing.T) {
	var asserted strings.Builder
	scripts, _ := filepath.Glob("../cmd/sparkrun/testdata/script/*.txtar")
	if len(scripts) == 0 {
		t.Fatal("no scripts")
	}
	for _, path := range scripts {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, "stderr ") || strings.HasPrefix(line, "stdout ") || strings.HasPrefix(line, "grep ") {
				asserted.WriteString(line)
			}
		}
	}
	programs, _ := filepath.Glob("../cmd/sparkrun/*_test.go") // those on a real container engine
	for _, path := range programs {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		asserted.Write(b)
	}
	used := map[string]bool{}
	tests, _ := filepath.Glob("*_test.go")
	for _, path := range tests {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				used[id.Name] = true
			}
			return true
		})
	}
	for _, r := range Reasons() {
		if !strings.Contains(asserted.String(), string(r.Code)) && !used[identifier(r.Code)] {
			t.Errorf("no test provokes %s (%s)", r.Code, identifier(r.Code))
		}
	}
}

// identifier is the Go name of a code: LAUNCH_OUT_OF_MEMORY is LaunchOutOfMemory.
func identifier(code Reason) string {
	var b strings.Builder
	for word := range strings.SplitSeq(string(code), "_") {
		if word == "OK" {
			b.WriteString(word)
			continue
		}
		b.WriteString(word[:1] + strings.ToLower(word[1:]))
	}
	return b.String()
}
