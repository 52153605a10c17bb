package store

import (
	"fmt"
	"strings"

	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/runner/table"
	"sparkrun/scenario/plan"
)

// A row is made of columns, and a record is made again from those of them that have a set.
// This file is the one place that knows them: the JSON lines and the Parquet files are both
// written and read by it.
type column struct {
	table.Column
	get func(*record.Record) table.Value
	set func(*record.Record, table.Value) error // nil: it follows from other columns
}

// columns are those of every row, after those that say which cell it is of.
var columns = makeColumns()

func makeColumns() []column {
	all := []column{
		whole("phase_index", func(r *record.Record) int64 { return int64(r.Phase) }, func(r *record.Record, n int64) { r.Phase = int(n) }),
		{table.Column{Name: "search_step", Type: table.Whole, Few: true},
			func(r *record.Record) table.Value { return ofSearch(r, table.WholeOf(int64(r.SearchStep))) },
			func(r *record.Record, v table.Value) error { r.SearchStep = int(v.Whole()); return nil }},
		{table.Column{Name: "search_value", Type: table.Real, Few: true},
			func(r *record.Record) table.Value { return ofSearch(r, table.RealOf(r.SearchValue)) },
			func(r *record.Record, v table.Value) error { r.SearchValue = v.Real(); return nil }},
	}
	for _, f := range result.Fields() {
		all = append(all, column{f.Column(), f.Of, fieldSetters[f.Name]})
	}
	return append(all,
		stamp("first_event_ns", func(r *record.Record) *int64 { return &r.FirstEvent }),
		stamp("first_token_ns", func(r *record.Record) *int64 { return &r.FirstToken }),
		stamp("first_output_ns", func(r *record.Record) *int64 { return &r.FirstOut }),
		stamp("last_token_ns", func(r *record.Record) *int64 { return &r.LastToken }),
		stamp("last_bare_ns", func(r *record.Record) *int64 { return &r.LastBare }),
		stamp("stream_end_ns", func(r *record.Record) *int64 { return &r.StreamEnd }),
		stamp("connect_ns", func(r *record.Record) *int64 { return &r.Connect }),
		stamp("round_trip_ns", func(r *record.Record) *int64 { return &r.RoundTrip }),
		column{table.Column{Name: "last_turn", Type: table.Flag},
			func(r *record.Record) table.Value { return table.FlagOf(r.LastTurn) },
			func(r *record.Record, v table.Value) error { r.LastTurn = v.Flag(); return nil }},
		count("first_event_tokens", func(r *record.Record) *int32 { return &r.FirstEventTokens }),
		count("first_output_tokens", func(r *record.Record) *int32 { return &r.FirstOutTokens }),
		whole("reasoning_events", func(r *record.Record) int64 { return int64(r.ReasoningEvents) }, func(r *record.Record, n int64) { r.ReasoningEvents = int32(n) }),
		whole("bare_events", func(r *record.Record) int64 { return int64(r.BareEvents) }, func(r *record.Record, n int64) { r.BareEvents = int32(n) }),
		whole("worker", func(r *record.Record) int64 { return int64(r.Worker) }, func(r *record.Record, n int64) { r.Worker = int32(n) }),
		whole("rank", func(r *record.Record) int64 { return int64(r.Rank) }, func(r *record.Record, n int64) { r.Rank = int32(n) }),
		whole("conversation", func(r *record.Record) int64 { return r.Conversation }, func(r *record.Record, n int64) { r.Conversation = n }),
	)
}

// fieldSetters are the fields that a record keeps; the others are computed.
var fieldSetters = map[string]func(*record.Record, table.Value) error{
	"request_id":      func(r *record.Record, v table.Value) error { r.ID = v.Text(); return nil },
	"conversation_id": func(r *record.Record, v table.Value) error { r.ConversationID = v.Text(); return nil },
	"finish_reason":   func(r *record.Record, v table.Value) error { r.FinishReason = v.Text(); return nil },
	"error":           func(r *record.Record, v table.Value) error { r.Error = v.Text(); return nil },
	"status": func(r *record.Record, v table.Value) (err error) {
		r.Status, err = record.ParseStatus(v.Text())
		return err
	},
	"token_source": func(r *record.Record, v table.Value) (err error) {
		r.TokenSource, err = record.ParseTokenSource(v.Text())
		return err
	},
	"stamp": func(r *record.Record, v table.Value) error {
		if v.Text() == record.StampKernel.String() {
			r.Stamp = record.StampKernel
		}
		return nil
	},
	"dataset_row": func(r *record.Record, v table.Value) error {
		if r.DatasetRow = v.Whole(); v.Null() {
			r.DatasetRow = -1
		}
		return nil
	},
	"answer_matches": func(r *record.Record, v table.Value) error {
		if !v.Null() {
			r.Matches = map[int64]record.Match{0: record.Differs, 1: record.Same}[v.Whole()]
		}
		return nil
	},
	"turn":       func(r *record.Record, v table.Value) error { r.Turn = int32(v.Whole()); return nil },
	"reconnects": func(r *record.Record, v table.Value) error { r.Reconnects = int32(v.Whole()); return nil },
	"retries":    func(r *record.Record, v table.Value) error { r.Retries = int32(v.Whole()); return nil },
	"replica": func(r *record.Record, v table.Value) error {
		if !v.Null() {
			r.Replica = int32(v.Whole()) + 1
		}
		return nil
	},
	"scheduled_ns":     func(r *record.Record, v table.Value) error { r.Scheduled = v.Whole(); return nil },
	"sent_ns":          func(r *record.Record, v table.Value) error { r.Sent = v.Whole(); return nil },
	"history_tokens":   setCount(func(r *record.Record) *int32 { return &r.HistoryTokens }),
	"input_tokens":     setCount(func(r *record.Record) *int32 { return &r.InputTokens }),
	"output_tokens":    setCount(func(r *record.Record) *int32 { return &r.OutputTokens }),
	"cached_tokens":    setCount(func(r *record.Record) *int32 { return &r.CachedTokens }),
	"reasoning_tokens": setCount(func(r *record.Record) *int32 { return &r.ReasoningTokens }),
	"asked_min_tokens": setCount(func(r *record.Record) *int32 { return &r.AskedMin }),
	"asked_max_tokens": setCount(func(r *record.Record) *int32 { return &r.AskedMax }),
}

// ofSearch is null in a cell without a search.
func ofSearch(r *record.Record, v table.Value) table.Value {
	if r.SearchValue == 0 {
		return table.Value{}
	}
	return v
}

func whole(name string, get func(*record.Record) int64, set func(*record.Record, int64)) column {
	return column{table.Column{Name: name, Type: table.Whole},
		func(r *record.Record) table.Value { return table.WholeOf(get(r)) },
		func(r *record.Record, v table.Value) error { set(r, v.Whole()); return nil }}
}

// stamp is a time that no field has whole; 0 is one that did not happen.
func stamp(name string, of func(*record.Record) *int64) column {
	return column{table.Column{Name: name, Type: table.Whole},
		func(r *record.Record) table.Value {
			if *of(r) == 0 {
				return table.Value{}
			}
			return table.WholeOf(*of(r))
		},
		func(r *record.Record, v table.Value) error { *of(r) = v.Whole(); return nil }}
}

// count is a count, -1 where it is not known.
func count(name string, of func(*record.Record) *int32) column {
	return column{table.Column{Name: name, Type: table.Whole},
		func(r *record.Record) table.Value {
			if *of(r) < 0 {
				return table.Value{}
			}
			return table.WholeOf(int64(*of(r)))
		}, setCount(of)}
}

func setCount(of func(*record.Record) *int32) func(*record.Record, table.Value) error {
	return func(r *record.Record, v table.Value) error {
		if *of(r) = int32(v.Whole()); v.Null() {
			*of(r) = -1
		}
		return nil
	}
}

// context are the columns that say which cell and phase a row is of. All but those of the phase
// are the same in all rows of a cell.
type context struct {
	columns []table.Column
	values  []table.Value
	phases  []plan.Phase
}

func newContext(info *result.Run, c *plan.Cell) *context {
	x := &context{phases: c.Phases}
	add := func(name string, t table.Type, v table.Value) {
		x.columns = append(x.columns, table.Column{Name: name, Type: t, Few: t != table.Flag, Filled: !strings.HasPrefix(name, "axis_")})
		x.values = append(x.values, v)
	}
	add("run_id", table.Text, table.TextOf(info.ID))
	add("cell", table.Text, table.TextOf(c.Name))
	add("benchmark", table.Text, table.TextOf(c.Address.Benchmark))
	for _, a := range c.Address.Axes {
		add("axis_"+a.Name, table.Text, table.TextOf(a.Value)) // always a text, so that runs unite
	}
	add("repeat", table.Whole, table.WholeOf(int64(c.Address.Repeat)))
	add("phase", table.Text, table.Value{})
	add("measured", table.Flag, table.Value{})
	return x
}

// of are the values for a record; the slice is used again.
func (x *context) of(r *record.Record) []table.Value {
	n := len(x.values)
	x.values[n-2], x.values[n-1] = table.TextOf(x.phases[r.Phase].Name), table.FlagOf(x.phases[r.Phase].Measure)
	return x.values
}

// fill makes a record from the columns of a row that it is made of.
func fill(r *record.Record, columns []column, value func(name string, t table.Type) table.Value) error {
	var wrong error
	for i := range columns {
		c := &columns[i]
		if c.set == nil {
			continue
		}
		if err := c.set(r, value(c.Name, c.Type)); err != nil && wrong == nil {
			wrong = fmt.Errorf("column %s: %w", c.Name, err)
		}
	}
	return wrong
}

// texts are what was said, where it is kept.
var texts = []column{
	words("system", func(r *record.Record) *string { return &r.System }),
	words("prompt", func(r *record.Record) *string { return &r.Prompt }),
	words("answer", func(r *record.Record) *string { return &r.Answer.Content }),
	words("reasoning", func(r *record.Record) *string { return &r.Answer.Reasoning }),
	words("tool_calls", func(r *record.Record) *string { return &r.Answer.ToolCalls }),
}

func words(name string, of func(*record.Record) *string) column {
	return column{table.Column{Name: name, Type: table.Text},
		func(r *record.Record) table.Value { return table.TextOrNull(*of(r)) },
		func(r *record.Record, v table.Value) error { *of(r) = v.Text(); return nil }}
}
