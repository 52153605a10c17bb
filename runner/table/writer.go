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
	for i := range w.last {
		w.last[i].made = parquetValue(Value{}, columns[i].Type, i)
	}
	options := []parquet.WriterOption{schemaOf(columns), parquet.Compression(&parquet.Zstd), parquet.CreatedBy("sparkrun", "", "")}
	for key, value := range meta {
		options = append(options, parquet.KeyValueMetadata(key, value))
	}
	w.out = parquet.NewGenericWriter[any](w.buffer, options...)
	return w, nil
}

// Row adds a row: a value for each column. An error shows in Close.
func (w *Writer) Row(values []Value) {
	for i := range values {
		last := &w.last[i]
		if values[i] != last.value {
			last.value, last.made = values[i], parquetValue(values[i], w.columns[i].Type, i)
		}
		w.batch[i] = append(w.batch[i], last.made)
	}
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

func parquetValue(v Value, t Type, column int) parquet.Value {
	if v.Null() {
		return parquet.NullValue().Level(0, 0, column)
	}
	var p parquet.Value
	switch t {
	case Text:
		p = parquet.ByteArrayValue([]byte(v.text))
	case Whole:
		p = parquet.Int64Value(v.Whole())
	case Real:
		p = parquet.DoubleValue(v.Real())
	case Flag:
		p = parquet.BooleanValue(v.Flag())
	}
	return p.Level(0, 1, column)
}
