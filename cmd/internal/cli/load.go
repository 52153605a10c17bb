package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"sparkrun/runner/dataset"
	"sparkrun/scenario"
	"sparkrun/scenario/schema"
	"sparkrun/sinks"
	"sparkrun/targets/framework"
)

// scenarioFlags are the flags of every command that loads a scenario.
type scenarioFlags struct {
	vars []scenario.VarSetting // --var and --var-file in the order of the command line
	only []string
	skip []string
}

// varFlag adds --var and --var-file settings to one list, so that their order is kept.
type varFlag struct {
	into *[]scenario.VarSetting
	file bool
}

func (v *varFlag) String() string { return "" }

func (v *varFlag) Type() string {
	if v.file {
		return "FILE"
	}
	return "NAME=VALUE"
}

func (v *varFlag) Set(s string) error {
	if v.file {
		*v.into = append(*v.into, scenario.VarSetting{File: s})
		return nil
	}
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return fmt.Errorf("write it as NAME=VALUE")
	}
	*v.into = append(*v.into, scenario.VarSetting{Name: name, Value: value})
	return nil
}

func (f *scenarioFlags) register(c *cobra.Command) {
	c.Flags().Var(&varFlag{into: &f.vars}, "var", "set a variable; a list may be written a,b,c (repeatable)")
	c.Flags().Var(&varFlag{into: &f.vars, file: true}, "var-file", "set variables from a .vars.hcl file (repeatable)")
	c.Flags().StringArrayVar(&f.only, "only", nil, "run only these cells, as in server=vllm,concurrency=16 (repeatable)")
	c.Flags().StringArrayVar(&f.skip, "skip", nil, "leave these cells out (repeatable)")
}

// registry is every kind that this build knows.
func registry() schema.Registry {
	return schema.Registry{
		Frameworks: framework.Kinds(),
		Datasets:   dataset.Kinds(),
		Sinks:      sinks.Kinds(),
	}
}

// load loads a scenario and prints what is wrong with it. The error ends the command.
func (f *scenarioFlags) load(env *Env, paths []string) (*scenario.Scenario, error) {
	s, diags := f.scenario(env, paths)
	if err := report(env, diags, s.Files); err != nil {
		return nil, err
	}
	return s, nil
}

func (f *scenarioFlags) scenario(env *Env, paths []string) (*scenario.Scenario, hcl.Diagnostics) {
	return scenario.Load(scenario.Options{
		Paths: paths, Stdin: env.Stdin,
		Env: env.Lookup, ReadFile: os.ReadFile, ReadDir: readDir, Open: openFile,
		Vars: f.vars, Only: f.only, Skip: f.skip,
		Registry: registry(), Version: version(),
	})
}

// readDir lists the names of a folder's files.
func readDir(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, filepath.Join(path, e.Name()))
		}
	}
	slices.Sort(names)
	return names, nil
}
