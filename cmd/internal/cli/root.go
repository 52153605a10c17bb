package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// Exit codes as product.md documents them; runner decides the rest of a run's.
const (
	exitOK        = 0
	exitRun       = 1   // it could not be done
	exitUsage     = 2   // the scenario or the call is wrong, nothing was touched
	exitCleanup   = 5   // something is left that should be gone
	exitChanged   = 3   // fmt --check found files to format
	exitInterrupt = 130 // left by a signal
)

// exitError ends a command with a code. An empty message says that everything has been
// printed.
type exitError struct {
	code    int
	message string
}

func (e *exitError) Error() string { return e.message }

func exit(code int, format string, args ...any) error {
	return &exitError{code, fmt.Sprintf(format, args...)}
}

// needPath is the arguments of a command that reads scenarios.
func needPath(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return exit(exitUsage, "name a scenario, a folder of one, or - for standard input, as in: %s sweep.hcl", c.CommandPath())
	}
	return nil
}

// Run runs the command line and returns its exit code.
func Run(env *Env) int {
	root := &cobra.Command{
		Use:   "sparkrun",
		Short: "Runs LLM-inference benchmarks that are written down",
		Long: `sparkrun runs LLM-inference benchmarks that are written down: a scenario (.hcl) declares
servers, datasets, phases and sinks; sparkrun plans it, runs it and leaves a workbook,
summaries and raw data.`,
		Example:       "  sparkrun init\n  sparkrun plan quickstart.hcl\n  sparkrun apply quickstart.hcl",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetArgs(env.Args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.AddGroup(&cobra.Group{ID: "run", Title: "Run:"}, &cobra.Group{ID: "results", Title: "Results:"}, &cobra.Group{ID: "write", Title: "Write scenarios:"}, &cobra.Group{ID: "more", Title: "More:"})
	root.SetCompletionCommandGroupID("more")
	root.SetHelpCommand(newHelpCommand(env, root))
	for group, commands := range map[string][]*cobra.Command{
		"run":     {newApplyCommand(env), newResumeCommand(env), newPlanCommand(env), newUpCommand(env), newLogsCommand(env), newDownCommand(env), newDoctorCommand(env)},
		"results": {newRunsCommand(env), newShowCommand(env), newExportCommand(env), newCompareCommand(env)},
		"write":   {newInitCommand(env), newValidateCommand(env), newFmtCommand(env), newGraphCommand(env)},
		"more":    {newDatasetCommand(env), newSimCommand(env), newSelftestCommand(env), newVersionCommand(env)},
	} {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	root.AddCommand(newLogWriterCommand(env), newWorkerCommand(env))
	called, err := root.ExecuteC()
	var code *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		if code.message != "" {
			fmt.Fprintln(env.Stderr, "Error: "+code.message)
		}
		return code.code
	}
	// What cobra itself says is about the call.
	fmt.Fprintf(env.Stderr, "Error: %v\n", err)
	if called.HasParent() {
		fmt.Fprintf(env.Stderr, "Usage: %s\n", called.UseLine())
	}
	fmt.Fprintf(env.Stderr, "Run '%s --help' for more.\n", called.CommandPath())
	return exitUsage
}
