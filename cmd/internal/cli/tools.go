package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"sync"

	"sparkrun/runner"
	"sparkrun/runner/dataset"
	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
	"sparkrun/targets/container"
	"sparkrun/targets/framework"
	"sparkrun/targets/node"
	"sparkrun/targets/wire"
)

// datasets reads each dataset once; the cells share what was read.
type datasets struct {
	mu   sync.Mutex
	read map[string]*dataset.Set // by address
}

func (ds *datasets) get(d *plan.Dataset) (*dataset.Set, error) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if s := ds.read[d.Address]; s != nil {
		return s, nil
	}
	s, err := dataset.Read(*d, openFile)
	if err != nil {
		return nil, err
	}
	if ds.read == nil {
		ds.read = map[string]*dataset.Set{}
	}
	ds.read[d.Address] = s
	return s, nil
}

// tools hands the runner what it must not import.
func tools(env *Env, sets *datasets) runner.Tools {
	docker := sync.OnceValues(func() (*container.Docker, error) { return container.Open(env.Lookup) })
	return runner.Tools{
		Self: env.Self,
		Node: func(name string) (targets.Node, error) {
			if name != "local" {
				return nil, fmt.Errorf("node %s: this version starts servers on this machine only: leave nodes out, or set url", name)
			}
			return node.Local{Self: env.Self}, nil
		},
		Framework:  framework.ByName,
		Containers: func(string) (targets.Containers, error) { return docker() },
		Doer: func(ep targets.Endpoint, c *plan.Cell, clock record.Clock) (runner.Doer, error) {
			headers := map[string]schema.Text{}
			maps.Copy(headers, ep.Headers)
			maps.Copy(headers, c.Request.Headers)
			return wire.New(wire.Options{
				BaseURL: ep.URL, API: c.API, Stream: c.Stream, Key: ep.Key, Headers: headers,
				Clock: clock, UserAgent: "sparkrun/" + version(),
			})
		},
		Source: func(ctx context.Context, d *plan.Dataset, c *plan.Cell, s *plan.Server, ep targets.Endpoint) (load.Source, error) {
			set, err := sets.get(d)
			if err != nil {
				return nil, err
			}
			return set.Open(ctx, dataset.Options{
				Cell: c, Model: ep.Model,
				Forced:    func(least, most int) map[string]any { return framework.ForcedFields(s.Framework, least, most) },
				Tokenizer: framework.Tokenizer{Client: http.DefaultClient, Endpoint: ep, API: c.API},
			})
		},
		CheckDataset: func(_ context.Context, d *plan.Dataset) error { _, err := sets.get(d); return err },
	}
}

func openFile(path string) (io.ReadCloser, error) { return os.Open(path) }
