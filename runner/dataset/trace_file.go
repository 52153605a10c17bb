package dataset

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sparkrun/scenario/schema"
)

// columnNames are the names of a trace's columns in the files that are known, in any case:
//
//   - Mooncake (github.com/kvcache-ai/Mooncake, FAST25-release/traces): JSON lines
//     {"timestamp": ms, "input_length", "output_length", "hash_ids": [one per 512 tokens]}
//   - BurstGPT (github.com/HPMLL/BurstGPT): CSV Timestamp (s), [Session ID, Elapsed time,]
//     Model, Request tokens, Response tokens, Total tokens, Log Type
//   - Azure LLM inference 2023 and 2024 (github.com/Azure/AzurePublicDataset): CSV
//     TIMESTAMP (2023-11-16 18:15:46.6805900, in 2024 with +00:00), ContextTokens,
//     GeneratedTokens
var columnNames = map[string][]string{
	"timestamp":     {"timestamp", "created_time"},
	"input_tokens":  {"input_length", "request tokens", "contexttokens", "input_tokens"},
	"output_tokens": {"output_length", "response tokens", "generatedtokens", "output_tokens"},
	"hash_ids":      {"hash_ids"},
}

// wanted are the columns in the order of a row; the last may be missing.
var wanted = []string{"timestamp", "input_tokens", "output_tokens", "hash_ids"}

// traceRow is a request of a trace file. at is since whatever its times are since.
type traceRow struct {
	line    int64
	at      time.Duration
	in, out int32
	hashes  []int64
}

// rows gives a trace file row by row, io.EOF at the end.
type rows interface{ next() (traceRow, error) }

func readTrace(v schema.Values, open Opener) (set, error) {
	path := v.String("path")
	in, closeFile, err := unpack(path, open)
	if err != nil {
		return nil, err
	}
	defer closeFile()
	if bom, _ := in.Peek(3); bytes.Equal(bom, []byte("\ufeff")) {
		_, _ = in.Discard(3)
	}
	columns, _ := v["columns"].(map[string]schema.Text)
	c := &columnReader{own: columns, unit: time.Second}
	var all rows
	if begin, _ := in.Peek(512); bytes.HasPrefix(bytes.TrimLeft(begin, " \t\r\n"), []byte("{")) {
		c.unit = time.Millisecond
		all = &jsonRows{columnReader: c, lines: reader{in: in, line: 1}}
	} else {
		rows := &csvRows{columnReader: c, in: csv.NewReader(in)}
		rows.in.ReuseRecord = true
		all = rows
	}
	if unit, ok := map[string]time.Duration{"s": time.Second, "ms": time.Millisecond, "us": time.Microsecond, "ns": 1}[v.String("time_unit")]; ok {
		c.unit = unit
	}
	t, err := collect(v, all)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// collect takes the rows that the attributes want.
func collect(v schema.Values, all rows) (*trace, error) {
	t := &trace{block: v.Int("block_tokens")}
	if t.block == 0 {
		t.block = 512
	}
	from, to := v.Duration("from"), v.Duration("to")
	limit, sample := v.Int("limit"), v.Int("sample")
	random := rand.New(rand.NewPCG(uint64(v.Int("seed")), 0x73616d706c65)) // "sample"
	var (
		first   time.Duration
		before  traceRow
		kept    []traceRow // of a sample
		seen, n int64
	)
	for limit == 0 || n < limit {
		r, err := all.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if seen == 0 {
			first = r.at
		} else if r.at < before.at {
			return nil, fmt.Errorf("line %d: its time is %s after the first, and %s in line %d before it: the times of a trace must not go back: sort the file", r.line, r.at-first, before.at-first, before.line)
		}
		seen, before = seen+1, traceRow{line: r.line, at: r.at}
		if to > 0 && r.at-first >= to {
			break
		}
		if r.at-first < from {
			continue
		}
		if r.in == 0 || r.out == 0 {
			t.failed++
			continue
		}
		n++
		r.at -= first + from
		switch {
		case sample == 0:
			t.add(r)
		case int64(len(kept)) < sample:
			kept = append(kept, r)
		default:
			if i := random.Int64N(n); i < sample {
				kept[i] = r
			}
		}
	}
	slices.SortFunc(kept, func(a, b traceRow) int { return int(a.line - b.line) })
	for _, r := range kept {
		t.add(r)
	}
	switch {
	case seen == 0:
		return nil, errors.New("the trace has no request")
	case len(t.at) == 0:
		return nil, fmt.Errorf("none of the trace's first %d requests lies between from and to and has tokens", seen)
	case t.ends != nil && len(t.ends) != len(t.at):
		return nil, errors.New("some requests have hash_ids and some have none")
	}
	return t, nil
}

func (t *trace) add(r traceRow) {
	t.at, t.in, t.out = append(t.at, r.at), append(t.in, r.in), append(t.out, r.out)
	if r.hashes != nil {
		t.hashes = append(t.hashes, r.hashes...)
		t.ends = append(t.ends, int32(len(t.hashes)))
	}
}

// columnReader reads what stands in the columns.
type columnReader struct {
	own    map[string]schema.Text // names that the scenario gives
	unit   time.Duration          // of times that are numbers
	layout string                 // of times that are dates; "" until one is seen
}

// find returns which of the names a column has, -1 for none.
func (c *columnReader) find(column string, names []string) int {
	known := columnNames[column]
	if own, ok := c.own[column]; ok {
		return slices.Index(names, own.Reveal())
	}
	return slices.IndexFunc(names, func(n string) bool { return slices.Contains(known, strings.ToLower(strings.TrimSpace(n))) })
}

// missing says that a column is not there.
func (c *columnReader) missing(column string, names []string) error {
	what := strings.Join(columnNames[column], ", ")
	if own, ok := c.own[column]; ok {
		what = own.Reveal()
	}
	return fmt.Errorf(`there is no column %s (%s): there are %s; name it, as in columns = { %s = "…" }`, column, what, strings.Join(names, ", "), column)
}

// dates are the layouts of times that are no numbers; fractions of a second are read with
// each.
var dates = []string{"2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05"}

// time reads a time as the distance to an origin that is the same in the whole file.
func (c *columnReader) time(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		ns := n * float64(c.unit)
		if math.IsNaN(ns) || math.Abs(ns) > math.MaxInt64/2 {
			return 0, fmt.Errorf("%q is no time: is time_unit right?", s)
		}
		return time.Duration(math.Round(ns)), nil
	}
	for _, layout := range append([]string{c.layout}, dates...) {
		if layout == "" {
			continue
		}
		if t, err := time.Parse(layout, s); err == nil {
			c.layout = layout
			return time.Duration(t.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))), nil
		}
	}
	return 0, fmt.Errorf("%q is no time: a number, or a date as in 2023-11-16 18:15:46.680 is expected", s)
}

// count reads a number of tokens.
func count(s string) (int32, error) {
	n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || n != math.Trunc(n) || n < 0 || n > mostTokens {
		return 0, fmt.Errorf("%q is no number of tokens: a whole number from 0 to %d is expected", s, mostTokens)
	}
	return int32(n), nil
}

// csvRows are the rows of a CSV file with a header.
type csvRows struct {
	*columnReader
	in    *csv.Reader
	at    [4]int // of the wanted columns
	names []string
}

func (c *csvRows) next() (traceRow, error) {
	if c.names == nil {
		if err := c.header(); err != nil {
			return traceRow{}, err
		}
	}
	record, err := c.in.Read()
	if err == io.EOF {
		return traceRow{}, io.EOF
	}
	var wrong *csv.ParseError
	if errors.As(err, &wrong) {
		return traceRow{}, fmt.Errorf("line %d: %w (the header has %d columns)", wrong.Line, wrong.Err, len(c.names))
	}
	if err != nil {
		return traceRow{}, err
	}
	line, _ := c.in.FieldPos(0)
	r := traceRow{line: int64(line)}
	fail := func(column int, err error) error {
		return fmt.Errorf("line %d: column %s: %w", line, c.names[c.at[column]], err)
	}
	for _, field := range record {
		if !utf8.ValidString(field) {
			return r, notUTF8([]byte(field), r.line)
		}
	}
	if r.at, err = c.time(record[c.at[0]]); err != nil {
		return r, fail(0, err)
	}
	if r.in, err = count(record[c.at[1]]); err != nil {
		return r, fail(1, err)
	}
	if r.out, err = count(record[c.at[2]]); err != nil {
		return r, fail(2, err)
	}
	if c.at[3] >= 0 {
		if err := json.Unmarshal([]byte(record[c.at[3]]), &r.hashes); err != nil || r.hashes == nil {
			return r, fail(3, errors.New("a list of whole numbers is expected, as in [1, 2]"))
		}
	}
	return r, nil
}

func (c *csvRows) header() error {
	record, err := c.in.Read()
	if err == io.EOF {
		return errors.New("the file is empty")
	}
	if err != nil {
		return err
	}
	c.names = slices.Clone(record)
	for i, name := range c.names {
		if !utf8.ValidString(name) {
			return notUTF8([]byte(name), 1)
		}
		c.names[i] = strings.Clone(name)
	}
	for i, column := range wanted {
		if c.at[i] = c.find(column, c.names); c.at[i] < 0 && (column != "hash_ids" || c.own[column] != schema.Text{}) {
			return fmt.Errorf("line 1: %w", c.missing(column, c.names))
		}
	}
	return nil
}

// jsonRows are the rows of a file of JSON lines.
type jsonRows struct {
	*columnReader
	lines reader
}

func (j *jsonRows) next() (traceRow, error) {
	raw, line, err := j.lines.raw()
	if err != nil {
		return traceRow{}, err
	}
	r := traceRow{line: line}
	if !utf8.Valid(raw) {
		return r, notUTF8(raw, line)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return r, atLine(err, raw, line)
	}
	var names []string
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	var found [4]string // the values of the wanted columns
	var named [4]string
	for i, column := range wanted {
		at := j.find(column, names)
		if at < 0 {
			if column == "hash_ids" && j.own[column] == (schema.Text{}) {
				continue
			}
			return r, fmt.Errorf("line %d: %w", line, j.missing(column, names))
		}
		named[i], found[i] = names[at], string(object[names[at]])
	}
	if r.at, err = j.time(strings.Trim(found[0], `"`)); err != nil {
		return r, fmt.Errorf("line %d: %s: %w", line, named[0], err)
	}
	if r.in, err = count(found[1]); err != nil {
		return r, fmt.Errorf("line %d: %s: %w", line, named[1], err)
	}
	if r.out, err = count(found[2]); err != nil {
		return r, fmt.Errorf("line %d: %s: %w", line, named[2], err)
	}
	if found[3] != "" {
		if err := json.Unmarshal([]byte(found[3]), &r.hashes); err != nil || r.hashes == nil {
			return r, fmt.Errorf("line %d: %s: a list of whole numbers is expected", line, named[3])
		}
	}
	return r, nil
}
