package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sparkrun/examples"
	"sparkrun/scenario"
)

// starter is a scenario that init writes: an example of ours.
type starter struct {
	name string
	does string
	file string // of package examples
	url  string // the one that a server which is running already is written into; "" for none
}

var starters = []starter{
	{"quickstart", "three simulated engines, or the server of --url, under 1, 4 and 16 users", "quickstart.hcl", "openai.hcl"},
	{"compare", "vLLM, SGLang and TensorRT-LLM with gpt-oss-20b on one DGX Spark, one after the other", "gpt-oss-20b.hcl", ""},
	{"single-turn", "prompts and answers of five lengths under 1, 8 and 64 users, as genai-bench sends them", "single-turn.hcl", "single-turn.hcl"},
	{"capacity", "a search for how many users a server bears", "capacity.hcl", "capacity.hcl"},
	{"cluster", "two DGX Sparks: a model on one, over both, and a copy on each", "topology.hcl", ""},
	{"ci", "a gate for CI: thresholds, JUnit's XML and a page for a pull request", "ci.hcl", "ci.hcl"},
}

func newInitCommand(env *Env) *cobra.Command {
	var (
		a     asked
		print bool
	)
	var lines, names []string
	for _, s := range starters {
		lines = append(lines, fmt.Sprintf("  %-12s %s", s.name, s.does))
		names = append(names, s.name+"\t"+s.does)
	}
	c := &cobra.Command{
		Use:   "init [NAME]",
		Short: "Write a small scenario to begin with",
		Long: `Writes a small scenario with comments, NAME.hcl, into this folder; a file that is there is
never overwritten. NAME (default: quickstart) is one of:

` + strings.Join(lines, "\n") + `

With --url it is for a server that is running already: it is asked for its models, one token,
its engine and its limits, and the scenario gets what fits them. A server that wants a key
gets the one in OPENAI_API_KEY (or --api-key-env); the file only names the variable.`,
		Example:   "  sparkrun init\n  sparkrun init capacity\n  sparkrun init --url http://127.0.0.1:8000\n  sparkrun init single-turn --url http://127.0.0.1:8000 --print > lengths.hcl",
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: names,
		RunE: func(_ *cobra.Command, args []string) error {
			name := starters[0].name
			if len(args) > 0 {
				name = args[0]
			}
			i := slices.IndexFunc(starters, func(s starter) bool { return s.name == name })
			if i < 0 {
				var known []string
				for _, s := range starters {
					known = append(known, s.name)
				}
				return exit(exitUsage, "init has no scenario %q.%s It has:\n%s", name, scenario.Nearest(name, known), strings.Join(lines, "\n"))
			}
			s := starters[i]
			if err := a.check(s); err != nil {
				return err
			}
			path := s.name + ".hcl"
			if _, err := os.Lstat(path); err == nil && !print {
				return thereAlready(path)
			}
			src, err := s.source(env, a)
			if err != nil {
				return err
			}
			if print {
				_, err = env.Stdout.Write(src)
				return err
			}
			return write(env, path, src)
		},
	}
	f := c.Flags()
	f.StringVar(&a.url, "url", "", "address of a server that is running already, with or without /v1")
	f.StringVar(&a.model, "model", "", "with --url: the model (default: the first that it lists)")
	f.StringVar(&a.keyEnv, "api-key-env", "OPENAI_API_KEY", "with --url: variable of the environment that has the key")
	f.BoolVar(&print, "print", false, "print the scenario instead of writing a file")
	return c
}

// source is the scenario's text, with the server that was asked, if one is to be.
func (s starter) source(env *Env, a asked) ([]byte, error) {
	file := s.file
	if a.url != "" {
		file = s.url
	}
	src, err := examples.Files.ReadFile(file)
	if err != nil {
		return nil, err
	}
	src = []byte(strings.ReplaceAll(string(src), "examples/"+file, s.name+".hcl"))
	if a.url == "" {
		return src, nil
	}
	found, err := a.ask(env)
	if err != nil {
		return nil, err
	}
	return found.fill(src)
}

func thereAlready(path string) error {
	return exit(exitUsage, "%s is there already and is not overwritten: move it, go to another folder, or use --print > OTHER.hcl", path)
}

// write makes the file, and says what comes next.
func write(env *Env, path string, src []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return thereAlready(path)
	}
	if err == nil {
		_, err = f.Write(src)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return exit(exitRun, "write the scenario: %v", err)
	}
	fmt.Fprintf(env.Stdout, `Wrote %s. Next:
  sparkrun plan %[1]s     # what would run; nothing is touched
  sparkrun apply %[1]s
`, path)
	return nil
}
