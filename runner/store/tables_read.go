package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"sparkrun/runner/record"
	"sparkrun/runner/table"
)

// ReadRows reads the records of cell n back: from its Parquet files, or from its JSON lines
// where it has not been closed, to the last whole one. closed says which.
func (r *Run) ReadRows(n int) (records []record.Record, closed bool, err error) {
	requests, _, _ := r.tables(n)
	if _, err := os.Stat(requests); err != nil {
		records, err := readRowFile(r.RowsPath(n))
		return records, false, err
	}
	records, err = r.readTables(n)
	return records, true, err
}

// readTables reads the records of a cell from its Parquet files.
func (r *Run) readTables(n int) ([]record.Record, error) {
	requests, events, content := r.tables(n)
	var records []record.Record
	err := eachRow(requests, func(row named) error {
		var rec record.Record
		if err := fill(&rec, columns, row.value); err != nil {
			return err
		}
		records = append(records, rec)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := readEvents(events, records); err != nil {
		return nil, err
	}
	in, err := table.Open(requests)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	if in.Meta(metaContent) == "" {
		return records, nil
	}
	return records, r.readContent(content, in.Meta(metaCell), records)
}

// readEvents gives records their events; there is no file where none were kept.
func readEvents(path string, records []record.Record) error {
	err := eachRow(path, func(row named) error {
		i := row.value("request_row", table.Whole).Whole()
		if i < 0 || i >= int64(len(records)) {
			return fmt.Errorf("request_row %d of %d requests", i, len(records))
		}
		records[i].Events = append(records[i].Events, record.Event{At: row.value("arrival_ns", table.Whole).Whole()})
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// readContent gives records what was said, from the cell's own file or from the run's.
func (r *Run) readContent(path, cell string, records []record.Record) error {
	next := 0
	each := func(row named) error {
		if next == len(records) {
			return fmt.Errorf("more rows than the cell has requests (%d)", len(records))
		}
		next++
		return fill(&records[next-1], texts, row.value)
	}
	err := eachRow(path, each)
	if errors.Is(err, fs.ErrNotExist) {
		err = eachRowWhere(r.ContentPath(), "cell", cell, each)
	}
	if err == nil && next < len(records) {
		err = fmt.Errorf("the prompts and answers of %d of %d requests of %s are missing", len(records)-next, len(records), cell)
	}
	return err
}

// named is a row whose values are found by their columns' names.
type named struct {
	at     map[string]int
	values []table.Value
	types  []table.Column
}

// value is null where there is no such column of the type.
func (n *named) value(name string, t table.Type) table.Value {
	if i, ok := n.at[name]; ok && n.types[i].Type == t {
		return n.values[i]
	}
	return table.Value{}
}

func eachRow(path string, each func(named) error) error { return eachRowWhere(path, "", "", each) }

// eachRowWhere hands over the rows of a Parquet file in which a column has a text.
func eachRowWhere(path, column, text string, each func(named) error) error {
	in, err := table.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	row := named{at: map[string]int{}, types: in.Columns()}
	for i, c := range row.types {
		row.at[c.Name] = i
	}
	n := 0
	err = in.RowsWhere(column, text, func(values []table.Value) error {
		row.values = values
		n++
		return each(row)
	})
	if err != nil {
		return fmt.Errorf("read %s after row %d: %w", path, n, err)
	}
	return nil
}

// cellOfTable is the cell that a Parquet file is of.
func cellOfTable(path string) (string, error) {
	in, err := table.Open(path)
	if err != nil {
		return "", err
	}
	defer in.Close()
	return in.Meta(metaCell), nil
}
