package telemetry

import (
	"context"
	"maps"
	"slices"
	"time"

	"sparkrun/runner/record"
)

// ServerOptions say which server is sampled, and who gets it.
type ServerOptions struct {
	Name     string // of the samples' From
	Interval time.Duration
	// Ask reads the engine's counters and gauges by the names of metric.Samples; false where
	// it does not say anything now.
	Ask   func(context.Context) (map[string]float64, bool)
	Clock record.Clock
	Take  func([]record.Sample) // of one moment
}

// Server samples a server until ctx ends.
func Server(ctx context.Context, o ServerOptions) {
	tick := time.NewTicker(o.Interval)
	defer tick.Stop()
	for {
		asked := o.Clock.Now()
		says, ok := o.Ask(ctx)
		if ok && len(says) > 0 {
			// The page is made somewhere between the question and the answer.
			at := asked + (o.Clock.Now()-asked)/2
			var samples []record.Sample
			for _, name := range slices.Sorted(maps.Keys(says)) {
				samples = append(samples, record.Sample{At: at, From: o.Name, GPU: -1, Name: name, Value: says[name]})
			}
			o.Take(samples)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
