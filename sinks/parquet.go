package sinks

import (
	"context"
	"slices"

	"sparkrun/runner/result"
	"sparkrun/runner/table"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// parquet is all cells, or all requests, in one file. Each cell's raw rows are in the run's
// folder in any case: requests/<n>.parquet.
type parquet struct {
	rows
	path string
	run  string
	out  *table.Writer
}

func init() {
	register(schema.Kind{
		Name: "parquet", Doc: "A Parquet file (zstd) with typed columns, undefined ones null: all cells of the run, or all requests.",
		Attrs: []schema.Attr{pathAttr("results.parquet"), rowsAttr},
	}, newParquet)
}

func newParquet(s plan.Sink, dir string, _ Env) (Sink, error) {
	return &parquet{rows: newRows(s), path: pathOf(s, dir)}, nil
}

func (s *parquet) Path() string { return s.path }

// runColumn is the first of the tables that several runs may be united in.
var runColumn = table.Column{Name: "run_id", Few: true}

func (s *parquet) Begin(_ context.Context, r *result.Run) (err error) {
	if err := writable(s.path); err != nil {
		return err
	}
	s.begin(r.Plan)
	s.run = r.ID
	s.out, err = table.Create(s.path, append([]table.Column{runColumn}, s.columns...), map[string]string{"sparkrun.schema": "1", "sparkrun.run": r.ID})
	return err
}

func (s *parquet) Cell(_ context.Context, c *result.Cell) error {
	return s.each(c, func(row []table.Value) error {
		s.out.Row(slices.Insert(row, 0, table.TextOf(s.run)))
		return nil
	})
}

func (s *parquet) End(context.Context, *result.Run) error { return s.out.Close() }
