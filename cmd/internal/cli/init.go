package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sparkrun/cmd/internal/starter"
	"sparkrun/scenario"
)

func newInitCommand(env *Env) *cobra.Command {
	var (
		a     asked
		print bool
	)
	var lines, names, completions []string
	for _, s := range starter.Scenarios {
		lines = append(lines, fmt.Sprintf("  %-12s %s", s.Name, s.Does))
		names = append(names, s.Name)
		completions = append(completions, s.Name+"\t"+s.Does)
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
		ValidArgs: completions,
		RunE: func(_ *cobra.Command, args []string) error {
			s := starter.Scenarios[0]
			if len(args) > 0 {
				i := slices.Index(names, args[0])
				if i < 0 {
					return exit(exitUsage, "init has no scenario %q.%s It has:\n%s", args[0], scenario.Nearest(args[0], names), strings.Join(lines, "\n"))
				}
				s = starter.Scenarios[i]
			}
			if err := a.check(s); err != nil {
				return err
			}
			if _, err := os.Lstat(s.File()); err == nil && !print {
				return thereAlready(s.File())
			}
			src, err := a.text(env, s)
			switch {
			case err != nil:
				return err
			case print:
				_, err = env.Stdout.Write(src)
				return err
			}
			return write(env, s.File(), src)
		},
	}
	f := c.Flags()
	f.StringVar(&a.url, "url", "", "address of a server that is running already, with or without /v1")
	f.StringVar(&a.model, "model", "", "with --url: the model (default: the first that it lists)")
	f.StringVar(&a.keyEnv, "api-key-env", "OPENAI_API_KEY", "with --url: variable of the environment that has the key")
	f.BoolVar(&print, "print", false, "print the scenario instead of writing a file")
	return c
}

// text is a scenario, for the server that is to be asked if there is one.
func (a asked) text(env *Env, s starter.Scenario) ([]byte, error) {
	if a.url == "" {
		return s.Text()
	}
	server, err := a.ask(env)
	if err != nil {
		return nil, err
	}
	return s.For(server)
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
