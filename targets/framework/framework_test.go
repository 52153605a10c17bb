package framework

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

func TestReady(t *testing.T) {
	for name, c := range map[string]struct {
		models, model string
		chat, plain   int
		want, message string
		refused       bool
	}{
		"the only model":       {models: `["m"]`, chat: 200, want: "m"},
		"no chat template":     {models: `["m"]`, chat: 400, plain: 200, want: "m"},
		"the model asked for":  {models: `["a","b"]`, model: "b", chat: 200, want: "b"},
		"two models":           {models: `["a","b"]`, chat: 200, refused: true, message: "set model to one of a, b"},
		"none yet":             {models: `[]`, chat: 200, message: "lists no model"},
		"wrong key":            {models: `["m"]`, chat: 401, plain: 401, refused: true, message: "HTTP 401 Unauthorized: no"},
		"still loading":        {models: `["m"]`, chat: 503, message: "503"},
		"model does not exist": {models: `["m"]`, model: "x", chat: 404, plain: 404, refused: true, message: "it serves m, not \"x\""},
		"another tag":          {models: `["m:latest"]`, model: "m", chat: 200, want: "m"},
	} {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
			var ids []string
			_ = json.Unmarshal([]byte(c.models), &ids)
			var data []map[string]string
			for _, id := range ids {
				data = append(data, map[string]string{"id": id})
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
		})
		serve := func(code int) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(code)
				if code == 200 {
					fmt.Fprint(w, `{"choices":[{}],"usage":{"prompt_tokens":7}}`)
					return
				}
				fmt.Fprint(w, `{"error":{"message":"no"}}`)
			}
		}
		mux.HandleFunc("POST /v1/chat/completions", serve(c.chat))
		mux.HandleFunc("POST /v1/completions", serve(max(c.plain, 200)))
		h := httptest.NewServer(mux)
		f, _ := ByName("openai")
		got, err := f.Ready(t.Context(), h.Client(), targets.Endpoint{URL: h.URL + "/v1", Model: c.model})
		h.Close()
		switch {
		case c.message == "" && (err != nil || got != c.want):
			t.Errorf("%s: %q, %v", name, got, err)
		case c.message != "" && (err == nil || !strings.Contains(err.Error(), c.message)):
			t.Errorf("%s: error %v, want one with %q", name, err, c.message)
		case c.message != "" && errors.As(err, new(*targets.Refused)) != c.refused:
			t.Errorf("%s: refused is %v", name, !c.refused)
		}
	}
}

func TestPieces(t *testing.T) {
	for name, reply := range map[string]string{
		"plain":         `{"tokens":[1,2],"token_strs":["a"," b"]}`,
		"byte level":    `{"tokens":[1,2],"token_strs":["a","Ġb"]}`,
		"sentencepiece": `{"tokens":[1,2],"token_strs":["a","▁b"]}`,
		"llama.cpp":     `{"tokens":[{"id":1,"piece":"a"},{"id":2,"piece":[32,98]}]}`,
	} {
		h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/tokenize" {
				t.Errorf("asked at %s", r.URL.Path)
			}
			fmt.Fprint(w, reply)
		}))
		got, err := Tokenizer{Client: h.Client(), Endpoint: targets.Endpoint{URL: h.URL + "/v1"}}.Pieces(t.Context(), "a b")
		h.Close()
		if err != nil || !slices.Equal(got, []string{"a", " b"}) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestCount(t *testing.T) {
	for reply, want := range map[string]int{`{"tokens":[1,2],"count":2,"max_model_len":8}`: 2, `{"tokens":[1,2,3]}`: 3, `{"tokens":[]}`: 0, `{}`: -1} {
		h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var ask map[string]any
			if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || ask["prompt"] != "a b" || ask["add_special_tokens"] != false {
				t.Errorf("asked %v, %v", ask, err)
			}
			fmt.Fprint(w, reply)
		}))
		got, err := Tokenizer{Client: h.Client(), Endpoint: targets.Endpoint{URL: h.URL + "/v1"}}.Count(t.Context(), "a b")
		h.Close()
		if want >= 0 && (err != nil || got != want) || want < 0 && err == nil {
			t.Errorf("%s: %d, %v", reply, got, err)
		}
	}
}

func TestLaunchSim(t *testing.T) {
	f, _ := ByName("sim")
	l, err := f.Launch(plan.Server{Options: schema.Values{"ttft": schema.Plain("x"), "seed": int64(3)}}, targets.LaunchInput{Self: "/bin/sparkrun", Port: 8000})
	if err != nil || strings.Join(l[0].Argv, " ") != "/bin/sparkrun sim --port 8000 --ttft=x --seed=3 --exit-on-stdin-close" || !l[0].Lifeline {
		t.Errorf("%v, %v", l, err)
	}
}

// The end of gpt-oss's turn may not be passed where vLLM parses it.
func TestHeadroom(t *testing.T) {
	for call, want := range map[[3]string]int64{
		{"vllm", "openai/gpt-oss-20b", "chat"}: 4, {"vllm", "/models/GPT-OSS-120b", "chat"}: 4,
		{"vllm", "openai/gpt-oss-20b", "completions"}: 1, {"vllm", "Qwen/Qwen3-8B", "chat"}: 1,
		{"llamacpp", "ggml-org/gpt-oss-20b-GGUF", "chat"}: 1, {"sim", "gpt-oss", "chat"}: 1,
	} {
		if got := Headroom(call[0], call[1], call[2]); got != want {
			t.Errorf("%v: %d, want %d", call, got, want)
		}
	}
	if f := ForcedFields("vllm", 20, 80); f["min_tokens"] != 20 || f["ignore_eos"] != false {
		t.Errorf("with headroom: %v", f)
	}
}
