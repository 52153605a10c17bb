package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"sparkrun/runner/table"
)

// What vLLM's multi-turn benchmark does with an explicit file of conversations, one client,
// fixed lengths and no warm-up, is worked by hand here: the requests that it sends, and the
// rows and workbook that its formulas give.

const parityConversations = `[
  {"id": "c1", "messages": [
    {"role": "user", "content": "Name three rivers."}, {"role": "assistant", "content": "Rhine, Rhone, Ebro."},
    {"role": "user", "content": "Which is longest?"}, {"role": "assistant", "content": "The Rhine."}]},
  {"id": "c2", "messages": [
    {"role": "user", "content": "Say \"hi\" & <bye>."}, {"role": "assistant", "content": "hi"}]},
  {"id": "c3", "messages": [
    {"role": "user", "content": "Count."}, {"role": "assistant", "content": "One."},
    {"role": "user", "content": "On."}, {"role": "assistant", "content": "Two."},
    {"role": "user", "content": "More."}, {"role": "assistant", "content": "Three."}]}
]`

const parityScenario = `
variable "url" {
  type = string
}
variable "clients" {
  type = number
}
server "openai" {
  url = var.url
}
dataset "conversations" {
  path = "conversations.json"
}
benchmark "chat" {
  server  = server.openai
  dataset = dataset.conversations
  cache   = "as_is" # the tool sends the texts as they are
  seed    = 0
  phase "steady" {
    conversations = 3
    concurrency   = var.clients
  }
  request {
    temperature = 0
    seed        = 0
    output      = "forced"
    min_tokens  = 8
    max_tokens  = 8
  }
}
sink "excel" {
  compat = "seed"
}
sink "console" {
  compat = "seed"
}
sink "conversations" {
  path = "answers.json"
}
`

// chunk is an event of a scripted answer. tokens is the server's count so far, with it.
type chunk struct {
	kind   string // "role", "reasoning" or "content"
	text   string
	tokens int
}

// parityAnswers are what the scripted server says to the last user's message.
var parityAnswers = map[string][]chunk{
	"Name three rivers.":  {{"role", "", 0}, {"content", "A, B, C", 3}, {"content", ", D", 5}, {"content", "!", 8}}, // three tokens in the first chunk
	"Which is longest?":   {{"role", "", 0}, {"reasoning", "hm", 2}, {"content", "A", 3}, {"content", ".", 8}},      // two tokens of reasoning
	"Say \"hi\" & <bye>.": {{"content", "hi & <bye>", 8}},                                                           // a single chunk
	"Count.":              {{"content", "1", 1}, {"content", "…", 8}},
	"On.":                 {{"role", "", 0}, {"content", "2", 1}, {"content", "…", 8}},
	"More.":               {{"content", "3", 2}, {"content", "…", 8}},
}

func said(prompt string) (text string) {
	for _, c := range parityAnswers[prompt] {
		if c.kind == "content" {
			text += c.text
		}
	}
	return text
}

// parityRow is what a request's row in the workbook hangs on, by its prompt: messages in
// it, visible tokens, chunks after the first, tokens in the first.
var parityRows = []struct {
	prompt, id               string
	turn, n, chunks, inFirst int
}{
	{"Name three rivers.", "c1", 0, 8, 2, 3},
	{"Which is longest?", "c1", 1, 6, 1, 1},
	{"Say \"hi\" & <bye>.", "c2", 0, 8, 0, 8},
	{"Count.", "c3", 0, 8, 1, 1},
	{"On.", "c3", 1, 8, 1, 1},
	{"More.", "c3", 2, 8, 1, 2},
}

// scripted answers from parityAnswers and keeps the bodies of streamed requests.
type scripted struct {
	mu     sync.Mutex
	bodies []string
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path == "/v1/models" {
		fmt.Fprint(w, `{"object":"list","data":[{"id":"m","object":"model"}]}`)
		return
	}
	b, _ := io.ReadAll(req.Body)
	var body struct {
		Stream   bool `json:"stream"`
		Messages []struct{ Content string }
	}
	if req.URL.Path != "/v1/chat/completions" || json.Unmarshal(b, &body) != nil {
		http.NotFound(w, req)
		return
	}
	if !body.Stream {
		fmt.Fprint(w, `{"choices":[{"message":{"role":"assistant","content":"a"},"finish_reason":"length"}],"usage":{"prompt_tokens":5,"completion_tokens":1}}`)
		return
	}
	s.mu.Lock()
	s.bodies = append(s.bodies, string(b))
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	prompt, tokens := 10*len(body.Messages), 0
	for _, c := range parityAnswers[body.Messages[len(body.Messages)-1].Content] {
		delta := map[string]string{"content": c.text}
		switch c.kind {
		case "role":
			delta["role"] = "assistant"
		case "reasoning":
			delta = map[string]string{"reasoning_content": c.text}
		}
		tokens = c.tokens
		event, _ := json.Marshal(map[string]any{
			"choices": []any{map[string]any{"index": 0, "delta": delta}},
			"usage":   map[string]int{"prompt_tokens": prompt, "completion_tokens": tokens},
		})
		time.Sleep(3 * time.Millisecond)
		fmt.Fprintf(w, "data: %s\n\n", event)
		w.(http.Flusher).Flush()
	}
	reasoning := 0
	if body.Messages[len(body.Messages)-1].Content == "Which is longest?" {
		reasoning = 2
	}
	time.Sleep(3 * time.Millisecond)
	fmt.Fprint(w, `data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`+"\n\n")
	fmt.Fprintf(w, `data: {"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"completion_tokens_details":{"reasoning_tokens":%d}}}`+"\n\ndata: [DONE]\n\n", prompt, tokens, reasoning)
}

// parity runs the scenario with so many clients and returns the run's folder and the bodies.
func parity(t *testing.T, clients int) (dir, stdout string, bodies []string) {
	t.Helper()
	server := &scripted{}
	web := httptest.NewServer(server)
	defer web.Close()
	work := t.TempDir()
	for name, text := range map[string]string{"conversations.json": parityConversations, "s.hcl": parityScenario} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sparkrun", "apply", "s.hcl", "--run-id", "one", "--var", "url="+web.URL, "--var", "clients="+strconv.Itoa(clients))
	cmd.Dir = work
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	return filepath.Join(work, "results", "s", "one"), string(out), server.bodies
}

// wantBodies are the requests in the order in which one client sends them: conversation
// after conversation, the server's own answers in the history.
func wantBodies() []any {
	var list []any
	var conversations []struct {
		Messages []struct{ Role, Content string }
	}
	if err := json.Unmarshal([]byte(parityConversations), &conversations); err != nil {
		panic(err)
	}
	for _, c := range conversations {
		var messages []any
		for _, m := range c.Messages {
			if m.Role == "assistant" {
				continue
			}
			messages = append(messages, map[string]any{"role": "user", "content": m.Content})
			list = append(list, map[string]any{
				"model": "m", "messages": slices.Clone(messages), "stream": true, "stream_options": map[string]any{"include_usage": true},
				"temperature": 0.0, "seed": 0.0, "min_tokens": 8.0, "max_tokens": 8.0, "ignore_eos": true,
			})
			messages = append(messages, map[string]any{"role": "assistant", "content": said(m.Content)})
		}
	}
	return list
}

func decodeAll(t *testing.T, bodies []string) []any {
	t.Helper()
	var list []any
	for _, b := range bodies {
		var v any
		if err := json.Unmarshal([]byte(b), &v); err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}

func TestSeedParityOfOneClient(t *testing.T) {
	t.Parallel()
	dir, stdout, bodies := parity(t, 1)
	got, want := decodeAll(t, bodies), wantBodies()
	if len(got) != len(want) {
		t.Fatalf("%d requests, want %d", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("request %d is\n%v\nwant\n%v", i, got[i], want[i])
		}
	}
	rows := readTable(t, filepath.Join(dir, "requests", "1.parquet"))
	books, _ := filepath.Glob(filepath.Join(dir, "statistics_1_clients__*.xlsx"))
	if len(books) != 1 || len(rows) != len(parityRows) {
		t.Fatalf("%d rows, workbooks %v", len(rows), books)
	}
	book, err := excelize.OpenFile(books[0])
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	sheet, err := book.GetRows("Raw data", excelize.Options{RawCellValue: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range parityRows {
		r := rows[i]
		input := 10 * (2*w.turn + 1)
		if r["conversation_id"] != w.id || r["turn"] != float64(w.turn) || r["input_tokens"] != float64(input) || r["output_tokens"] != 8.0 || r["asked_min_tokens"] != 8.0 {
			t.Errorf("row %d: %v", i, r)
		}
		ms := func(name string) float64 { return (r[name].(float64) - r["sent_ns"].(float64)) / 1e6 }
		latency, ttft, tpot := ms("stream_end_ns"), ms("first_output_ns"), 0.0
		if w.n > w.inFirst {
			tpot = (latency - ttft) / float64(w.n-w.inFirst)
		}
		if w.inFirst > 1 {
			ttft = max(0.1, ttft-float64(w.inFirst-1)*tpot)
		}
		start, cached := r["sent_ns"].(float64)/1e6, 0.0
		if w.turn > 0 { // the request before: its prompt and its 8 tokens
			cached = 100 * float64(10*(2*w.turn-1)+8) / float64(input)
		}
		for j, want := range []any{ttft, tpot, latency, start, 2*w.turn + 1, input, w.n, w.chunks, w.inFirst, cached, w.id, 0, start + latency} {
			if text, ok := want.(string); ok {
				if sheet[i+1][j] != text {
					t.Errorf("%s: %s is %s, want %s", w.prompt, sheet[0][j], sheet[i+1][j], text)
				}
				continue
			}
			number, _ := strconv.ParseFloat(fmt.Sprint(want), 64)
			if got, err := strconv.ParseFloat(sheet[i+1][j], 64); err != nil || math.Abs(got-number) > 1e-6 {
				t.Errorf("%s: %s is %s, want %v", w.prompt, sheet[0][j], sheet[i+1][j], want)
			}
		}
	}
	console := strings.Join(strings.Fields(stdout), " ")
	for _, line := range []string{"model=m num_clients=1 num_conversations=3 active_conversations=None seed=0 min_tokens=8 max_tokens=8 ", "Statistics summary: runtime_sec = ", "output_num_tokens 6.0 7.67 0.82 6.00 8.00 8.00 8.00 8.00 8.00 "} {
		if !strings.Contains(console, line) {
			t.Errorf("the console lacks %q:\n%s", line, stdout)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "answers.json"))
	if err != nil {
		t.Fatal(err)
	}
	want2 := strings.NewReplacer(`Rhine, Rhone, Ebro.`, said("Name three rivers."), `The Rhine.`, said("Which is longest?"),
		`"content": "hi"`, `"content": "`+said("Say \"hi\" & <bye>.")+`"`, "One.", said("Count."), "Two.", said("On."), "Three.", said("More.")).Replace(parityConversations)
	if got, want := decodeAll(t, []string{string(b)}), decodeAll(t, []string{want2}); !reflect.DeepEqual(got, want) {
		t.Errorf("answers.json has\n%v\nwant\n%v", got, want)
	}
}

// TestSeedParityOfFourClients: who sends what is a race in that tool; the set is the same.
func TestSeedParityOfFourClients(t *testing.T) {
	t.Parallel()
	_, _, bodies := parity(t, 4)
	key := func(v any) string { return fmt.Sprint(v) }
	var got, want []string
	for _, v := range decodeAll(t, bodies) {
		got = append(got, key(v))
	}
	for _, v := range wantBodies() {
		want = append(want, key(v))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("requests\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// readTable reads a Parquet file; numbers are float64, as of JSON.
func readTable(t *testing.T, path string) (rows []map[string]any) {
	t.Helper()
	in, err := table.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	columns := in.Columns()
	err = in.Rows(func(values []table.Value) error {
		row := map[string]any{}
		for i, c := range columns {
			row[c.Name] = values[i].Any(c.Type)
			if n, ok := row[c.Name].(int64); ok {
				row[c.Name] = float64(n)
			}
		}
		rows = append(rows, row)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
