package sinks

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"sparkrun/runner/result"
	"sparkrun/runner/table"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// sqlite is a run as one SQLite file. It is written beside its name and gets that at the
// end, so that no reader meets half of one.
type sqlite struct {
	path, temporary string
	run             string
	plan            *plan.Plan
	axes            []string
	db              *sql.DB
	tables          map[string][]table.Column
}

func init() {
	register(schema.Kind{
		Name: "sqlite",
		Doc: "A SQLite file. Tables: run (a row), cells (a row a cell and measured phase, the columns of sink csv), requests (a row a request), " +
			"marks, errors and thresholds. All but run have run_id first; undefined is NULL.",
		Attrs: []schema.Attr{pathAttr("results.sqlite")},
	}, newSQLite)
}

func newSQLite(s plan.Sink, dir string, _ Env) (Sink, error) {
	return &sqlite{path: pathOf(s, dir)}, nil
}

func (s *sqlite) Path() string { return s.path }

// fixedTables are those whose columns are the same in every run.
var fixedTables = map[string][]table.Column{
	"run": {
		{Name: "run_id"}, {Name: "scenario"}, {Name: "version"}, {Name: "started"}, {Name: "ended"}, {Name: "epoch_unix_ns", Type: table.Whole}, {Name: "host"}, {Name: "os"}, {Name: "arch"},
		{Name: "cpu"}, {Name: "cores", Type: table.Whole}, {Name: "simulated", Type: table.Flag}, {Name: "interrupted", Type: table.Flag},
	},
	"marks":      {runColumn, {Name: "cell"}, {Name: "phase"}, {Name: "mark"}, {Name: "why"}},
	"errors":     {runColumn, {Name: "cell"}, {Name: "phase"}, {Name: "status"}, {Name: "count", Type: table.Whole}, {Name: "message"}},
	"thresholds": {runColumn, {Name: "name"}, {Name: "cell"}, {Name: "phase"}, {Name: "pass", Type: table.Flag}, {Name: "undecided", Type: table.Flag}, {Name: "condition"}, {Name: "message"}},
}

func (s *sqlite) Begin(_ context.Context, r *result.Run) error {
	if err := writable(s.path); err != nil {
		return err
	}
	s.temporary = filepath.Join(filepath.Dir(s.path), "."+filepath.Base(s.path))
	if err := s.remove(); err != nil {
		return err
	}
	s.run, s.plan, s.axes = r.ID, r.Plan, axes(r.Plan)
	s.tables = map[string][]table.Column{
		"cells":    append([]table.Column{runColumn}, entryColumns(r.Plan)...),
		"requests": append([]table.Column{runColumn}, requestColumns(r.Plan)...),
	}
	for name, columns := range fixedTables {
		s.tables[name] = columns
	}
	// Nobody else has the file yet, and half of one is worth nothing: neither locks nor a
	// journal on the disk.
	var err error
	if s.db, err = sql.Open("sqlite", "file:"+uriPath(s.temporary)+"?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)&_pragma=locking_mode(EXCLUSIVE)"); err != nil {
		return err
	}
	s.db.SetMaxOpenConns(1)
	for name, columns := range s.tables {
		if _, err := s.db.Exec("CREATE TABLE " + name + " (" + declared(columns) + ") STRICT"); err != nil {
			return fmt.Errorf("create table %s: %w", name, err)
		}
	}
	return nil
}

// uriPath is a path in a file: URI, in which ? and # end it.
func uriPath(path string) string {
	return strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
}

// declared are columns as CREATE TABLE has them.
func declared(columns []table.Column) string {
	var out []string
	for _, c := range columns {
		out = append(out, `"`+strings.ReplaceAll(c.Name, `"`, `""`)+`" `+[...]string{table.Text: "TEXT", table.Whole: "INTEGER", table.Real: "REAL", table.Flag: "INTEGER"}[c.Type])
	}
	return strings.Join(out, ", ")
}

// fill adds rows to a table in one transaction.
func (s *sqlite) fill(ctx context.Context, name string, each func(add func([]table.Value) error) error) (err error) {
	columns := s.tables[name]
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("table %s: %w", name, err), tx.Rollback())
		}
	}()
	insert, err := tx.PrepareContext(ctx, "INSERT INTO "+name+" VALUES (?"+strings.Repeat(", ?", len(columns)-1)+")")
	if err != nil {
		return err
	}
	defer insert.Close()
	err = each(func(row []table.Value) error {
		values := untyped(columns, row)
		for i, v := range values {
			if b, ok := v.(bool); ok {
				values[i] = map[bool]int64{false: 0, true: 1}[b]
			}
		}
		_, err := insert.ExecContext(ctx, values...)
		return err
	})
	if err != nil {
		return err
	}
	return tx.Commit()
}

func (s *sqlite) Cell(ctx context.Context, c *result.Cell) error {
	return s.fill(ctx, "requests", func(add func([]table.Value) error) error {
		for i := range c.Records {
			if err := add(slices.Insert(requestRow(s.axes, c.Plan, &c.Records[i]), 0, table.TextOf(s.run))); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *sqlite) End(ctx context.Context, r *result.Run) error {
	id := table.TextOf(r.ID)
	rows := map[string][][]table.Value{"run": {{
		id, table.TextOf(r.Scenario), table.TextOf(r.Version), table.TextOf(r.Started.Format(time.RFC3339Nano)), table.TextOf(r.Ended.Format(time.RFC3339Nano)), table.WholeOf(r.EpochUnix),
		table.TextOf(r.Host), table.TextOf(r.OS), table.TextOf(r.Arch), table.TextOf(r.CPU), table.WholeOf(int64(r.Cores)), table.FlagOf(r.Simulated), table.FlagOf(r.Interrupted),
	}}}
	for i := range r.Entries {
		e := &r.Entries[i]
		rows["cells"] = append(rows["cells"], slices.Insert(entryRow(s.plan, e), 0, id))
		at := []table.Value{id, table.TextOf(e.Address), table.TextOf(e.Phase)}
		for _, m := range e.Marks {
			rows["marks"] = append(rows["marks"], slices.Concat(at, []table.Value{table.TextOf(m.Name), table.TextOf(m.Why)}))
		}
		for _, c := range e.Errors {
			rows["errors"] = append(rows["errors"], slices.Concat(at, []table.Value{table.TextOf(c.Status), table.WholeOf(c.Count), table.TextOf(c.Message)}))
		}
	}
	for _, t := range r.Thresholds {
		rows["thresholds"] = append(rows["thresholds"], []table.Value{id, table.TextOf(t.Name), table.TextOf(t.Address), table.TextOf(t.Phase), table.FlagOf(t.Pass), table.FlagOf(t.Undecided), table.TextOf(t.Source), table.TextOf(t.Message)})
	}
	var err error
	for name, list := range rows {
		err = errors.Join(err, s.fill(ctx, name, func(add func([]table.Value) error) error {
			for _, row := range list {
				if err := add(row); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	if err == nil {
		_, err = s.db.ExecContext(ctx, "CREATE INDEX requests_cell ON requests (cell, phase)")
	}
	if err = errors.Join(err, s.db.Close()); err != nil {
		return errors.Join(err, s.remove())
	}
	return os.Rename(s.temporary, s.path)
}

// remove takes away what an earlier try left half.
func (s *sqlite) remove() error {
	if err := os.Remove(s.temporary); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
