package sinks

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
)

// jsonSink writes the summary.
type jsonSink struct{ path string }

func newJSON(s plan.Sink, dir string, _ Env) (Sink, error) { return &jsonSink{pathOf(s, dir)}, nil }

func (s *jsonSink) Begin(context.Context, *result.Run) error { return writable(s.path) }
func (s *jsonSink) Cell(context.Context, *result.Cell) error { return nil }
func (s *jsonSink) Path() string                             { return s.path }

func (s *jsonSink) End(_ context.Context, r *result.Run) error {
	return replace(s.path, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(result.NewSummary(r, r.Entries, r.Thresholds))
	})
}

// writable proves that a file can be made.
func writable(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// writableDir proves that files can be made in a folder.
func writableDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".sparkrun-*")
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(f.Name())
}

// replace writes a file as a whole or not at all.
func replace(path string, write func(w io.Writer) error) error {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	err = write(f)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}

// lines is a sink that writes a line a cell or a request as cells end.
type lines struct {
	path     string
	requests bool
	format   func(w io.Writer, names []string, row []any) error
	header   bool
	file     *os.File
	plan     *plan.Plan
	axes     []string
	names    []string
}

func newJSONL(s plan.Sink, dir string, _ Env) (Sink, error) {
	return &lines{path: pathOf(s, dir), requests: s.Values.String("rows") == "requests", format: jsonLine}, nil
}

func newCSV(s plan.Sink, dir string, _ Env) (Sink, error) {
	return &lines{path: pathOf(s, dir), requests: s.Values.String("rows") == "requests", format: csvLine, header: true}, nil
}

func (s *lines) Path() string { return s.path }

func (s *lines) Begin(_ context.Context, r *result.Run) (err error) {
	if err = os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
		return err
	}
	if s.file, err = os.Create(s.path); err != nil {
		return err
	}
	s.plan, s.axes = r.Plan, axes(r.Plan)
	if s.requests {
		s.names = requestHeader(r.Plan)
	} else {
		for _, c := range flat(r.Plan, &result.Entry{}) {
			s.names = append(s.names, c.name)
		}
	}
	if !s.header {
		return nil
	}
	row := make([]any, len(s.names))
	for i, n := range s.names {
		row[i] = n
	}
	return s.format(s.file, s.names, row)
}

func (s *lines) Cell(_ context.Context, c *result.Cell) error {
	w := bufio.NewWriterSize(s.file, 1<<16)
	if s.requests {
		for i := range c.Records {
			if err := s.format(w, s.names, requestRow(s.axes, c.Plan, &c.Records[i])); err != nil {
				return err
			}
		}
		return w.Flush()
	}
	for i := range c.Entries {
		var row []any
		for _, col := range flat(s.plan, &c.Entries[i]) {
			row = append(row, col.value)
		}
		if err := s.format(w, s.names, row); err != nil {
			return err
		}
	}
	return w.Flush()
}

func (s *lines) End(context.Context, *result.Run) error {
	if err := s.file.Sync(); err != nil {
		return err
	}
	return s.file.Close()
}

func jsonLine(w io.Writer, names []string, row []any) error {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, n := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		v, err := json.Marshal(row[i])
		if err != nil {
			return fmt.Errorf("column %s: %w", n, err)
		}
		b.WriteString(strconv.Quote(n))
		b.WriteByte(':')
		b.Write(v)
	}
	b.WriteString("}\n")
	_, err := w.Write(b.Bytes())
	return err
}

func csvLine(w io.Writer, _ []string, row []any) error {
	out := make([]string, len(row))
	for i, v := range row {
		switch v := v.(type) {
		case nil:
		case float64:
			out[i] = strconv.FormatFloat(v, 'f', -1, 64)
		default:
			out[i] = fmt.Sprint(v)
		}
	}
	c := csv.NewWriter(w)
	if err := c.Write(out); err != nil {
		return err
	}
	c.Flush()
	return c.Error()
}
