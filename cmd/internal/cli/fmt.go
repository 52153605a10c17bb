package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"sparkrun/scenario"
)

func newFmtCommand(env *Env) *cobra.Command {
	var check, diff bool
	c := &cobra.Command{
		Use:   "fmt PATH...",
		Short: "Format scenario files",
		Long: `Rewrites .hcl files in the one format: spaces and alignment, never a token. A folder means
its .hcl files; "-" formats standard input to standard output. Prints the names of the
files that it changed.`,
		Example: "  sparkrun fmt sweep.hcl\n  sparkrun fmt --check examples",
		Args:    needPath,
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := hclFiles(args)
			if err != nil {
				return exit(exitUsage, "%v", err)
			}
			changed := false
			for _, file := range files {
				is, err := formatFile(env, file, check, diff)
				if err != nil {
					return err
				}
				changed = changed || is
			}
			if check && changed {
				return &exitError{code: exitChanged}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&check, "check", false, "change nothing; exit 3 if a file is not formatted")
	c.Flags().BoolVar(&diff, "diff", false, "change nothing; print what would change")
	return c
}

// formatFile formats one file and reports whether it was (or would be) changed.
func formatFile(env *Env, file string, check, diff bool) (changed bool, err error) {
	var src []byte
	if file == "-" {
		src, err = io.ReadAll(env.Stdin)
	} else {
		src, err = os.ReadFile(file)
	}
	if err != nil {
		return false, exit(exitUsage, "%v", err)
	}
	out, diags := scenario.Format(src, file)
	if diags.HasErrors() {
		return false, report(env, diags, map[string]*hcl.File{file: {Bytes: src}})
	}
	changed = !bytes.Equal(src, out)
	switch {
	case file == "-" && !check && !diff:
		_, err = env.Stdout.Write(out)
		return changed, err
	case !changed:
		return false, nil
	case diff:
		fmt.Fprintf(env.Stdout, "--- %s\n+++ %s (formatted)\n%s", file, file, lineDiff(src, out))
	default:
		fmt.Fprintln(env.Stdout, file)
	}
	if check || diff {
		return true, nil
	}
	info, err := os.Stat(file)
	if err == nil {
		err = os.WriteFile(file, out, info.Mode())
	}
	if err != nil {
		return true, exit(exitRun, "%v", err)
	}
	return true, nil
}

// hclFiles are the files that the arguments mean.
func hclFiles(args []string) ([]string, error) {
	var files []string
	for _, arg := range args {
		if arg == "-" {
			files = append(files, arg)
			continue
		}
		info, err := os.Stat(arg)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, arg)
			continue
		}
		found, err := filepath.Glob(filepath.Join(arg, "*.hcl"))
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	return files, nil
}

// lineDiff shows the lines that differ. Formatting never adds or removes a line, so the
// two have the same number of them.
func lineDiff(a, b []byte) string {
	before, after := strings.SplitAfter(string(a), "\n"), strings.SplitAfter(string(b), "\n")
	var out strings.Builder
	for i := range min(len(before), len(after)) {
		if before[i] != after[i] {
			fmt.Fprintf(&out, "@@ line %d @@\n-%s+%s", i+1, before[i], after[i])
		}
	}
	return out.String()
}
