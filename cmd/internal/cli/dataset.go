package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sparkrun/runner/dataset"
	"sparkrun/scenario/plan"
)

func newDatasetCommand(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "dataset",
		Short: "Write, convert and count datasets",
		Long: `Writes the dataset that a scenario declares as a file, converts files of conversations,
and counts turns and tokens. sparkrun help NAME describes a type: ` + kindNames() + `.`,
		Example: "  sparkrun dataset make sweep.hcl -o chat.json\n  sparkrun dataset convert sharegpt.json --to conversations -o chat.json\n  sparkrun dataset stats chat.json",
	}
	c.AddCommand(newDatasetMakeCommand(env), newDatasetConvertCommand(env), newDatasetStatsCommand(env))
	return c
}

func kindNames() string {
	var names []string
	for _, k := range dataset.Kinds() {
		names = append(names, k.Name)
	}
	return strings.Join(names, ", ")
}

func newDatasetMakeCommand(env *Env) *cobra.Command {
	var (
		f           datasetFlags
		out, format string
	)
	c := &cobra.Command{
		Use:   "make SCENARIO...",
		Short: "Write the dataset that a scenario declares as a file",
		Long: `Writes a dataset as the list of conversations that vLLM's multi-turn benchmark and
type = "conversations" read, or in another format. Answers carry the length that the
server's are to have. A cell of a run sends the same lengths with other words, so that
it does not meet another cell's prefix cache; what is in a file is sent as it is.`,
		Example: "  sparkrun dataset make sweep.hcl --dataset chat -o chat.json\n  sparkrun dataset make sweep.hcl --url http://127.0.0.1:8000/v1 -o chat.json",
		Args:    needPath,
		RunE: func(_ *cobra.Command, args []string) error {
			d, err := f.declared(env, args)
			if err != nil {
				return err
			}
			if f.url == "" {
				fmt.Fprintln(env.Stderr, "Note: words are taken for tokens: --url names a server whose tokenizer makes lengths exact.")
			}
			return f.write(env, d, out, format)
		},
	}
	f.ofScenario(c)
	f.draw(c)
	f.server(c)
	c.Flags().Int64Var(&f.most, "conversations", 0, "conversations of an endless set")
	outputFile(c, &out, &format, "format")
	return c
}

func newDatasetConvertCommand(env *Env) *cobra.Command {
	var (
		f       datasetFlags
		out, to string
	)
	c := &cobra.Command{
		Use:   "convert FILE",
		Short: "Convert a file of conversations",
		Long: `Converts a file of conversations into another format; gzip and zstd are unpacked. What is
read is checked as a run checks it. Files may be larger than memory.`,
		Example: "  sparkrun dataset convert sharegpt.json --to conversations --sample 200 --skip-invalid -o chat.json\n  sparkrun dataset convert chat.json --from conversations --to jsonl -o chat.jsonl",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			d, err := f.file(args[0])
			if err != nil {
				return err
			}
			return f.write(env, d, out, to)
		},
	}
	f.ofFile(c)
	f.draw(c)
	outputFile(c, &out, &to, "to")
	return c
}

func outputFile(c *cobra.Command, out, format *string, name string) {
	c.Flags().StringVarP(out, "output", "o", "-", "file to write, - for standard output")
	c.Flags().StringVar(format, name, "conversations", "format to write: "+strings.Join(dataset.Formats(), ", "))
}

// write writes a dataset to a file, which appears when it is complete.
func (f *datasetFlags) write(env *Env, d plan.Dataset, path, format string) error {
	if !slices.Contains(dataset.Formats(), format) {
		return exit(exitUsage, "conversations can't be written as %q: use one of %s", format, strings.Join(dataset.Formats(), ", "))
	}
	set, server, err := f.open(env, d)
	if err != nil {
		return err
	}
	all := set.Conversations(context.Background(), f.seed, f.most, server)
	if path == "-" {
		if _, err := dataset.Write(env.Stdout, format, all); err != nil {
			return exit(exitUsage, "%s: %v", d.Address, err)
		}
		return nil
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".sparkrun-*")
	if err != nil {
		return exit(exitRun, "%v", err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	n, err := dataset.Write(file, format, all)
	if err != nil {
		return exit(exitUsage, "%s: %v", d.Address, err)
	}
	if err := errors.Join(file.Chmod(0o644), file.Close(), os.Rename(file.Name(), path)); err != nil {
		return exit(exitRun, "write %s: %v", path, err)
	}
	fmt.Fprintf(env.Stderr, "%s: %d conversations.\n", path, n)
	return nil
}
