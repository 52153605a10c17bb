package cli

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sparkrun/runner/dataset"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
	"sparkrun/targets/framework"
)

// datasetFlags choose a dataset and what of it.
type datasetFlags struct {
	scenario scenarioFlags
	name     string
	from     string
	most     int64
	sample   int64
	seed     uint64
	skip     bool
	url      string
	model    string
}

func (f *datasetFlags) draw(c *cobra.Command) {
	c.Flags().Uint64Var(&f.seed, "seed", 1, "seed of what is drawn, where the dataset has none")
}

func (f *datasetFlags) server(c *cobra.Command) {
	c.Flags().StringVar(&f.url, "url", "", "count tokens by the tokenizer of the server at this address")
	c.Flags().StringVar(&f.model, "model", "", "model of that server (default: the one it serves)")
}

func (f *datasetFlags) ofScenario(c *cobra.Command) {
	f.scenario.register(c)
	c.Flags().StringVar(&f.name, "dataset", "", "name of the dataset (default: the only one)")
}

func (f *datasetFlags) ofFile(c *cobra.Command) {
	c.Flags().StringVar(&f.from, "from", "", "type of the file (default: found out by its beginning)")
	c.Flags().Int64Var(&f.sample, "sample", 0, "take so many conversations at random (0: all)")
	c.Flags().BoolVar(&f.skip, "skip-invalid", false, "leave out conversations that are empty or whose roles don't take turns")
}

// either is a scenario's dataset or a file's.
func (f *datasetFlags) either(env *Env, path string) (plan.Dataset, error) {
	if info, err := os.Stat(path); strings.HasSuffix(path, ".hcl") || path == "-" || err == nil && info.IsDir() {
		return f.declared(env, []string{path})
	}
	return f.file(path)
}

// declared is the dataset of a scenario.
func (f *datasetFlags) declared(env *Env, paths []string) (plan.Dataset, error) {
	s, err := f.scenario.load(env, paths)
	if err != nil {
		return plan.Dataset{}, err
	}
	var names []string
	for _, d := range s.Plan.Datasets {
		if names = append(names, d.Name); d.Name == strings.TrimPrefix(f.name, "dataset.") {
			return d, nil
		}
	}
	if f.name == "" && len(names) == 1 {
		return s.Plan.Datasets[0], nil
	}
	return plan.Dataset{}, exit(exitUsage, "--dataset %s: the scenario's benchmarks use %s: name one of them", f.name, strings.Join(names, ", "))
}

// file is a dataset of a file, with the defaults of its type.
func (f *datasetFlags) file(path string) (plan.Dataset, error) {
	d := plan.Dataset{Address: path, Type: f.from, Values: schema.Values{}}
	var err error
	if d.Type == "" {
		if d.Type, err = dataset.Detect(path, openFile); err != nil {
			return d, exit(exitUsage, "%v", err)
		}
	}
	kinds := dataset.Kinds()
	i := slices.IndexFunc(kinds, func(k schema.Kind) bool { return k.Name == d.Type })
	if i < 0 || !slices.ContainsFunc(kinds[i].Attrs, func(a schema.Attr) bool { return a.Name == "path" }) {
		return d, exit(exitUsage, "--from %s: there is no such type of file: use one of %s", d.Type, kindNames())
	}
	for _, a := range kinds[i].Attrs {
		if a.Default != nil {
			d.Values[a.Name] = a.Default
		}
	}
	d.Values["path"] = path
	if f.sample > 0 {
		d.Values["sample"], d.Values["seed"] = f.sample, int64(f.seed)
	}
	if f.skip {
		d.Values["skip_invalid"] = true
	}
	return d, nil
}

// open reads a dataset, and asks for the server if there is one.
func (f *datasetFlags) open(env *Env, d plan.Dataset) (*dataset.Set, dataset.Tokenizer, error) {
	set, err := dataset.Read(d, openFile)
	if err != nil {
		return nil, nil, exit(exitUsage, "%v", err)
	}
	for _, note := range set.Notes() {
		fmt.Fprintf(env.Stderr, "Note: %s\n", note)
	}
	if f.url == "" {
		return set, nil, nil
	}
	url := strings.TrimSuffix(strings.TrimRight(f.url, "/"), "/v1") + "/v1"
	ep := targets.Endpoint{URL: url, Model: f.model}
	openai, _ := framework.ByName("openai")
	if ep.Model, err = openai.Ready(context.Background(), http.DefaultClient, ep); err != nil {
		return nil, nil, exit(exitRun, "ask the server at %s: %v", f.url, err)
	}
	return set, framework.Tokenizer{Client: http.DefaultClient, Endpoint: ep, API: "chat"}, nil
}
