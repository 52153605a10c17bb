package cli

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// callInit runs `sparkrun init ARGS --print`; what it is asked interrupts it where signals says so.
func callInit(signals chan os.Signal, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Run(&Env{
		Args: append([]string{"init", "--print"}, args...), Stdout: &out, Stderr: &errs, Signals: signals,
		Lookup: none, Now: time.Now,
	})
	return code, out.String(), errs.String()
}

func none(string) (string, bool) { return "", false }

const (
	answer  = `{"choices":[{}],"usage":{"prompt_tokens":5}}`
	refusal = `{"error":{"message":"no such thing"}}`
)

// TestInitURL: what engines say of themselves, and what the scenario gets of it.
func TestInitURL(t *testing.T) {
	for name, c := range map[string]struct {
		pages map[string]string // what is not there, or is refusal, is HTTP 404
		args  string
		want  []string
	}{
		// Answers of gpt-oss get four times their length: 256 + 4·64 = 512 tokens go into 600 − 128.
		"vllm": {map[string]string{
			"/v1/models":           `{"data":[{"id":"openai/gpt-oss-20b","owned_by":"vllm","max_model_len":600},{"id":"a\nb","owned_by":"vllm"}]}`,
			"/version":             `{"version":"0.11.1"}`,
			"/v1/chat/completions": answer,
		}, "", []string{
			`framework = "vllm"`, `model     = "openai/gpt-oss-20b"`, `version "0.11.1"; at most 600 tokens`, `other models "a\nb".`,
			`shape = "D(236,59)"`, `output  = "forced"`, `default     = [1, 4, 16]`, `api     = "chat"`,
		}},
		"vllm's other model": {map[string]string{
			"/v1/models":           `{"data":[{"id":"base","owned_by":"vllm","max_model_len":4096},{"id":"lora","owned_by":"vllm"}]}`,
			"/v1/chat/completions": answer,
		}, "--model lora", []string{`model     = "lora"`, `other models "base"`, `shape = "D(256,64)"`}},
		"llama.cpp": {map[string]string{
			"/v1/models":           `{"data":[{"id":"m","owned_by":"llamacpp","meta":{"n_ctx":2048}}]}`,
			"/props":               `{"default_generation_settings":{"n_ctx":2048},"total_slots":6,"build_info":"b1"}`,
			"/v1/chat/completions": answer,
		}, "", []string{`framework = "llamacpp"`, `at most 2048 tokens`, `6 requests at once`, `[1, 4, 6]`, `output  = "forced"`}},
		"sglang": {map[string]string{
			"/v1/models":           `{"data":[{"id":"m","owned_by":"sglang","max_model_len":32768}]}`,
			"/get_server_info":     `{"version":"0.5.5","max_running_requests":48}`,
			"/v1/chat/completions": answer,
		}, "single-turn", []string{`framework = "sglang"`, `[1, 4, 16, 48]`, "dataset.prompt_8k"}},
		"ollama": {map[string]string{
			"/v1/models":           `{"data":[{"id":"q:latest","owned_by":"library"}]}`,
			"/api/version":         `{"version":"0.12.9"}`,
			"/v1/chat/completions": answer,
		}, "", []string{`framework = "ollama"`, `output  = "natural"`}},
		"anything": {map[string]string{
			"/v1/models":           `{"data":[{"id":"m","owned_by":"system"}]}`,
			"/v1/chat/completions": answer,
		}, "", []string{`framework = "openai"`, `nothing of its version and limits`, `output  = "natural"`}},
		"a base model": {map[string]string{
			"/v1/models":      `{"data":[{"id":"m","owned_by":"vllm"}]}`,
			"/v1/completions": answer,
		}, "ci", []string{`api     = "completions"`}},
		"no list":      {map[string]string{"/v1/chat/completions": answer}, "--model m", []string{`model     = "m"`}},
		"no model":     {map[string]string{"/v1/models": `{"data":[]}`}, "", []string{"it lists no model: load one and try again, or name one with --model"}},
		"no text":      {map[string]string{"/v1/models": `{"data":[{"id":"embed"}]}`}, "", []string{`is "embed" a model that it has, and one that generates text? --model names another`}},
		"first is not": {map[string]string{"/v1/models": `{"data":[{"id":"embed"},{"id":"a"},{"id":"b"},{"id":"c"},{"id":"d"},{"id":"e"},{"id":"f"},{"id":"g"},{"id":"h"}]}`}, "", []string{`name another of its models with --model: "a", "b", "c", "d", "e", "f", 2 more`}},
		"loading":      {map[string]string{"/v1/models": "503"}, "", []string{"HTTP 503", "try again when it is ready"}},
		"no API":       {map[string]string{"/v1/models": "<html>"}, "", []string{"is this the address of an OpenAI API?"}},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			page, ok := c.pages[r.URL.Path]
			switch {
			case !ok:
				w.WriteHeader(http.StatusNotFound)
				page = refusal
			case page == "503":
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			fmt.Fprint(w, page)
		}))
		code, stdout, stderr := callInit(nil, append(strings.Fields(c.args), "--url", server.URL)...)
		server.Close()
		for _, want := range c.want {
			if !strings.Contains(stdout+stderr, want) {
				t.Errorf("%s: no %s in %s%s", name, want, stdout, stderr)
			}
		}
		var errs bytes.Buffer
		env := &Env{Args: []string{"validate", "-"}, Stdin: strings.NewReader(stdout), Stdout: io.Discard, Stderr: &errs, Lookup: none, StderrTerminal: func() int { return 0 }}
		if code == exitOK && Run(env) != exitOK {
			t.Errorf("%s: %s%s", name, errs.String(), stdout)
		}
		if (code == exitOK) != strings.Contains(stdout, server.URL) || strings.Contains(stdout, "\n\n\n") || strings.Contains(stdout, "api_key") {
			t.Errorf("%s: exit code %d, %s%s", name, code, stdout, stderr)
		}
	}
}

// A server that does not answer can be left.
func TestInitInterrupted(t *testing.T) {
	signals := make(chan os.Signal, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		signals <- os.Interrupt
		<-r.Context().Done()
	}))
	defer server.Close()
	if code, stdout, stderr := callInit(signals, "--url", server.URL); code != 130 || stdout != "" {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
}
