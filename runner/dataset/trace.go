package dataset

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"sparkrun/runner/load"
	"sparkrun/scenario/schema"
)

func init() {
	register(kind{Kind: schema.Kind{
		Name: "trace", Check: checkTrace, Timed: true,
		Doc: "Requests of a real service by arrival time and lengths, with made-up text: Mooncake (JSON lines; equal hash_ids are equal text, so that prefix caches hit as they did), BurstGPT and Azure's LLM inference traces (CSV). Requests without output tokens failed there and are left out. It is held in memory, 16 bytes a request and 8 a hash.",
		Attrs: []schema.Attr{
			pathAttr("The file; gzip and zstd are unpacked."),
			{Name: "columns", Type: schema.StringMap, DefaultDoc: "those of Mooncake, BurstGPT and Azure", Doc: "Names of the columns where they are others: { timestamp = …, input_tokens = …, output_tokens = …, hash_ids = … }."},
			{Name: "time_unit", Type: schema.String, DefaultDoc: "ms in JSON lines, s in CSV", Values: []string{"s", "ms", "us", "ns"}, Doc: "Unit of times that are numbers. Dates with a time are understood."},
			{Name: "from", Type: schema.Duration, Default: time.Duration(0), Doc: "Begin so long after the trace's first request."},
			{Name: "to", Type: schema.Duration, DefaultDoc: "its end", Doc: "End so long after the trace's first request."},
			{Name: "limit", Type: schema.Int, DefaultDoc: "all", Doc: "Read no more than so many requests."},
			{Name: "sample", Type: schema.Int, DefaultDoc: "all", Doc: "Of those take so many at random, at their times. The same in every cell."},
			{Name: "block_tokens", Type: schema.Int, Default: int64(512), Doc: "Tokens that a hash stands for."},
			{Name: "seed", Type: schema.Int, Default: int64(1), Doc: "Seed of the sample."},
			exhausted("stop", "repeat"),
		},
	}, read: readTrace})
}

func checkTrace(v schema.Values) []schema.Problem {
	if v.Has("to") && v.Duration("to") <= v.Duration("from") {
		return []schema.Problem{{Attr: "to", Summary: "Wrong value", Detail: fmt.Sprintf("to is %s: it must be above from (%s).", v.Duration("to"), v.Duration("from"))}}
	}
	if v.Int("block_tokens") < 1 {
		return []schema.Problem{{Attr: "block_tokens", Summary: "Wrong value", Detail: "block_tokens must be 1 or more."}}
	}
	columns, _ := v["columns"].(map[string]schema.Text)
	for name := range columns {
		if _, ok := columnNames[name]; !ok {
			return []schema.Problem{{Attr: "columns", Summary: "Unknown column", Detail: fmt.Sprintf("columns has %q: its names are timestamp, input_tokens, output_tokens and hash_ids.", name)}}
		}
	}
	return nil
}

// trace is requests by column.
type trace struct {
	at      []time.Duration // from the trace's beginning
	in, out []int32
	hashes  []int64 // of all requests, one after the other
	ends    []int32 // where those of request i end; nil: there are none
	block   int64   // tokens of a hash
	failed  int64   // left out: without tokens
}

func (t *trace) size(uint64) Size {
	n := int64(len(t.at))
	return Size{n, map[int64]int64{1: n}}
}

func (t *trace) note() string {
	if t.failed == 0 {
		return ""
	}
	return fmt.Sprintf("%d requests of the trace have no input or no output tokens (they failed there) and are left out", t.failed)
}

func (t *trace) play(p play) (scripts, error) {
	tok, err := newTokens(p, opticks, 0)
	if err != nil {
		return nil, err
	}
	return &traceScripts{trace: t, tok: tok, salt: p.salt * golden}, nil
}

// arrival is when request i arrives. Where the trace begins again, it does so after the
// mean of its gaps.
func (t *trace) arrival(i int64, again bool) (time.Duration, bool) {
	n := int64(len(t.at))
	if i < n {
		return t.at[i], true
	}
	if !again {
		return 0, false
	}
	last := t.at[n-1]
	lap := last + time.Second
	if n > 1 {
		lap = last + (last-t.at[0])/time.Duration(n-1)
	}
	return time.Duration(i/n)*lap + t.at[i%n], true
}

// traceScripts makes texts for a trace's requests.
type traceScripts struct {
	*trace
	tok  *tokens
	salt uint64
}

// note says how exact the lengths are.
func (t *traceScripts) note() string { return t.tok.note() }

func (t *traceScripts) script(i int64) (*script, error) {
	if i >= int64(len(t.at)) {
		return nil, load.ErrExhausted
	}
	left, out := int64(t.in[i]), int64(t.out[i])
	var text strings.Builder
	if t.ends != nil {
		begin := int32(0)
		if i > 0 {
			begin = t.ends[i-1]
		}
		for _, h := range t.hashes[begin:t.ends[i]] {
			n := min(left, t.block)
			// The same generator gives the same text, and of fewer tokens its beginning.
			text.WriteString(t.tok.unique(rand.New(rand.NewPCG(t.salt+1, uint64(h))), n))
			left -= n
		}
	}
	text.WriteString(t.tok.unique(rand.New(rand.NewPCG(t.salt, uint64(i))), left))
	return &script{id: strconv.FormatInt(i, 10), row: i, turns: []turn{{user: text.String(), asked: out, answer: t.tok.slice(0, out)}}}, nil
}
