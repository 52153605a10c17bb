package sinks

import (
	"context"
	"io"

	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// Sink is a place where results go.
type Sink interface {
	// Begin is called once before the first cell.
	Begin(ctx context.Context, r *result.Run) error
	// Cell is called for every finished cell, one at a time, also for failed and skipped ones.
	Cell(ctx context.Context, c *result.Cell) error
	// End is called once, always, also after an interrupt; r.Entries is then complete.
	End(ctx context.Context, r *result.Run) error
	// Path is the file it leaves, "" for none.
	Path() string
}

// Env is what a sink may use of the process.
type Env struct {
	Stdout io.Writer
	Color  bool
	Width  int
	Again  bool // an old run is played: there is nobody to serve it to
}

// Type is a registered sink type.
type Type struct {
	Kind schema.Kind
	New  func(s plan.Sink, dir string, env Env) (Sink, error)
}
