package table

import (
	"github.com/parquet-go/parquet-go"
)

// ordered is a group whose columns stand in their own order instead of the alphabet's.
type ordered struct {
	parquet.Group
	columns []Column
}

// Fields are the columns.
func (o ordered) Fields() []parquet.Field {
	byName := map[string]parquet.Field{}
	for _, f := range o.Group.Fields() {
		byName[f.Name()] = f
	}
	fields := make([]parquet.Field, len(o.columns))
	for i, c := range o.columns {
		fields[i] = byName[c.Name]
	}
	return fields
}

func schemaOf(columns []Column) *parquet.Schema {
	group := parquet.Group{}
	for _, c := range columns {
		if group[c.Name] = node(c); !c.Filled {
			group[c.Name] = parquet.Optional(group[c.Name])
		}
	}
	return parquet.NewSchema("table", ordered{group, columns})
}

// node is a column with the encoding that suits its values.
func node(c Column) parquet.Node {
	var n parquet.Node
	switch c.Type {
	case Text:
		n = parquet.String()
	case Whole:
		n = parquet.Encoded(parquet.Leaf(parquet.Int64Type), &parquet.DeltaBinaryPacked)
	case Real:
		n = parquet.Leaf(parquet.DoubleType)
	case Flag:
		return parquet.Leaf(parquet.BooleanType)
	}
	if c.Few {
		return parquet.Encoded(parquet.Leaf(runType{n.Type()}), &parquet.RLEDictionary)
	}
	return n
}

// typeOf is the type of a column that was read, false for one that no Writer makes.
func typeOf(f parquet.Field) (Type, bool) {
	if !f.Leaf() || f.Repeated() {
		return 0, false
	}
	switch f.Type().Kind() {
	case parquet.ByteArray:
		return Text, true
	case parquet.Int64:
		return Whole, true
	case parquet.Double:
		return Real, true
	case parquet.Boolean:
		return Flag, true
	case parquet.Int32, parquet.Int96, parquet.Float, parquet.FixedLenByteArray:
	}
	return 0, false
}
