package runner

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
)

// texts are conversations by their user turns.
type texts [][]string

func (s texts) Open(i int64) (load.Conversation, error) {
	if i >= int64(len(s)) {
		return nil, load.ErrExhausted
	}
	return &said{turns: s[i]}, nil
}

type said struct {
	turns []string
	at    int
}

func (c *said) Turns() int { return len(c.turns) }

func (c *said) Next(_ *record.Record, r *record.Request) (bool, error) {
	if c.at == len(c.turns) {
		return false, nil
	}
	r.Prompt, r.System = c.turns[c.at], ""
	c.at++
	return true, nil
}

// The share of first prompts that came from the cache, worked by hand: 96 tokens are the
// template's (cold), 64 the block at a prompt's end (primed).
func TestShareOfHits(t *testing.T) {
	text := func(begin string, n int) string {
		for len(begin) < n {
			begin += fmt.Sprintf("%d,", len(begin))
		}
		return begin[:n]
	}
	source := texts{{text("a", 1000), "more"}, {text("b", 1000), "more"}, {text("b", 500) + text("c", 500)}, {text("a", 1000)}}
	rec := func(conversation int64, turn, input, cached int32, sent int64) record.Record {
		return record.Record{Conversation: conversation, Turn: turn, InputTokens: input, CachedTokens: cached, Sent: sent}
	}
	retried := rec(0, 0, 1096, 1000, 1)
	retried.Retries = 1
	for name, c := range map[string]struct {
		state   string
		records []record.Record
		hits    float64 // by the server's counter; -1: not asked
		want    float64 // -1: not known
	}{
		"cold, nothing":      {plan.CacheCold, []record.Record{rec(0, 0, 1096, 0, 1), rec(1, 0, 1096, 0, 2)}, -1, 0},
		"cold, the template": {plan.CacheCold, []record.Record{rec(0, 0, 1096, 80, 1), rec(1, 0, 1096, 96, 2)}, -1, 0},
		// (596 − 96) of 2 × 1000.
		"cold, a part of one": {plan.CacheCold, []record.Record{rec(0, 0, 1096, 596, 1), rec(1, 0, 1096, 0, 2)}, -1, 0.25},
		// 2 begins as 1 for half of its text: 96 + 548 are explained, all of 1 counts.
		"cold, what they share": {plan.CacheCold, []record.Record{rec(1, 0, 1096, 0, 1), rec(2, 0, 1096, 640, 2)}, -1, 0},
		// Sent first, 2 has nothing to share with: (640 − 96) of 1000 + (1000 − 548).
		"cold, in the other order":          {plan.CacheCold, []record.Record{rec(1, 0, 1096, 0, 2), rec(2, 0, 1096, 640, 1)}, -1, 544.0 / 1452},
		"cold, the same text twice":         {plan.CacheCold, []record.Record{rec(0, 0, 1096, 0, 1), rec(3, 0, 1096, 1088, 2)}, -1, 0},
		"cold, hits inside a conversation":  {plan.CacheCold, []record.Record{rec(0, 0, 1096, 0, 1), rec(0, 1, 1200, 1150, 2)}, -1, 0},
		"cold, in the midst of one":         {plan.CacheCold, []record.Record{rec(0, 1, 1096, 596, 1)}, -1, 0.5},
		"cold, a retry had filled it":       {plan.CacheCold, []record.Record{retried}, -1, -1},
		"cold, shorter than a template":     {plan.CacheCold, []record.Record{rec(0, 0, 90, 80, 1)}, -1, -1},
		"cold, not told":                    {plan.CacheCold, []record.Record{rec(0, 0, 1096, -1, 1)}, -1, -1},
		"cold, by the counter":              {plan.CacheCold, []record.Record{rec(0, 0, 1096, -1, 1), rec(0, 1, 1200, -1, 2)}, 1796, 0.5},
		"cold, the counter of later turns":  {plan.CacheCold, []record.Record{rec(0, 0, 1096, -1, 1), rec(0, 1, 1200, -1, 2)}, 1200, 0},
		"cold, a later turn of any length":  {plan.CacheCold, []record.Record{rec(0, 0, 1096, -1, 1), rec(0, 1, -1, -1, 2)}, 1200, -1},
		"primed":                            {plan.CachePrimed, []record.Record{rec(0, 0, 1064, 1056, 1), rec(1, 0, 1064, 1000, 2)}, -1, 1},
		"primed, half":                      {plan.CachePrimed, []record.Record{rec(0, 0, 1064, 1056, 1), rec(1, 0, 1064, 0, 2)}, -1, 0.5},
		"primed, in the midst of one":       {plan.CachePrimed, []record.Record{rec(0, 1, 1064, 0, 1)}, -1, -1},
		"primed, by the counter":            {plan.CachePrimed, []record.Record{rec(0, 0, 1064, -1, 1), rec(1, 0, 1064, -1, 2)}, 500, 0.25},
		"primed, the counter of more turns": {plan.CachePrimed, []record.Record{rec(0, 0, 1064, -1, 1), rec(0, 1, 1064, -1, 2)}, 500, -1},
		"nothing was sent":                  {plan.CacheCold, []record.Record{rec(0, 0, -1, -1, 0)}, -1, -1},
	} {
		f := firstPrompts(c.records, source)
		share := f.share(c.state)
		if c.hits >= 0 {
			share = f.shareOf(c.state, c.hits)
		}
		got := -1.0
		if share != nil {
			got = *share
		}
		if math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestUntold: what can't be checked says why.
func TestUntold(t *testing.T) {
	source := texts{{"a"}, {"b"}}
	rec := func(input, cached int32) record.Record {
		return record.Record{InputTokens: input, CachedTokens: cached, Sent: 1}
	}
	retried := rec(1096, 0)
	retried.Retries = 1
	for name, c := range map[string]struct {
		state  string
		record record.Record
		short  bool
		want   string
	}{
		"short, cold":   {plan.CacheCold, rec(95, 80), true, "the longest first prompt has 95 tokens, and up to 96 may be the chat template's"},
		"just as long":  {plan.CacheCold, rec(96, 96), true, "the longest first prompt has 96 tokens"},
		"short, primed": {plan.CachePrimed, rec(60, 32), true, "the longest first prompt has 60 tokens, and the last 64 of one are not kept"},
		"short, untold": {plan.CacheCold, rec(40, -1), true, "the server tells cached tokens neither"},
		"not told":      {plan.CacheCold, rec(1096, -1), false, "the server tells cached tokens neither in usage nor by a counter"},
		"retried":       {plan.CacheCold, retried, true, "no first prompt of a conversation came to its end at the first try"},
	} {
		f := firstPrompts([]record.Record{c.record}, source)
		if share := f.share(c.state); share != nil {
			t.Errorf("%s: a share of %v", name, *share)
		}
		if got, short := f.untold(c.state); !strings.HasPrefix(got, c.want) || short != c.short {
			t.Errorf("%s: %q, short %v, want %q, %v", name, got, short, c.want, c.short)
		}
	}
}
