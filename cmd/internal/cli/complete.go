package cli

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"sparkrun/runner/store"
	"sparkrun/sinks"
)

// completeRuns completes up to so many RUN arguments from the store: ids, and SCENARIO/RUN
// once there is a scenario.
func completeRuns(out *string, most int) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		latest := map[string]bool{}
		for _, r := range store.List(*out) {
			scenario := filepath.Base(filepath.Dir(r.Dir))
			whole := scenario + "/" + r.ID
			if strings.HasPrefix(r.ID, begun) {
				names = append(names, r.ID+"\t"+whole)
			}
			if strings.HasPrefix(whole, begun) && strings.Contains(begun, "/") {
				names = append(names, whole)
			}
			if !latest[scenario] && strings.HasPrefix(scenario+"/latest", begun) {
				names = append(names, scenario+"/latest")
			}
			latest[scenario] = true
		}
		return names, cobra.ShellCompDirectiveDefault // files too: a folder, a summary.json
	}
}

// completeSinks completes --sink.
func completeSinks(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, k := range sinks.Kinds() {
		names = append(names, k.Name+"\t"+k.Doc)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
