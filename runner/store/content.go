package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sparkrun/runner/table"
)

// ContentPath is where the prompts and answers of a run are that has come to its end. Until
// then each closed cell has its own in content/<n>.parquet: a Parquet file can't be
// appended to.
func (r *Run) ContentPath() string { return r.Path("content.parquet") }

// KeepContent puts the cells' prompts and answers together into one file, with those that an
// earlier try of the run has put there. A run without any has no file.
func (r *Run) KeepContent() error {
	parts, _ := filepath.Glob(r.Path("content", "*.parquet")) // the pattern is right
	if len(parts) == 0 {
		return nil
	}
	slices.SortFunc(parts, byNumber)
	if err := r.keepContent(parts); err != nil {
		return fmt.Errorf("put the prompts and answers together in %s: %w: they stay in %s", r.ContentPath(), err, r.Path("content"))
	}
	return nil
}

func (r *Run) keepContent(parts []string) error {
	newer := map[string]bool{}
	for _, path := range parts {
		cell, err := cellOfTable(path)
		if err != nil {
			return err
		}
		newer[cell] = true
	}
	sources := parts
	if _, err := os.Stat(r.ContentPath()); err == nil {
		sources = append([]string{r.ContentPath()}, parts...)
	}
	columns, err := united(sources)
	if err != nil {
		return err
	}
	out, err := table.Create(r.ContentPath(), columns, map[string]string{"sparkrun.schema": schemaVersion, "sparkrun.run": r.ID})
	if err != nil {
		return err
	}
	row := make([]table.Value, len(columns))
	for _, path := range sources {
		old := path == r.ContentPath()
		cell := ""
		err := eachRow(path, func(from named) error {
			now := from.value("cell", table.Text).Text()
			if old && newer[now] {
				return nil
			}
			if now != cell { // a cell's rows can then be read without the others'
				out.EndGroup()
				cell = now
			}
			for i, c := range columns {
				row[i] = from.value(c.Name, c.Type)
			}
			out.Row(row)
			return nil
		})
		if err != nil {
			out.Abort()
			return err
		}
	}
	if err := out.Close(); err != nil {
		return err
	}
	// The parts go last: where both are, they count.
	for _, path := range parts {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Remove(r.Path("content"))
}

// united are the columns of all files: those of the first, and behind its axes those that only
// others have.
func united(paths []string) ([]table.Column, error) {
	var all []table.Column
	axes := 0 // where the next axis goes
	for _, path := range paths {
		in, err := table.Open(path)
		if err != nil {
			return nil, err
		}
		for _, c := range in.Columns() {
			if slices.ContainsFunc(all, func(have table.Column) bool { return have.Name == c.Name }) {
				continue
			}
			c.Few = c.Type != table.Flag && !isText(c.Name)
			if strings.HasPrefix(c.Name, "axis_") && axes > 0 {
				all = slices.Insert(all, axes, c)
			} else {
				all = append(all, c)
			}
			if c.Name == "benchmark" || strings.HasPrefix(c.Name, "axis_") {
				axes = slices.IndexFunc(all, func(have table.Column) bool { return have.Name == c.Name }) + 1
			}
		}
		in.Close()
	}
	return all, nil
}

func isText(name string) bool {
	return name == "request_id" || slices.ContainsFunc(texts, func(c column) bool { return c.Name == name })
}

// byNumber orders 2.parquet before 10.parquet.
func byNumber(a, b string) int {
	a, b = filepath.Base(a), filepath.Base(b)
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
