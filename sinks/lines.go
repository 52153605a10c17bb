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
	"sparkrun/scenario/schema"
)

func init() {
	register(schema.Kind{Name: "jsonl", Doc: "JSON lines, written as cells end.", Attrs: []schema.Attr{pathAttr("results.jsonl"), rowsAttr}}, newJSONL)
	register(schema.Kind{Name: "csv", Doc: "Comma-separated values.", Attrs: []schema.Attr{pathAttr("results.csv"), rowsAttr}}, newCSV)
}

var rowsAttr = schema.Attr{Name: "rows", Type: schema.String, Default: schema.Plain("cells"), Values: []string{"cells", "requests"}, Doc: "A line per cell and measured phase, or per request."}

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
