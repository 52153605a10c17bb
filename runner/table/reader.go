package table

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/parquet-go/parquet-go"
)

// Reader reads a Parquet file that a Writer has made.
type Reader struct {
	file    *os.File // nil where it is not ours to close
	in      *parquet.File
	columns []Column
}

// Open opens a file.
func Open(path string) (*Reader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	r, err := newReader(file, info.Size())
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	r.file = file
	return r, nil
}

func newReader(in io.ReaderAt, size int64) (r *Reader, err error) {
	defer broken(&err)
	file, err := parquet.OpenFile(in, size, parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	r = &Reader{in: file}
	for _, f := range file.Schema().Fields() {
		t, ok := typeOf(f)
		if !ok {
			return nil, fmt.Errorf("its column %q is of a type that sparkrun does not write", f.Name())
		}
		r.columns = append(r.columns, Column{Name: f.Name(), Type: t})
	}
	return r, nil
}

// broken makes an error of what the library panics with on a file that is damaged.
func broken(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the file is damaged: %v", p)
	}
}

// Close closes the file.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// Columns are the file's columns in their order.
func (r *Reader) Columns() []Column { return r.columns }

// Meta is what the file says of itself under a key, "" where it says nothing.
func (r *Reader) Meta(key string) string {
	v, _ := r.in.Lookup(key)
	return v
}

// Rows hands over every row in order; the slice is used again for the next one.
func (r *Reader) Rows(each func(row []Value) error) error {
	return r.RowsWhere("", "", each)
}

// RowsWhere hands over the rows in which a text column has a value; column "" stands for all
// rows. Groups of rows that can't have it are not read.
func (r *Reader) RowsWhere(column, text string, each func(row []Value) error) (err error) {
	defer broken(&err)
	at := -1
	for i, c := range r.columns {
		if c.Name == column && c.Type == Text {
			at = i
		}
	}
	if column != "" && at < 0 {
		return fmt.Errorf("it has no text column %q", column)
	}
	for _, group := range r.in.RowGroups() {
		if at >= 0 && !mayHave(group.ColumnChunks()[at], text) {
			continue
		}
		if err := r.group(group, at, text, each); err != nil {
			return err
		}
	}
	return nil
}

// mayHave reports whether a column of a group may have a value, by the bounds that the
// file has of it.
func mayHave(chunk parquet.ColumnChunk, text string) bool {
	bounds, ok := chunk.(interface {
		Bounds() (low, high parquet.Value, ok bool)
	})
	if !ok {
		return true
	}
	low, high, ok := bounds.Bounds()
	return !ok || (string(low.ByteArray()) <= text && text <= string(high.ByteArray()))
}

func (r *Reader) group(group parquet.RowGroup, at int, text string, each func(row []Value) error) error {
	rows := group.Rows()
	defer rows.Close()
	batch := make([]parquet.Row, rowsPerBatch)
	row := make([]Value, len(r.columns))
	for {
		n, err := rows.ReadRows(batch)
		for _, from := range batch[:n] {
			if len(from) != len(row) {
				return fmt.Errorf("a row has %d values, the file %d columns", len(from), len(row))
			}
			for i := range from {
				row[i] = valueOf(from[i], r.columns[i].Type)
			}
			if at >= 0 && (row[at].Null() || row[at].Text() != text) {
				continue
			}
			if err := each(row); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrNoProgress
		}
	}
}

func valueOf(p parquet.Value, t Type) Value {
	if p.IsNull() {
		return Value{}
	}
	switch t {
	case Text:
		return TextOf(string(p.ByteArray()))
	case Whole:
		return WholeOf(p.Int64())
	case Real:
		return RealOf(p.Double())
	case Flag:
		return FlagOf(p.Boolean())
	}
	return Value{}
}
