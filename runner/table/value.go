package table

import (
	"math"
	"strconv"
)

// Type is the type of a column's values.
type Type uint8

// The types, with their names in Parquet and SQL.
const (
	Text  Type = iota // STRING, TEXT
	Whole             // INT64, INTEGER
	Real              // DOUBLE, REAL
	Flag              // BOOLEAN, INTEGER 0 or 1
)

// String is the type's name in Parquet, as people write it.
func (t Type) String() string { return [...]string{"STRING", "INT64", "DOUBLE", "BOOLEAN"}[t] }

// Column is a column of a table.
type Column struct {
	Name string
	Type Type
	// Few says that the values repeat, and are kept once each.
	Few bool
	// Filled says that no value is null. It is cheaper, and so for the tables of many rows.
	Filled bool
}

// Value is a value of a column, whose Type says which of the methods reads it. The zero
// value is null.
type Value struct {
	set  bool
	bits uint64
	text string
}

// TextOf is a text; "" is one as well, TextOrNull has it as null.
func TextOf(s string) Value { return Value{set: true, text: s} }

// TextOrNull is a text, null where it is empty.
func TextOrNull(s string) Value { return Value{set: s != "", text: s} }

// WholeOf is a whole number.
func WholeOf(n int64) Value { return Value{set: true, bits: uint64(n)} }

// RealOf is a number, null where it is none (NaN or infinite).
func RealOf(f float64) Value {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return Value{}
	}
	return Value{set: true, bits: math.Float64bits(f)}
}

// FlagOf is true or false.
func FlagOf(b bool) Value {
	if b {
		return Value{set: true, bits: 1}
	}
	return Value{set: true}
}

// Null reports whether there is no value.
func (v Value) Null() bool { return !v.set }

// Text is the value of a Text column, "" for null.
func (v Value) Text() string { return v.text }

// Whole is the value of a Whole column, 0 for null.
func (v Value) Whole() int64 { return int64(v.bits) }

// Real is the value of a Real column, 0 for null.
func (v Value) Real() float64 { return math.Float64frombits(v.bits) }

// Flag is the value of a Flag column, false for null.
func (v Value) Flag() bool { return v.bits == 1 }

// Any is the value as a database/sql driver and encoding/json take it, nil for null.
func (v Value) Any(t Type) any {
	if v.Null() {
		return nil
	}
	switch t {
	case Text:
		return v.text
	case Whole:
		return v.Whole()
	case Real:
		return v.Real()
	case Flag:
		return v.Flag()
	}
	return nil
}

// Number is the value of a column with numbers as one, of the column's type: a whole
// number loses its fraction, which it has none of. NaN is null.
func Number(t Type, f float64) Value {
	if t == Whole && !math.IsNaN(f) && !math.IsInf(f, 0) {
		return WholeOf(int64(f))
	}
	return RealOf(f)
}

// AppendJSON appends the value as JSON has it; texts are quoted by quote.
func (v Value) AppendJSON(b []byte, t Type, quote func([]byte, string) []byte) []byte {
	if v.Null() {
		return append(b, "null"...)
	}
	switch t {
	case Text:
		return quote(b, v.text)
	case Whole:
		return strconv.AppendInt(b, v.Whole(), 10)
	case Real:
		return strconv.AppendFloat(b, v.Real(), 'g', -1, 64)
	case Flag:
		return strconv.AppendBool(b, v.Flag())
	}
	return b
}
