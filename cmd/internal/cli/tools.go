package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"slices"

	"sparkrun/runner"
	"sparkrun/runner/dataset"
	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
	"sparkrun/targets/framework"
	"sparkrun/targets/wire"
)

// tools hands the runner what it must not import, on the nodes.
func tools(env *Env, sets *datasets, on *nodes) runner.Tools {
	salt := fmt.Sprint(env.Now().UnixNano()) // of this try of the run: an earlier one may have sent its texts
	return runner.Tools{
		Self:       env.Self,
		Node:       on.node,
		Nodes:      on.names(),
		Framework:  framework.ByName,
		Containers: on.containers,
		Doer:       newDoer,
		Source: func(ctx context.Context, d *plan.Dataset, c *plan.Cell, s *plan.Server, ep targets.Endpoint, salted bool) (load.Source, error) {
			set, err := sets.get(d)
			if err != nil {
				return nil, err
			}
			o := dataset.Options{
				Cell: c, Model: ep.Model,
				Forced:    func(least, most int) map[string]any { return framework.ForcedFields(s.Framework, least, most) },
				Headroom:  framework.Headroom(s.Framework, ep.Model+" "+s.Model, c.API),
				Tokenizer: framework.Tokenizer{Client: http.DefaultClient, Endpoint: ep, API: c.API},
			}
			if salted {
				o.Salt = salt
			}
			return set.Open(ctx, o)
		},
		CheckDataset: func(_ context.Context, d *plan.Dataset) error { _, err := sets.get(d); return err },
	}
}

// newDoer is the wire client of a cell, here and in a generator's workers.
func newDoer(ep targets.Endpoint, c *plan.Cell, clock record.Clock) (load.Client, error) {
	headers := map[string]schema.Text{}
	maps.Copy(headers, ep.Headers)
	maps.Copy(headers, c.Request.Headers)
	spares, grow := connections(c)
	return wire.New(wire.Options{
		BaseURL: ep.URL, API: c.API, Stream: c.Stream, Key: ep.Key, Headers: headers,
		Clock: clock, UserAgent: "sparkrun/" + version(), Connections: spares, Grow: grow,
	})
}

// connections are how many a cell's closed loops use at once, and whether it has an open
// loop, which does not say; none where they are not to be opened ahead.
func connections(c *plan.Cell) (most int, open bool) {
	if c.Request.NoSpares {
		return 0, false
	}
	phases := slices.Clone(c.Phases)
	if c.Search != nil {
		phases = append(phases, c.Search.Rungs[len(c.Search.Rungs)-1].Phases...)
	}
	for i := range phases {
		if c := phases[i].Concurrency; c != nil {
			most = max(most, int(math.Round(max(c.From, c.To))))
		}
		open = open || phases[i].OpenLoop()
	}
	return most, open
}

func openFile(path string) (io.ReadCloser, error) { return os.Open(path) }
