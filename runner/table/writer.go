package table

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"

	"github.com/parquet-go/parquet-go"
)

// rowsPerGroup bounds what is held in memory: a group of rows is written as a whole.
const rowsPerGroup = 1 << 17

// rowsPerBatch is how many rows are handed to the columns at a time.
const rowsPerBatch = 512

// Writer writes a Parquet file, compressed with zstd. The file has its name only once
// Close has succeeded.
type Writer struct {
	path    string
	file    *os.File
	buffer  *bufio.Writer
	out     *parquet.GenericWriter[any]
	columns []Column
	batch   [][]parquet.Value // by column
	last    []lastValue       // by column: what is the same in many rows is made once
	group   int               // rows of the group so far
	err     error
}

type lastValue struct {
	known bool
	value Value
	made  parquet.Value
}

// Create begins a file in a folder that is there. meta is what the file says of itself: Parquet's
// key-value metadata.
func Create(path string, columns []Column, meta map[string]string) (*Writer, error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return nil, err
	}
	w := &Writer{path: path, file: file, buffer: bufio.NewWriterSize(file, 1<<20), columns: columns, batch: make([][]parquet.Value, len(columns)), last: make([]lastValue, len(columns))}
	options := []parquet.WriterOption{schemaOf(columns), parquet.Compression(&parquet.Zstd), parquet.DataPageStatistics(false), parquet.CreatedBy("sparkrun", "", "")}
	for key, value := range meta {
		options = append(options, parquet.KeyValueMetadata(key, value))
	}
	w.out = parquet.NewGenericWriter[any](w.buffer, options...)
	return w, nil
}

// Cells are the values of a column in some rows: Wholes or Reals, a number a row (NaN is null),
// or Same, which all of them have.
type Cells struct {
	Same   Value
	Wholes []int64
	Reals  []float64
}

// Row adds a row: a value for each column. An error shows in Close.
func (w *Writer) Row(values []Value) {
	for i := range values {
		w.batch[i] = append(w.batch[i], w.same(i, values[i]))
	}
	w.added()
}

// Rows adds n rows at once: cells for each column. An error shows in Close.
func (w *Writer) Rows(n int, cells []Cells) {
	for from := 0; from < n; {
		to := min(n, from+rowsPerBatch-len(w.batch[0]))
		for i := range cells {
			w.batch[i] = w.cells(w.batch[i], i, &cells[i], from, to)
		}
		w.added()
		from = to
	}
}

// cells adds the cells of some rows to a column's batch.
func (w *Writer) cells(batch []parquet.Value, column int, c *Cells, from, to int) []parquet.Value {
	switch {
	case c.Wholes != nil:
		for _, v := range c.Wholes[from:to] {
			batch = append(batch, w.levelled(column, parquet.Int64Value(v)))
		}
	case c.Reals != nil:
		for _, v := range c.Reals[from:to] {
			if RealOf(v).Null() {
				batch = append(batch, w.value(column, Value{}))
			} else {
				batch = append(batch, w.levelled(column, parquet.DoubleValue(v)))
			}
		}
	default:
		same := w.same(column, c.Same)
		for range to - from {
			batch = append(batch, same)
		}
	}
	return batch
}

// same is a value of a column as Parquet has it, made once where the row before has it too.
func (w *Writer) same(column int, v Value) parquet.Value {
	last := &w.last[column]
	if !last.known || v != last.value {
		*last = lastValue{true, v, w.value(column, v)}
	}
	return last.made
}

// value is a value of a column as Parquet has it.
func (w *Writer) value(column int, v Value) parquet.Value {
	c := &w.columns[column]
	if !v.Null() {
		return w.levelled(column, parquetValue(v, c.Type))
	}
	if c.Filled && w.err == nil {
		w.err = fmt.Errorf("column %s must have a value in every row, and has none in row %d of a group", c.Name, w.group+len(w.batch[column]))
	}
	return parquet.NullValue().Level(0, 0, column)
}

// levelled is a value that says that it is none, where a column may also have nulls.
func (w *Writer) levelled(column int, p parquet.Value) parquet.Value {
	if w.columns[column].Filled {
		return p
	}
	return p.Level(0, 1, column)
}

// added hands the batch on when it is full.
func (w *Writer) added() {
	if len(w.batch[0]) == rowsPerBatch {
		w.flush()
	}
}

// flush hands the batch to the columns.
func (w *Writer) flush() {
	rows := len(w.batch[0])
	if w.err == nil {
		for i, out := range w.out.ColumnWriters() {
			if _, err := out.WriteRowValues(w.batch[i]); err != nil {
				w.err = err
				break
			}
		}
	}
	for i := range w.batch {
		w.batch[i] = w.batch[i][:0]
	}
	if w.group += rows; w.group >= rowsPerGroup {
		w.EndGroup()
	}
}

// EndGroup ends a group of rows, which readers can skip as a whole.
func (w *Writer) EndGroup() {
	if len(w.batch[0]) > 0 {
		w.flush()
	}
	if w.err == nil && w.group > 0 {
		w.err = w.out.Flush()
	}
	w.group = 0
}

// Close writes what is left, syncs, and gives the file its name. After an error there is
// no file.
func (w *Writer) Close() error {
	if len(w.batch[0]) > 0 {
		w.flush()
	}
	steps := []func() error{
		func() error { return w.err }, w.out.Close, w.buffer.Flush, w.file.Sync,
		func() error { return w.file.Chmod(0o644) }, w.file.Close,
		func() error { return os.Rename(w.file.Name(), w.path) },
		func() error { return syncDir(filepath.Dir(w.path)) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			w.Abort()
			return fmt.Errorf("write %s: %w", w.path, err)
		}
	}
	return nil
}

// Abort removes what was written.
func (w *Writer) Abort() {
	w.file.Close()
	os.Remove(w.file.Name())
}

// syncDir puts a folder's names on the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func parquetValue(v Value, t Type) parquet.Value {
	switch t {
	case Text:
		return parquet.ByteArrayValue([]byte(v.text))
	case Whole:
		return parquet.Int64Value(v.Whole())
	case Real:
		return parquet.DoubleValue(v.Real())
	case Flag:
		return parquet.BooleanValue(v.Flag())
	}
	return parquet.NullValue()
}
