package result

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestEveryMarkIsExplained: each mark that the runner or a summary sets has its line in help
// reasons, and help reasons has none that nothing sets.
func TestEveryMarkIsExplained(t *testing.T) {
	set := map[string]bool{beyondSelftest: true}
	setter := regexp.MustCompile(`(?:\bmark|\.Add)\("([a-z_]+)"`)
	for _, pattern := range []string{"*.go", "../*.go"} {
		files, _ := filepath.Glob(pattern)
		for _, path := range files {
			if matched, _ := filepath.Match("*_test.go", filepath.Base(path)); matched {
				continue
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range setter.FindAllSubmatch(b, -1) {
				set[string(m[1])] = true
			}
		}
	}
	for name := range set {
		if !slices.ContainsFunc(Marks(), func(d MarkDoc) bool { return d.Name == name && d.Sentence != "" }) {
			t.Errorf("%s is set, and help reasons has no sentence for it", name)
		}
	}
	for _, d := range Marks() {
		if !set[d.Name] {
			t.Errorf("help reasons explains %s, and nothing sets it", d.Name)
		}
	}
}
