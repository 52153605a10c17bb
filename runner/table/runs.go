package table

import (
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
)

// A column of few values has long runs of the same one: each token event repeats which run,
// cell and request it is of. The library looks every value up in its dictionary, and once
// more for a page's bounds; runType is a type whose columns do so once a run.
type runType struct{ parquet.Type }

// NewDictionary is the type's dictionary, whose columns know of runs.
func (t runType) NewDictionary(column, size int, data encoding.Values) parquet.Dictionary {
	return runDictionary{t.Type.NewDictionary(column, size, data)}
}

type runDictionary struct{ parquet.Dictionary }

// Type is that of a column of indexes into the dictionary.
func (d runDictionary) Type() parquet.Type { return runIndexes{d.Dictionary.Type(), d.Dictionary} }

type runIndexes struct {
	parquet.Type
	dictionary parquet.Dictionary
}

// NewColumnBuffer is what takes a column's values until they are a page.
func (t runIndexes) NewColumnBuffer(column, size int) parquet.ColumnBuffer {
	return &runBuffer{ColumnBuffer: t.Type.NewColumnBuffer(column, 0), dictionary: t.dictionary, column: column}
}

// runBuffer takes the place of the library's buffer, which stays empty, in all that a Writer
// calls.
type runBuffer struct {
	parquet.ColumnBuffer
	dictionary parquet.Dictionary
	column     int
	indexes    []int32
	low, high  parquet.Value

	last  parquet.Value // of the run, where indexes are not empty
	index [1]int32      // last's
}

// WriteValues adds values, none of which is null.
func (b *runBuffer) WriteValues(values []parquet.Value) (int, error) {
	for i := range values {
		// The same bytes at the same address: a run's values are copies of one.
		if len(b.indexes) == 0 || values[i] != b.last {
			b.begin(values[i : i+1])
		}
		b.indexes = append(b.indexes, b.index[0])
	}
	return len(values), nil
}

// begin begins a run of a value.
func (b *runBuffer) begin(value []parquet.Value) {
	b.dictionary.Insert(b.index[:], value)
	b.last = value[0]
	if t := b.ColumnBuffer.Type(); len(b.indexes) == 0 {
		b.low, b.high = b.last, b.last
	} else if t.Compare(b.last, b.low) < 0 {
		b.low = b.last
	} else if t.Compare(b.last, b.high) > 0 {
		b.high = b.last
	}
}

// Len is the number of values.
func (b *runBuffer) Len() int { return len(b.indexes) }

// Size is in bytes.
func (b *runBuffer) Size() int64 { return 4 * int64(len(b.indexes)) }

// Reset forgets the values, not their place in the dictionary.
func (b *runBuffer) Reset() { b.indexes = b.indexes[:0] }

// Page is the values so far.
func (b *runBuffer) Page() parquet.Page {
	return runPage{b.dictionary.Type().NewPage(b.column, len(b.indexes), encoding.Int32Values(b.indexes)), b}
}

type runPage struct {
	parquet.Page
	buffer *runBuffer
}

// Bounds are the least and the greatest value.
func (p runPage) Bounds() (low, high parquet.Value, ok bool) {
	return p.buffer.low, p.buffer.high, len(p.buffer.indexes) > 0
}
