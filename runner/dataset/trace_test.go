package dataset

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sparkrun/runner/load"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// Files as they are published; the numbers are ours.
const (
	mooncake = `{"timestamp": 0, "input_length": 1200, "output_length": 50, "hash_ids": [0, 1, 2]}
{"timestamp": 0, "input_length": 1100, "output_length": 3, "hash_ids": [0, 1, 9]}
{"timestamp": 3000, "input_length": 600, "output_length": 1, "hash_ids": [7, 8]}
`
	burstGPT = `Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
19440110.0,1722ac82-0a46-4bf0-aa08-89794e7a2b3f,43,GPT-4,906,446,1352,Conversation log
19440112.5,,2,ChatGPT,36,0,36,API log
19440161.0,"d,5",2,ChatGPT,36,29,65,Conversation log
`
	azure2023 = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,374,44\r\n2023-11-16 18:15:50.9951690,396,109\r\n"
	azure2024 = "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 00:00:01+00:00,2399,6\n"
)

// requests prints a trace: "arrival in>out" of each.
func requests(t *testing.T, file string, v schema.Values) string {
	t.Helper()
	values := schema.Values{"path": "f"}
	for k, x := range v {
		values[k] = x
	}
	s, err := read(plan.Dataset{Type: "trace", Values: values}, map[string]string{"f": file})
	if err != nil {
		return err.Error()
	}
	source, err := s.Open(t.Context(), Options{Cell: cell(), Tokenizer: words{}})
	if err != nil {
		return err.Error()
	}
	all, err := s.play(play{ctx: t.Context(), seed: 1, salt: 2, server: words{}})
	if err != nil {
		return err.Error()
	}
	var out []string
	for i := int64(0); ; i++ {
		at, ok := source.(load.Timed).Arrival(i)
		c, err := all.script(i)
		if ok != (err == nil) {
			t.Errorf("request %d has an arrival: %v, and a text: %v", i, ok, err)
		}
		if !ok {
			return strings.Join(out, "; ")
		}
		u := c.turns[0]
		if n := len(splitWords(u.answer)); int64(n) != u.asked {
			t.Errorf("request %d: an answer of %d words for %d tokens", i, n, u.asked)
		}
		out = append(out, fmt.Sprintf("%s %d>%d", at, len(splitWords(u.user)), u.asked))
	}
}

func TestTraces(t *testing.T) {
	for name, c := range map[string]struct {
		file   string
		values schema.Values
		want   string
	}{
		"mooncake":   {mooncake, nil, "0s 1200>50; 0s 1100>3; 3s 600>1"},
		"burstgpt":   {burstGPT, nil, "0s 906>446; 51s 36>29"},
		"azure 2023": {azure2023, nil, "0s 374>44; 4.314579s 396>109"},
		"azure 2024": {gz(azure2024), nil, "0s 2162>5; 990.07ms 2399>6"},
		"other names": {"t,p,n,h\n5,10,2,\"[1]\"\n6,20,3,\"[1,2]\"\n", schema.Values{"time_unit": schema.Plain("ms"), "block_tokens": int64(10), "columns": map[string]schema.Text{
			"timestamp": schema.Plain("t"), "input_tokens": schema.Plain("p"), "output_tokens": schema.Plain("n"), "hash_ids": schema.Plain("h")}}, "0s 10>2; 1ms 20>3"},
		"other names in JSON": {`{"when": "2024-05-10T00:00:00Z", "input_length": 5, "output_length": 2}`, schema.Values{"columns": map[string]schema.Text{"timestamp": schema.Plain("when")}}, "0s 5>2"},
		"spaces":              {"Timestamp, Request tokens, Response tokens\n1, 20, 3\n2.5, 30, 4\n", nil, "0s 20>3; 1.5s 30>4"},
		"from":                {azure2023, schema.Values{"from": 2 * time.Second}, "2.314579s 396>109"},
		"to":                  {azure2023, schema.Values{"to": 2 * time.Second}, "0s 374>44"},
		"limit":               {mooncake, schema.Values{"limit": int64(1)}, "0s 1200>50"},
		"sample":              {mooncake, schema.Values{"sample": int64(2), "seed": int64(3)}, "0s 1200>50; 3s 600>1"},
	} {
		if got := requests(t, c.file, c.values); got != c.want {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
	}
}

func TestBrokenTraces(t *testing.T) {
	for name, c := range map[string]struct {
		file   string
		values schema.Values
		err    string
	}{
		"times go back":       {"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,3,4\n2023-11-16 18:15:48,3,4\n2023-11-16 18:15:47,3,4\n", nil, "f: line 4: its time is 1s after the first, and 2s in line 3 before it: the times of a trace must not go back"},
		"back in mooncake":    {`{"timestamp":5,"input_length":1,"output_length":1}` + "\n" + `{"timestamp":4,"input_length":1,"output_length":1}`, nil, "f: line 2: its time is -1ms after the first, and 0s in line 1"},
		"missing column":      {"TIMESTAMP,ContextTokens\n1,2\n", nil, `f: line 1: there is no column output_tokens (output_length, response tokens, generatedtokens, output_tokens): there are TIMESTAMP, ContextTokens; name it, as in columns = { output_tokens = "…" }`},
		"missing own column":  {azure2023, schema.Values{"columns": map[string]schema.Text{"timestamp": schema.Plain("when")}}, `f: line 1: there is no column timestamp (when): there are TIMESTAMP, ContextTokens, GeneratedTokens`},
		"missing JSON column": {`{"timestamp":5,"input_length":1}`, nil, "f: line 1: there is no column output_tokens"},
		"short row":           {"TIMESTAMP,ContextTokens,GeneratedTokens\n1,2\n", nil, "f: line 2: wrong number of fields (the header has 3 columns)"},
		"bad quote":           {"TIMESTAMP,ContextTokens,GeneratedTokens\n1,2\",3\n", nil, `f: line 2: bare " in non-quoted-field`},
		"no number":           {"TIMESTAMP,ContextTokens,GeneratedTokens\n1,many,3\n", nil, `f: line 2: column ContextTokens: "many" is no number of tokens: a whole number from 0 to`},
		"half a token":        {"TIMESTAMP,ContextTokens,GeneratedTokens\n1,2.5,3\n", nil, `f: line 2: column ContextTokens: "2.5" is no number of tokens`},
		"no time":             {"TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,2,3\n", nil, `f: line 2: column TIMESTAMP: "yesterday" is no time: a number, or a date`},
		"endless time":        {"TIMESTAMP,ContextTokens,GeneratedTokens\n1e300,2,3\n", nil, `"1e300" is no time: is time_unit right?`},
		"bad JSON":            {`{"timestamp":5,` + "\n", nil, "f: line 1: unexpected end of JSON input"},
		"hashes":              {`{"timestamp":5,"input_length":1,"output_length":1,"hash_ids":["a"]}`, nil, "f: line 1: hash_ids: a list of whole numbers is expected"},
		"hashes at times":     {`{"timestamp":5,"input_length":1,"output_length":1,"hash_ids":[1]}` + "\n" + `{"timestamp":5,"input_length":1,"output_length":1}`, nil, "f: some requests have hash_ids and some have none"},
		"not UTF-8":           {"TIMESTAMP,ContextTokens,GeneratedTokens,x\n1,2,3,\xff\n", nil, "f: line 2 is not UTF-8 (byte 0xff)"},
		"empty":               {"", nil, "f: the file is empty"},
		"header alone":        {"TIMESTAMP,ContextTokens,GeneratedTokens\n", nil, "f: the trace has no request"},
		"nothing left":        {azure2023, schema.Values{"from": time.Minute}, "f: none of the trace's first 2 requests lies between from and to and has tokens"},
		"truncated":           {gz(strings.Repeat(azure2023, 1))[:40], nil, "the gzip data ends early: the file is truncated"},
	} {
		if got := requests(t, c.file, c.values); !strings.Contains(got, c.err) {
			t.Errorf("%s: %s\nwant an error with\n%s", name, got, c.err)
		}
	}
	for attr, v := range map[string]schema.Values{
		"to": {"from": time.Minute, "to": time.Second, "block_tokens": int64(1)}, "block_tokens": {"block_tokens": int64(0)},
		"columns": {"block_tokens": int64(1), "columns": map[string]schema.Text{"time": schema.Plain("t")}},
	} {
		if p := checkTrace(v); len(p) != 1 || p[0].Attr != attr {
			t.Errorf("%s: %+v", attr, p)
		}
	}
}

// TestHashesAreSharedText: requests share text as far as their hashes are the same, in a
// cell; cells share nothing.
func TestHashesAreSharedText(t *testing.T) {
	s, err := read(plan.Dataset{Type: "trace", Values: schema.Values{"path": "f"}}, map[string]string{"f": mooncake + `{"timestamp": 4000, "input_length": 1300, "output_length": 1, "hash_ids": [0, 1, 2]}` + "\n"})
	if err != nil {
		t.Fatal(err)
	}
	text := func(salt uint64, i int64) string {
		all, err := s.play(play{ctx: t.Context(), seed: 1, salt: salt, server: words{}})
		if err != nil {
			t.Fatal(err)
		}
		c, err := all.script(i)
		if err != nil {
			t.Fatal(err)
		}
		return c.turns[0].user
	}
	for _, c := range []struct {
		saltA, saltB uint64
		a, b         int64
		tokens       int
	}{
		{2, 2, 0, 1, 1024}, // two whole blocks
		{2, 2, 0, 3, 1200}, // and the part of the third that the first has
		{2, 2, 0, 2, 0},
		{2, 3, 0, 0, 0},
	} {
		if n := len(splitWords(shared(text(c.saltA, c.a), text(c.saltB, c.b)))); n < c.tokens || n > c.tokens+2 {
			t.Errorf("requests %d and %d (salts %d, %d) share %d tokens, want %d", c.a, c.b, c.saltA, c.saltB, n, c.tokens)
		}
	}
}

func TestArrivalsThatRepeat(t *testing.T) {
	tr := &trace{at: []time.Duration{0, time.Second, 3 * time.Second}}
	for i, want := range map[int64]time.Duration{2: 3 * time.Second, 3: 4500 * time.Millisecond, 5: 7500 * time.Millisecond, 6: 9 * time.Second} {
		if at, ok := tr.arrival(i, true); !ok || at != want {
			t.Errorf("arrival %d at %s, want %s", i, at, want)
		}
	}
	if _, ok := tr.arrival(3, false); ok {
		t.Error("there is an arrival after the last")
	}
}
