package framework

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"sparkrun/targets"
)

// asked is a page on which an engine says what it is: where its version is, and what else
// of it is worth knowing, as dotted paths into its JSON.
type asked struct {
	path    string
	version string
	facts   []string
}

// says are the pages of the frameworks; /version is everybody else's.
var says = map[string][]asked{
	"sglang": {{"/get_server_info", "version", []string{
		"context_length", "max_running_requests", "max_total_num_tokens", "mem_fraction_static", "chunked_prefill_size", "kv_cache_dtype",
		"quantization", "attention_backend", "tp_size", "dp_size", "ep_size", "disable_radix_cache", "disable_cuda_graph",
	}}},
	"llamacpp": {{"/props", "build_info", []string{"total_slots", "default_generation_settings.n_ctx", "model_path", "model_ftype"}}},
	"ollama":   {{"/api/version", "version", nil}},
}

// unknown are the pages of an engine of which nothing is known.
var unknown = []asked{{"/version", "version", nil}, {"/props", "build_info", []string{"total_slots", "default_generation_settings.n_ctx", "model_path", "model_ftype"}}}

// modelFacts are what /v1/models may say of a model: vLLM's and SGLang's, llama.cpp's.
var modelFacts = []string{"root", "max_model_len", "meta.n_ctx", "meta.n_params", "meta.size", "meta.ftype"}

// Identify asks a server what it is. A page that is not there is left out.
func (f openAI) Identify(ctx context.Context, c *http.Client, ep targets.Endpoint) targets.Identity {
	id := targets.Identity{Says: map[string]string{}}
	pages, known := says[f.kind.Name]
	switch {
	case known:
	case f.kind.Name == "openai" || f.kind.Name == "command":
		pages = unknown
	default:
		pages = unknown[:1]
	}
	for _, p := range pages {
		page, ok := object(ctx, c, ep, root(ep)+p.path)
		if !ok {
			continue
		}
		if id.Version == "" {
			id.Version = plainText(at(page, p.version))
		}
		note(id.Says, page, p.facts)
	}
	if list, ok := object(ctx, c, ep, ep.URL+"/models"); ok {
		models, _ := list["data"].([]any)
		for _, m := range models {
			if model, is := m.(map[string]any); is && serves([]string{plainText(model["id"])}, ep.Model) {
				note(id.Says, model, modelFacts)
			}
		}
	}
	return id
}

// Model is a model that a server lists.
type Model struct {
	ID    string `json:"id"`
	Owner string `json:"owned_by"`
}

// owners are the engines by what each has as the owner of all models that it lists.
var owners = map[string]string{
	"vllm": "vllm", "sglang": "sglang", "tensorrt_llm": "trtllm", "llamacpp": "llamacpp", "library": "ollama", "sparkrun": "sim",
}

// Framework is that of the engine that lists the model, "openai" where it cannot be told.
func (m Model) Framework() string {
	if f, ok := owners[m.Owner]; ok {
		return f
	}
	return "openai"
}

// Models asks a server which models it has, in its order.
func Models(ctx context.Context, c *http.Client, ep targets.Endpoint) ([]Model, error) {
	var list struct {
		Data []Model `json:"data"`
	}
	err := call(ctx, c, ep, http.MethodGet, ep.URL+"/models", nil, &list)
	return list.Data, err
}

// note puts what an object has at dotted paths into says, under the last word of each.
func note(says map[string]string, page map[string]any, paths []string) {
	for _, path := range paths {
		if v := plainText(at(page, path)); v != "" {
			says[path[strings.LastIndexByte(path, '.')+1:]] = v
		}
	}
}

// object asks for a page that is a JSON object.
func object(ctx context.Context, c *http.Client, ep targets.Endpoint, url string) (map[string]any, bool) {
	b, status, err := fetch(ctx, c, ep, http.MethodGet, url)
	if err != nil || status != http.StatusOK {
		return nil, false
	}
	var page map[string]any
	return page, json.Unmarshal(b, &page) == nil && page != nil
}

// at is what an object has at a dotted path, nil for nothing.
func at(page map[string]any, path string) any {
	words := strings.Split(path, ".")
	for _, w := range words[:len(words)-1] {
		page, _ = page[w].(map[string]any)
	}
	return page[words[len(words)-1]]
}

// mostText bounds what is kept of a text that a server says.
const mostText = 200

// plainText prints a JSON value that is no list and no object; "" for others.
func plainText(v any) string {
	switch x := v.(type) {
	case string:
		return x[:min(len(x), mostText)]
	case bool:
		return strconv.FormatBool(x)
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return ""
}
