package store

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"sparkrun/runner/record"
	"sparkrun/runner/table"
)

// readRowFile reads the records of a file of JSON lines, to its last whole line.
func readRowFile(path string) ([]record.Record, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read rows: %w", err)
	}
	defer file.Close()
	records, err := readRows(file)
	if err != nil {
		return nil, fmt.Errorf("read rows %s: %w", file.Name(), err)
	}
	return records, nil
}

func readRows(in io.Reader) ([]record.Record, error) {
	var records []record.Record
	lines := bufio.NewReaderSize(in, 1<<16)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return records, nil // a line without its end is a torn write
		}
		if err != nil {
			return nil, err
		}
		rec, err := readRow(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		records = append(records, rec)
	}
}

// readRow makes a record from its line.
func readRow(line []byte) (rec record.Record, err error) {
	var row map[string]json.RawMessage
	if err := json.Unmarshal(line, &row); err != nil {
		return rec, err
	}
	var wrong error
	value := func(name string, t table.Type) table.Value {
		v, err := fromJSON(row[name], t)
		if err != nil && wrong == nil {
			wrong = fmt.Errorf("column %s: %w", name, err)
		}
		return v
	}
	for _, list := range [][]column{columns, texts} {
		if err := fill(&rec, list, value); err != nil && wrong == nil {
			wrong = err
		}
	}
	var gaps []int64
	if e := row["token_events_ns"]; e != nil {
		wrong = errors.Join(wrong, json.Unmarshal(e, &gaps))
	}
	var at int64
	for _, gap := range gaps {
		at += gap
		rec.Events = append(rec.Events, record.Event{At: at})
	}
	return rec, wrong
}

// fromJSON is the value of a column of the type; absent and null are null.
func fromJSON(raw json.RawMessage, t table.Type) (v table.Value, err error) {
	if raw == nil || string(raw) == "null" {
		return v, nil
	}
	switch t {
	case table.Text:
		var s string
		err = json.Unmarshal(raw, &s)
		v = table.TextOrNull(s)
	case table.Whole:
		var n int64
		n, err = strconv.ParseInt(string(raw), 10, 64)
		v = table.WholeOf(n)
	case table.Real:
		var f float64
		f, err = strconv.ParseFloat(string(raw), 64)
		v = table.RealOf(f)
	case table.Flag:
		v = table.FlagOf(string(raw) == "true")
	}
	return v, err
}
