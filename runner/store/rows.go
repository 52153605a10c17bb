package store

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
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
	fields  []result.Field

	records chan record.Record
	done    chan error
}

// queued is how many rows may wait for a slow disk before the engine's collector does.
const queued = 4096

// CreateRows makes the row file of a cell, empty also if an earlier try left one.
func (r *Run) CreateRows(info *result.Run, c *plan.Cell) (*Rows, error) {
	file, err := os.Create(r.RowsPath(c.Number))
	if err != nil {
		return nil, fmt.Errorf("create the rows: %w", err)
	}
	w := &Rows{
		file: file, context: rowContext(info, c), phases: c.Phases, events: c.Record.Events, fields: result.Fields(),
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

// rowContext encodes the columns that every row of the cell shares, without the closing brace.
func rowContext(info *result.Run, c *plan.Cell) []byte {
	b := []byte(`{"run_id":`)
	b = appendString(b, info.ID)
	b = append(b, `,"cell":`...)
	b = appendString(b, c.Name)
	b = append(b, `,"benchmark":`...)
	b = appendString(b, c.Address.Benchmark)
	b = append(b, `,"repeat":`...)
	b = strconv.AppendInt(b, int64(c.Address.Repeat), 10)
	for _, a := range c.Address.Axes {
		b = append(b, ',')
		b = appendString(b, "axis_"+a.Name)
		b = append(b, ':')
		b = appendString(b, a.Value)
	}
	return b
}

// stamps are the raw times of a record that no field has whole.
var stamps = []struct {
	name string
	of   func(*record.Record) *int64
}{
	{"first_event_ns", func(r *record.Record) *int64 { return &r.FirstEvent }},
	{"first_token_ns", func(r *record.Record) *int64 { return &r.FirstToken }},
	{"first_output_ns", func(r *record.Record) *int64 { return &r.FirstOut }},
	{"last_token_ns", func(r *record.Record) *int64 { return &r.LastToken }},
	{"stream_end_ns", func(r *record.Record) *int64 { return &r.StreamEnd }},
	{"connect_ns", func(r *record.Record) *int64 { return &r.Connect }},
	{"round_trip_ns", func(r *record.Record) *int64 { return &r.RoundTrip }},
}

func (w *Rows) appendRow(b []byte, rec *record.Record) []byte {
	b = append(b, w.context...)
	b = append(b, `,"phase":`...)
	b = appendString(b, w.phases[rec.Phase].Name)
	b = append(b, `,"phase_index":`...)
	b = strconv.AppendInt(b, int64(rec.Phase), 10)
	b = append(b, `,"measured":`...)
	b = strconv.AppendBool(b, w.phases[rec.Phase].Measure)
	if rec.SearchValue != 0 {
		b = append(b, `,"search_step":`...)
		b = strconv.AppendInt(b, int64(rec.SearchStep), 10)
		b = append(b, `,"search_value":`...)
		b = appendNumber(b, rec.SearchValue)
	}
	for i := range w.fields {
		f := &w.fields[i]
		b = append(b, ',', '"')
		b = append(b, f.Name...)
		b = append(b, '"', ':')
		if f.Text != nil {
			b = appendText(b, f.Text(rec))
		} else {
			b = appendNumber(b, f.Value(rec))
		}
	}
	for i := range stamps {
		b = append(b, ',', '"')
		b = append(b, stamps[i].name...)
		b = append(b, '"', ':')
		b = appendStamp(b, *stamps[i].of(rec))
	}
	b = append(b, `,"last_turn":`...)
	b = strconv.AppendBool(b, rec.LastTurn)
	b = append(b, `,"first_event_tokens":`...)
	b = appendCount(b, rec.FirstEventTokens)
	b = append(b, `,"first_output_tokens":`...)
	b = appendCount(b, rec.FirstOutTokens)
	b = append(b, `,"reasoning_events":`...)
	b = strconv.AppendInt(b, int64(rec.ReasoningEvents), 10)
	b = append(b, `,"worker":`...)
	b = strconv.AppendInt(b, int64(rec.Worker), 10)
	b = append(b, `,"conversation":`...)
	b = strconv.AppendInt(b, rec.Conversation, 10)
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
	if rec.System != "" {
		b = append(b, `,"system":`...)
		b = appendString(b, rec.System)
	}
	if rec.Prompt != "" {
		b = append(b, `,"prompt":`...)
		b = appendString(b, rec.Prompt)
	}
	if rec.Answer != (record.Answer{}) {
		answer, err := json.Marshal(rec.Answer)
		if err == nil {
			b = append(b, `,"answer":`...)
			b = append(b, answer...)
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

// appendText is appendString with "" as null.
func appendText(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return appendString(b, s)
}

// appendNumber writes NaN as null and a whole number without a fraction.
func appendNumber(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return append(b, "null"...)
	case f == math.Trunc(f) && math.Abs(f) < 1<<53:
		return strconv.AppendInt(b, int64(f), 10)
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64)
}

func appendStamp(b []byte, ns int64) []byte {
	if ns == 0 {
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, ns, 10)
}

func appendCount(b []byte, n int32) []byte {
	if n < 0 {
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, int64(n), 10)
}

// row is what ReadRows takes from a line to make the record again.
type row struct {
	RequestID        string         `json:"request_id"`
	PhaseIndex       int            `json:"phase_index"`
	SearchStep       int            `json:"search_step"`
	SearchValue      float64        `json:"search_value"`
	Worker           int32          `json:"worker"`
	Conversation     int64          `json:"conversation"`
	ConversationID   string         `json:"conversation_id"`
	DatasetRow       *int64         `json:"dataset_row"`
	Turn             int32          `json:"turn"`
	LastTurn         bool           `json:"last_turn"`
	HistoryTokens    *int32         `json:"history_tokens"`
	AskedMin         *int32         `json:"asked_min_tokens"`
	AskedMax         *int32         `json:"asked_max_tokens"`
	Scheduled        int64          `json:"scheduled_ns"`
	Sent             int64          `json:"sent_ns"`
	FirstEvent       int64          `json:"first_event_ns"`
	FirstToken       int64          `json:"first_token_ns"`
	FirstOut         int64          `json:"first_output_ns"`
	LastToken        int64          `json:"last_token_ns"`
	StreamEnd        int64          `json:"stream_end_ns"`
	Connect          int64          `json:"connect_ns"`
	RoundTrip        int64          `json:"round_trip_ns"`
	Reconnects       int32          `json:"reconnects"`
	Retries          int32          `json:"retries"`
	Replica          *int32         `json:"replica"`
	InputTokens      *int32         `json:"input_tokens"`
	OutputTokens     *int32         `json:"output_tokens"`
	CachedTokens     *int32         `json:"cached_tokens"`
	ReasoningTokens  *int32         `json:"reasoning_tokens"`
	FirstEventTokens *int32         `json:"first_event_tokens"`
	FirstOutTokens   *int32         `json:"first_output_tokens"`
	ReasoningEvents  int32          `json:"reasoning_events"`
	TokenSource      string         `json:"token_source"`
	Stamp            string         `json:"stamp"`
	FinishReason     string         `json:"finish_reason"`
	Status           string         `json:"status"`
	Error            string         `json:"error"`
	TokenEvents      []int64        `json:"token_events_ns"`
	AnswerMatches    *int           `json:"answer_matches"`
	System           string         `json:"system"`
	Prompt           string         `json:"prompt"`
	Answer           *record.Answer `json:"answer"`
}

// ReadRows reads the records of cell n back, to its last whole line.
func (r *Run) ReadRows(n int) ([]record.Record, error) { return readRowFile(r.RowsPath(n)) }

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
		var w row
		if err := json.Unmarshal(line, &w); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		rec, err := w.record()
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		records = append(records, rec)
	}
}

func (w *row) record() (record.Record, error) {
	status, err := record.ParseStatus(w.Status)
	if err != nil {
		return record.Record{}, err
	}
	source, err := record.ParseTokenSource(w.TokenSource)
	if err != nil {
		return record.Record{}, err
	}
	rec := record.Record{
		ID: w.RequestID, Phase: w.PhaseIndex, SearchStep: w.SearchStep, SearchValue: w.SearchValue, Worker: w.Worker,
		Conversation: w.Conversation, ConversationID: w.ConversationID, DatasetRow: -1, Turn: w.Turn, LastTurn: w.LastTurn,
		HistoryTokens: count(w.HistoryTokens), AskedMin: count(w.AskedMin), AskedMax: count(w.AskedMax),
		Scheduled: w.Scheduled, Sent: w.Sent, FirstEvent: w.FirstEvent, FirstToken: w.FirstToken, FirstOut: w.FirstOut,
		LastToken: w.LastToken, StreamEnd: w.StreamEnd, Connect: w.Connect, RoundTrip: w.RoundTrip, Reconnects: w.Reconnects, Retries: w.Retries,
		InputTokens: count(w.InputTokens), OutputTokens: count(w.OutputTokens), CachedTokens: count(w.CachedTokens),
		ReasoningTokens: count(w.ReasoningTokens), FirstEventTokens: count(w.FirstEventTokens), FirstOutTokens: count(w.FirstOutTokens), ReasoningEvents: w.ReasoningEvents,
		TokenSource: source, FinishReason: w.FinishReason, Status: status, Error: w.Error,
		System: w.System, Prompt: w.Prompt,
	}
	if w.Replica != nil {
		rec.Replica = *w.Replica + 1
	}
	if m := w.AnswerMatches; m != nil {
		rec.Matches = map[int]record.Match{0: record.Differs, 1: record.Same}[*m]
	}
	if w.DatasetRow != nil {
		rec.DatasetRow = *w.DatasetRow
	}
	if w.Stamp == record.StampKernel.String() {
		rec.Stamp = record.StampKernel
	}
	if w.Answer != nil {
		rec.Answer = *w.Answer
	}
	var at int64
	for _, gap := range w.TokenEvents {
		at += gap
		rec.Events = append(rec.Events, record.Event{At: at})
	}
	return rec, nil
}

func count(n *int32) int32 {
	if n == nil {
		return -1
	}
	return *n
}
