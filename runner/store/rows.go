package store

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
)

// flushEvery bounds how old the rows on the disk may be.
const flushEvery = time.Second

// Rows writes the raw rows of one cell. Write hands over, a goroutine encodes and writes,
// so that a slow disk does not hold back the engine until the queue is full.
type Rows struct {
	file    *os.File
	context []byte // the columns that are the same in every row
	phases  []plan.Phase
	events  bool

	records chan record.Record
	done    chan error
}

// queued is how many rows may wait for a slow disk before the engine's collector does.
const queued = 4096

// CreateRows makes the row file of a cell, empty also if an earlier try left one.
func (r *Run) CreateRows(info *result.Run, c *plan.Cell) (*Rows, error) {
	if err := r.clearTables(c.Number); err != nil {
		return nil, fmt.Errorf("remove what an earlier try left: %w", err)
	}
	file, err := os.Create(r.RowsPath(c.Number))
	if err != nil {
		return nil, fmt.Errorf("create the rows: %w", err)
	}
	w := &Rows{
		file: file, context: newContext(info, c).json(), phases: c.Phases, events: c.Record.Events,
		records: make(chan record.Record, queued), done: make(chan error, 1),
	}
	go w.write()
	return w, nil
}

// Write adds a record's row.
func (w *Rows) Write(rec *record.Record) { w.records <- *rec }

// Close writes what is left, syncs, and says whether every row has reached the disk.
func (w *Rows) Close() error {
	close(w.records)
	if err := <-w.done; err != nil {
		return fmt.Errorf("write the rows %s: %w", w.file.Name(), err)
	}
	return nil
}

// write is the goroutine behind Write. After an error it takes the rest and drops it:
// Close reports it.
func (w *Rows) write() {
	var (
		err   error
		row   []byte
		out   = bufio.NewWriterSize(w.file, 1<<16)
		flush = time.NewTicker(flushEvery / 2)
	)
	defer flush.Stop()
	for {
		select {
		case rec, open := <-w.records:
			if !open {
				w.done <- errors.Join(err, out.Flush(), w.file.Sync(), w.file.Close())
				return
			}
			if err == nil {
				row = w.appendRow(row[:0], &rec)
				_, err = out.Write(row)
			}
		case <-flush.C:
			if err == nil {
				err = out.Flush()
			}
		}
	}
}

// json encodes the columns that every row of the cell shares, without the closing brace.
func (x *context) json() []byte {
	b := []byte{'{'}
	for i, c := range x.columns[:len(x.columns)-2] {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, c.Name)
		b = append(b, ':')
		b = x.values[i].AppendJSON(b, c.Type, appendString)
	}
	return b
}

func (w *Rows) appendRow(b []byte, rec *record.Record) []byte {
	b = append(b, w.context...)
	b = append(b, `,"phase":`...)
	b = appendString(b, w.phases[rec.Phase].Name)
	b = append(b, `,"measured":`...)
	b = strconv.AppendBool(b, w.phases[rec.Phase].Measure)
	for i := range columns {
		c := &columns[i]
		b = append(b, ',', '"')
		b = append(b, c.Name...)
		b = append(b, '"', ':')
		b = c.get(rec).AppendJSON(b, c.Type, appendString)
	}
	if w.events {
		b = append(b, `,"token_events_ns":[`...)
		var last int64
		for i, e := range rec.Events {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, e.At-last, 10)
			last = e.At
		}
		b = append(b, ']')
	}
	for i := range texts {
		if v := texts[i].get(rec); !v.Null() {
			b = append(b, ',', '"')
			b = append(b, texts[i].Name...)
			b = append(b, '"', ':')
			b = appendString(b, v.Text())
		}
	}
	return append(b, '}', '\n')
}

func appendString(b []byte, s string) []byte {
	q, err := json.Marshal(s)
	if err != nil { // never: a string
		return append(b, `""`...)
	}
	return append(b, q...)
}
