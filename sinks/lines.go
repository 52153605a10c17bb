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
	"sparkrun/runner/table"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

func init() {
	register(schema.Kind{Name: "jsonl", Doc: "JSON lines, written as cells end.", Attrs: []schema.Attr{pathAttr("results.jsonl"), rowsAttr}}, newJSONL)
	register(schema.Kind{Name: "csv", Doc: "Comma-separated values.", Attrs: []schema.Attr{pathAttr("results.csv"), rowsAttr}}, newCSV)
}

var rowsAttr = schema.Attr{Name: "rows", Type: schema.String, Default: schema.Plain("cells"), Values: []string{"cells", "requests"}, Doc: "A line per cell and measured phase, or per request."}

// rows are what a sink of lines or of a table writes: a row a cell and measured phase, or a
// row a request.
type rows struct {
	requests bool
	plan     *plan.Plan
	axes     []string
	columns  []table.Column
}

func newRows(s plan.Sink) rows { return rows{requests: s.Values.String("rows") == "requests"} }

// begin finds the columns.
func (o *rows) begin(p *plan.Plan) {
	o.plan, o.axes, o.columns = p, axes(p), entryColumns(p)
	if o.requests {
		o.columns = requestColumns(p)
	}
}

// each hands over the rows of a cell.
func (o *rows) each(c *result.Cell, write func(row []table.Value) error) error {
	if !o.requests {
		for i := range c.Entries {
			if err := write(entryRow(o.plan, &c.Entries[i])); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range c.Records {
		if err := write(requestRow(o.axes, c.Plan, &c.Records[i])); err != nil {
			return err
		}
	}
	return nil
}

// lines is a sink that writes a line a cell or a request as cells end.
type lines struct {
	rows
	path   string
	format func(w io.Writer, columns []table.Column, row []any) error
	header bool
	file   *os.File
}

func newJSONL(s plan.Sink, dir string, _ Env) (Sink, error) {
	return &lines{rows: newRows(s), path: pathOf(s, dir), format: jsonLine}, nil
}

func newCSV(s plan.Sink, dir string, _ Env) (Sink, error) {
	return &lines{rows: newRows(s), path: pathOf(s, dir), format: csvLine, header: true}, nil
}

func (s *lines) Path() string { return s.path }

func (s *lines) Begin(_ context.Context, r *result.Run) (err error) {
	if err = os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
		return err
	}
	if s.file, err = os.Create(s.path); err != nil {
		return err
	}
	s.begin(r.Plan)
	if !s.header {
		return nil
	}
	row := make([]any, len(s.columns))
	for i, c := range s.columns {
		row[i] = c.Name
	}
	return s.format(s.file, s.columns, row)
}

func (s *lines) Cell(_ context.Context, c *result.Cell) error {
	w := bufio.NewWriterSize(s.file, 1<<16)
	err := s.each(c, func(row []table.Value) error { return s.format(w, s.columns, untyped(s.columns, row)) })
	if err != nil {
		return err
	}
	return w.Flush()
}

func (s *lines) End(context.Context, *result.Run) error {
	if err := s.file.Sync(); err != nil {
		return err
	}
	return s.file.Close()
}

func jsonLine(w io.Writer, columns []table.Column, row []any) error {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, c := range columns {
		if i > 0 {
			b.WriteByte(',')
		}
		v, err := json.Marshal(row[i])
		if err != nil {
			return fmt.Errorf("column %s: %w", c.Name, err)
		}
		b.WriteString(strconv.Quote(c.Name))
		b.WriteByte(':')
		b.Write(v)
	}
	b.WriteString("}\n")
	_, err := w.Write(b.Bytes())
	return err
}

func csvLine(w io.Writer, _ []table.Column, row []any) error {
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
