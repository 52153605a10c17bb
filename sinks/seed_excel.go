package sinks

import (
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"

	"github.com/xuri/excelize/v2"

	"sparkrun/runner/result"
)

// seedExcel writes the workbooks of vLLM's multi-turn benchmark, one a cell, named as that
// tool names them by clients and time.
type seedExcel struct {
	dir     string
	warmups []float64
	run     *result.Run
	files   map[string]bool
}

func (x *seedExcel) Path() string {
	if len(x.files) == 1 {
		for f := range x.files {
			return f
		}
	}
	return filepath.Join(x.dir, "statistics_*.xlsx")
}

func (x *seedExcel) Begin(_ context.Context, r *result.Run) error {
	x.run, x.files = r, map[string]bool{}
	return writableDir(x.dir)
}

func (x *seedExcel) End(context.Context, *result.Run) error { return nil }

func (x *seedExcel) Cell(_ context.Context, c *result.Cell) error {
	r := newSeedReport(x.run, c, x.warmups)
	if r == nil {
		return nil // nothing was measured, and that tool writes no workbook then
	}
	file := excelize.NewFile()
	defer file.Close()
	if err := file.SetSheetName("Sheet1", sheetSummary); err != nil {
		return err
	}
	if _, err := file.NewSheet(sheetRaw); err != nil {
		return err
	}
	if err := r.summary(file); err != nil {
		return err
	}
	if err := r.rawData(file); err != nil {
		return err
	}
	return replace(x.name(r), func(w io.Writer) error { return file.Write(w) })
}

// name is the tool's own; where two cells have the same, the second gets a number.
func (x *seedExcel) name(r *seedReport) string {
	base := fmt.Sprintf("statistics_%s_clients__%s", r.params[1].text(), r.started.Format("02-01-2006_15-04-05"))
	path := filepath.Join(x.dir, base+".xlsx")
	for n := 2; x.files[path]; n++ {
		path = filepath.Join(x.dir, fmt.Sprintf("%s__%d.xlsx", base, n))
	}
	x.files[path] = true
	return path
}

// summary lays the tables out as that tool does: rows from 0, a header line over each.
func (r *seedReport) summary(file *excelize.File) error {
	w := &cells{file: file, sheet: sheetSummary}
	w.params(0, r.params)
	row := 4
	if len(r.generation) > 0 {
		w.params(3, r.generation)
		row = 8
	}
	for _, run := range r.runs {
		w.params(row, run.params)
		row += 3
		for j, name := range run.columns {
			w.set(row, j+1, name)
		}
		for i, m := range seedMetrics {
			w.set(row+1+i, 0, m.name)
			for j, v := range run.table[i] {
				w.set(row+1+i, j+1, v)
			}
		}
		row += len(seedMetrics) + 3
	}
	return w.err
}

func (r *seedReport) rawData(file *excelize.File) error {
	out, err := file.NewStreamWriter(sheetRaw)
	if err != nil {
		return err
	}
	head := []any{
		"ttft_ms", "tpot_ms", "latency_ms", "start_time_ms", "input_num_turns", "input_num_tokens", "output_num_tokens", "output_num_chunks",
		"output_num_first_chunk_tokens", "approx_cached_percent", "conversation_id", "client_id", "end_time_ms",
	}
	if err := out.SetRow("A1", head); err != nil {
		return err
	}
	for i := range r.rows {
		q := &r.rows[i]
		at, err := excelize.CoordinatesToCellName(1, i+2)
		if err != nil {
			return err
		}
		if err := out.SetRow(at, []any{
			q.TTFT, q.TPOT, q.Latency, q.Start, q.Messages, q.Input, q.Output, q.Chunks,
			q.FirstChunk, q.Cached, q.Conversation, q.Client, q.Start + q.Latency,
		}); err != nil {
			return err
		}
	}
	return out.Flush()
}

// cells sets cells by row and column from 0 and keeps the first error.
type cells struct {
	file  *excelize.File
	sheet string
	err   error
}

// set leaves nil and NaN empty.
func (c *cells) set(row, column int, v any) {
	if f, ok := v.(float64); c.err != nil || v == nil || (ok && math.IsNaN(f)) {
		return
	}
	at, err := excelize.CoordinatesToCellName(column+1, row+1)
	if err == nil {
		err = c.file.SetCellValue(c.sheet, at, v)
	}
	c.err = err
}

// row sets the cells of a row from its first column on.
func (c *cells) row(row int, values ...any) {
	for i, v := range values {
		c.set(row, i, v)
	}
}

// params are names in one row, their values under them.
func (c *cells) params(row int, list []param) {
	for i, p := range list {
		c.set(row, i, p.name)
		c.set(row+1, i, p.value)
	}
}
