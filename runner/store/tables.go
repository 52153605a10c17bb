package store

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/runner/table"
	"sparkrun/scenario/plan"
)

// metaCell is the key under which a Parquet file says which cell it is of.
const metaCell = "sparkrun.cell"

// metaContent is there where prompts and answers were kept.
const metaContent = "sparkrun.content"

// schemaVersion is that of the Parquet files' columns, under the key sparkrun.schema.
const schemaVersion = "1"

// tables are the Parquet files of a cell. The requests come last: where they are, the others
// are whole.
func (r *Run) tables(n int) (requests, events, content string) {
	name := fmt.Sprintf("%d.parquet", n)
	return r.Path("requests", name), r.Path("events", name), r.Path("content", name)
}

// KeepRows makes a closed cell's JSON lines into its Parquet files and removes them. records
// are those of the lines. After an error the lines are still there.
func (r *Run) KeepRows(info *result.Run, c *plan.Cell, records []record.Record) error {
	requests, events, content := r.tables(c.Number)
	meta := map[string]string{"sparkrun.schema": schemaVersion, "sparkrun.run": info.ID, metaCell: c.Name}
	x := newContext(info, c)
	if c.Record.Content {
		meta[metaContent] = "kept"
	}
	write := func(path string, columns []table.Column, rows func(*table.Writer)) error {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		w, err := table.Create(path, columns, meta)
		if err != nil {
			return err
		}
		rows(w)
		return w.Close()
	}
	var err error
	if c.Record.Events {
		err = write(events, slices.Concat(x.columns, eventColumns), func(w *table.Writer) { x.events(w, records) })
	}
	if err == nil && c.Record.Content {
		err = write(content, slices.Concat(x.columns, tableColumns(contentKeys), tableColumns(texts)), func(w *table.Writer) { x.rows(w, records, contentKeys, texts) })
	}
	if err == nil {
		err = write(requests, slices.Concat(x.columns, tableColumns(columns)), func(w *table.Writer) { x.rows(w, records, columns) })
	}
	if err == nil {
		err = os.Remove(r.RowsPath(c.Number))
	}
	if err != nil {
		return fmt.Errorf("keep the rows of %s as Parquet: %w: they stay in %s", c.Name, err, r.RowsPath(c.Number))
	}
	return nil
}

// clearTables removes what an earlier try left of a cell: the requests first, which say that
// the others count.
func (r *Run) clearTables(n int) error {
	requests, events, content := r.tables(n)
	for _, path := range []string{requests, events, content} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func tableColumns(list []column) []table.Column {
	out := make([]table.Column, len(list))
	for i := range list {
		out[i] = list[i].Column
	}
	return out
}

// rows writes a row a request.
func (x *context) rows(w *table.Writer, records []record.Record, lists ...[]column) {
	var row []table.Value
	for i := range records {
		row = append(row[:0], x.of(&records[i])...)
		for _, list := range lists {
			for k := range list {
				row = append(row, list[k].get(&records[i]))
			}
		}
		w.Row(row)
	}
}

// contentKeys say of which request a text is.
var contentKeys = func() (keys []column) {
	for _, c := range columns {
		if slices.Contains([]string{"request_id", "conversation_id", "turn", "status"}, c.Name) {
			keys = append(keys, c)
		}
	}
	return keys
}()

// eventColumns are those of the token events, after the context. request_row is the row of
// the request in its file, from 0.
var eventColumns = []table.Column{
	{Name: "request_id", Type: table.Text, Few: true, Filled: true},
	{Name: "request_row", Type: table.Whole, Filled: true},
	{Name: "status", Type: table.Text, Few: true, Filled: true},
	{Name: "event", Type: table.Whole, Filled: true},
	{Name: "arrival_ns", Type: table.Whole, Filled: true},
	{Name: "itl_ms", Type: table.Real},
}

// events writes a row a token event. All but the last three columns are the same in those of
// a request.
func (x *context) events(w *table.Writer, records []record.Record) {
	var numbers, arrivals []int64
	var gaps []float64
	cells := make([]table.Cells, len(x.values)+len(eventColumns))
	own := cells[len(x.values):]
	for i := range records {
		rec := &records[i]
		if len(rec.Events) == 0 {
			continue
		}
		arrivals, gaps = arrivals[:0], append(gaps[:0], math.NaN())
		for k, e := range rec.Events {
			if k == len(numbers) {
				numbers = append(numbers, int64(k))
			}
			if k > 0 {
				gaps = append(gaps, float64(e.At-rec.Events[k-1].At)/1e6)
			}
			arrivals = append(arrivals, e.At)
		}
		for k, v := range x.of(rec) {
			cells[k].Same = v
		}
		own[0].Same, own[1].Same, own[2].Same = table.TextOf(rec.ID), table.WholeOf(int64(i)), table.TextOf(rec.Status.String())
		own[3].Wholes, own[4].Wholes, own[5].Reals = numbers, arrivals, gaps
		w.Rows(len(rec.Events), cells)
	}
}
