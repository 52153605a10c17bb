package result

import (
	"math"

	"sparkrun/runner/record"
	"sparkrun/runner/table"
	"sparkrun/scenario/metric"
)

// Field is a column of the raw rows: its definition and how a record has it. Exactly one
// of Value and Text is set. Value gives NaN where the field is undefined.
type Field struct {
	metric.Number
	Value func(*record.Record) float64
	Text  func(*record.Record) string
}

// Column is the field's column in tables: a text, a whole number (counts and stamps) or a
// number.
func (f Field) Column() table.Column {
	c := table.Column{Name: f.Name, Type: table.Real}
	switch {
	case f.Number.Text:
		c.Type, c.Few = table.Text, f.Name != "request_id" && f.Name != "error"
	case f.Unit == "ns" || f.Unit == "tokens" || f.Unit == "1":
		c.Type = table.Whole
	}
	return c
}

// Of is what a record has in the field's column.
func (f Field) Of(r *record.Record) table.Value {
	if f.Text != nil {
		return table.TextOrNull(f.Text(r))
	}
	return table.Number(f.Column().Type, f.Value(r))
}

// Fields are the request fields in the order of the registry.
func Fields() []Field { return fields }

var fields = makeFields()

func makeFields() []Field {
	out := make([]Field, 0, len(metric.Request()))
	for _, n := range metric.Request() {
		f := Field{Number: n}
		if n.Text {
			f.Text = texts[n.Name]
		} else {
			f.Value = values[n.Name]
		}
		out = append(out, f)
	}
	return out
}

var texts = map[string]func(*record.Record) string{
	"request_id":      func(r *record.Record) string { return r.ID },
	"conversation_id": func(r *record.Record) string { return r.ConversationID },
	"token_source":    func(r *record.Record) string { return r.TokenSource.String() },
	"finish_reason":   func(r *record.Record) string { return r.FinishReason },
	"status":          func(r *record.Record) string { return r.Status.String() },
	"stamp":           func(r *record.Record) string { return r.Stamp.String() },
	"error":           func(r *record.Record) string { return r.Error },
}

var values = map[string]func(*record.Record) float64{
	"dataset_row": func(r *record.Record) float64 { return count(r.DatasetRow) },
	"turn":        func(r *record.Record) float64 { return count(int64(r.Turn)) },
	"history_tokens": func(r *record.Record) float64 {
		return count(int64(r.HistoryTokens))
	},
	"approx_cached_percent": func(r *record.Record) float64 {
		return 100 * count(int64(r.HistoryTokens)) / positive(r.InputTokens)
	},
	"scheduled_ns": func(r *record.Record) float64 { return stamp(r.Scheduled) },
	"sent_ns":      func(r *record.Record) float64 { return stamp(r.Sent) },
	"send_lag_ms": func(r *record.Record) float64 {
		if r.Retries > 0 {
			return math.NaN() // it was late because it failed
		}
		return ms(r.Scheduled, r.Sent)
	},
	"connect_ms": func(r *record.Record) float64 {
		return stamp(r.Connect) / 1e6
	},
	"reconnects": func(r *record.Record) float64 {
		if r.Sent == 0 {
			return math.NaN()
		}
		return float64(r.Reconnects)
	},
	"retries": func(r *record.Record) float64 {
		if r.Sent == 0 {
			return math.NaN()
		}
		return float64(r.Retries)
	},
	"replica": func(r *record.Record) float64 {
		if r.Replica == 0 {
			return math.NaN()
		}
		return float64(r.Replica - 1)
	},
	"answer_matches": func(r *record.Record) float64 {
		switch r.Matches {
		case record.Same:
			return 1
		case record.Differs:
			return 0
		case record.NotCompared:
		}
		return math.NaN()
	},
	"ttfr_ms":                      func(r *record.Record) float64 { return ms(r.Sent, r.FirstEvent) },
	"ttft_ms":                      func(r *record.Record) float64 { return ms(r.Sent, r.FirstToken) },
	"ttfo_ms":                      func(r *record.Record) float64 { return ms(r.Sent, r.FirstOut) },
	"tpot_ms":                      TPOT,
	"stall_ms":                     stall,
	"latency_ms":                   func(r *record.Record) float64 { return ms(r.Sent, r.LastToken) },
	"response_time_ms":             func(r *record.Record) float64 { return ms(r.Scheduled, r.LastToken) },
	"stream_end_ms":                func(r *record.Record) float64 { return ms(r.Sent, r.StreamEnd) },
	"input_tokens":                 func(r *record.Record) float64 { return count(int64(r.InputTokens)) },
	"output_tokens":                func(r *record.Record) float64 { return count(int64(r.OutputTokens)) },
	"cached_tokens":                func(r *record.Record) float64 { return count(int64(r.CachedTokens)) },
	"reasoning_tokens":             func(r *record.Record) float64 { return count(int64(r.ReasoningTokens)) },
	"token_events":                 events,
	"tokens_per_event":             func(r *record.Record) float64 { return count(int64(r.OutputTokens)) / events(r) },
	"output_tokens_per_s_per_user": func(r *record.Record) float64 { return 1000 / TPOT(r) },
	"asked_min_tokens":             func(r *record.Record) float64 { return count(int64(r.AskedMin)) },
	"asked_max_tokens":             func(r *record.Record) float64 { return count(int64(r.AskedMax)) },
}

// TPOT is the time per output token after the first event in ms: (last token event −
// first) / (output tokens − tokens in the first event). Undefined (NaN) where that is
// less than one token, and where one event had everything.
func TPOT(r *record.Record) float64 {
	tokens := r.OutputTokens - r.FirstEventTokens
	if r.FirstToken == 0 || r.LastToken <= r.FirstToken || r.FirstEventTokens < 0 || tokens < 1 {
		return math.NaN()
	}
	return ms(r.FirstToken, r.LastToken) / float64(tokens)
}

// stall is the longest gap between token events.
func stall(r *record.Record) float64 {
	if len(r.Events) < 2 {
		return math.NaN()
	}
	longest := int64(0)
	for i := 1; i < len(r.Events); i++ {
		longest = max(longest, r.Events[i].At-r.Events[i-1].At)
	}
	return float64(longest) / 1e6
}

func events(r *record.Record) float64 {
	if len(r.Events) == 0 {
		return math.NaN() // nothing came as a stream, or its events were not kept
	}
	return float64(len(r.Events))
}

// ms is the time between two stamps, NaN if one of them did not happen.
func ms(from, to int64) float64 {
	if from == 0 || to == 0 {
		return math.NaN()
	}
	return float64(to-from) / 1e6
}

func stamp(ns int64) float64 {
	if ns == 0 {
		return math.NaN()
	}
	return float64(ns)
}

func count(n int64) float64 {
	if n < 0 {
		return math.NaN()
	}
	return float64(n)
}

func positive(n int32) float64 {
	if n <= 0 {
		return math.NaN()
	}
	return float64(n)
}
