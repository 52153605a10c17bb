package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sparkrun/runner/result"
	"sparkrun/runner/store"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/sinks"
)

func newExportCommand(env *Env) *cobra.Command {
	var (
		out  string
		kind string
		path string
		sets []string
	)
	c := &cobra.Command{
		Use:   "export RUN --sink TYPE",
		Short: "Write a sink again from the raw rows of an old run",
		Long: `Writes a sink from the raw rows of a run, as apply would have: also one that the scenario did
not have, and of a run that was killed in mid-cell, with everything measured until then.
Attributes are those of the scenario's sink of that type, else the defaults (sparkrun help
TYPE lists them); --set changes them, --path says where the file goes.

` + runArgument,
		Example: "  sparkrun export sweep/latest --sink csv --path sweep.csv --set rows=requests\n  sparkrun export 20261123-1015 --sink excel",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			st, err := store.Find(out, args[0])
			if err != nil {
				return exit(exitUsage, "%v", err)
			}
			past, err := st.Past()
			if err != nil {
				return exit(exitRun, "%v", err)
			}
			if path != "" {
				sets = append(sets, "path="+absolute([]string{path})[0])
			}
			s, err := exportedSink(past.Info.Plan, kind, sets)
			if err != nil {
				return exit(exitUsage, "%v", err)
			}
			if err := retype(past.Info.Plan); err != nil {
				return exit(exitRun, "read run.json of run %s: %v", st.ID, err)
			}
			sink, err := sinks.New(*s, st.Dir, sinks.Env{Stdout: env.Stdout, Width: env.StdoutTerminal(), Color: env.color(env.StdoutTerminal()), Again: true})
			if err != nil {
				return exit(exitUsage, "%v", err)
			}
			if err := export(past, sink); err != nil {
				return exit(exitRun, "write sink %s of run %s: %v", kind, st.ID, err)
			}
			if p := sink.Path(); p != "" {
				fmt.Fprintln(env.Stdout, p)
			}
			return nil
		},
	}
	c.Flags().StringVar(&kind, "sink", "", "type of the sink, as excel or csv")
	c.Flags().StringVar(&path, "path", "", "file to write (default: as the sink has it, in the run's folder)")
	c.Flags().StringArrayVar(&sets, "set", nil, "set an attribute of the sink, as rows=requests (repeatable)")
	c.Flags().StringVar(&out, "out", "results", "folder of the results store")
	c.ValidArgsFunction = completeRuns(&out, 1)
	_ = c.MarkFlagRequired("sink") // it is there
	_ = c.RegisterFlagCompletionFunc("sink", completeSinks)
	return c
}

// export plays a run into a sink.
func export(past *store.Past, sink sinks.Sink) error {
	ctx := context.Background()
	if err := sink.Begin(ctx, &past.Info); err != nil {
		return err
	}
	err := past.Cells(func(c *result.Cell) error { return sink.Cell(ctx, c) })
	judgeAgain(past)
	return errors.Join(err, sink.End(ctx, &past.Info))
}

// exportedSink is the sink to write: the attributes of the plan's own of that type, the
// defaults, and what is set.
func exportedSink(p *plan.Plan, kind string, sets []string) (*plan.Sink, error) {
	kinds := sinks.Kinds()
	i := slices.IndexFunc(kinds, func(k schema.Kind) bool { return k.Name == kind })
	if i < 0 {
		var names []string
		for _, k := range kinds {
			names = append(names, k.Name)
		}
		return nil, fmt.Errorf("there is no sink type %q: there is %s", kind, strings.Join(names, ", "))
	}
	k := kinds[i]
	if k.Content && !slices.ContainsFunc(p.Cells, func(c plan.Cell) bool { return c.Record.Content }) {
		return nil, fmt.Errorf("the run kept no prompts and answers, which sink %s needs: that takes record { content = true }, or the sink in the scenario", kind)
	}
	s := &plan.Sink{Address: "sink." + kind, Type: kind, Values: schema.Values{}}
	for _, a := range k.Attrs {
		if a.Default != nil {
			s.Values[a.Name] = a.Default
		}
	}
	for _, own := range p.Sinks {
		if own.Type != kind {
			continue
		}
		if err := own.Values.Typed(k.Attrs); err != nil {
			return nil, fmt.Errorf("%s of the run: %w", own.Address, err)
		}
		for name, v := range own.Values {
			s.Values[name] = v
		}
		break
	}
	for _, set := range sets {
		if err := setAttr(s.Values, k, set); err != nil {
			return nil, err
		}
	}
	if k.Check != nil {
		for _, problem := range k.Check(s.Values) {
			return nil, fmt.Errorf("sink %s: %s", kind, strings.TrimSuffix(problem.Detail, "."))
		}
	}
	return s, nil
}

// setAttr sets an attribute from NAME=VALUE.
func setAttr(values schema.Values, k schema.Kind, set string) error {
	name, text, ok := strings.Cut(set, "=")
	if !ok {
		return fmt.Errorf("--set %s: write it as NAME=VALUE", set)
	}
	i := slices.IndexFunc(k.Attrs, func(a schema.Attr) bool { return a.Name == name })
	if i < 0 {
		return fmt.Errorf("--set %s: sink %s has no attribute %q; see: sparkrun help %s", set, k.Name, name, k.Name)
	}
	a := k.Attrs[i]
	if len(a.Values) > 0 && !slices.Contains(a.Values, text) {
		return fmt.Errorf("--set %s: it must be one of %s", set, strings.Join(a.Values, ", "))
	}
	var err error
	switch a.Type {
	case schema.String:
		values[name] = schema.Plain(text)
	case schema.StringList:
		var list []schema.Text
		for _, t := range strings.Split(text, ",") {
			list = append(list, schema.Plain(t))
		}
		values[name] = list
	case schema.Bool:
		values[name], err = strconv.ParseBool(text)
	case schema.Int:
		values[name], err = strconv.ParseInt(text, 10, 64)
	default:
		return fmt.Errorf("--set %s: an attribute that is a %s can't be set here", set, a.Type)
	}
	if err != nil {
		return fmt.Errorf("--set %s: it must be a %s", set, a.Type)
	}
	return nil
}

// retype gives the attributes of a plan that was read back the types that sinks expect.
func retype(p *plan.Plan) error {
	kinds := registry().Datasets
	for i := range p.Datasets {
		d := &p.Datasets[i]
		if n := slices.IndexFunc(kinds, func(k schema.Kind) bool { return k.Name == d.Type }); n >= 0 {
			if err := d.Values.Typed(kinds[n].Attrs); err != nil {
				return fmt.Errorf("%s: %w", d.Address, err)
			}
		}
	}
	return nil
}
