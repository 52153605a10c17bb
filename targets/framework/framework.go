package framework

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
	"sparkrun/targets/wire"
)

// Kinds are all frameworks.
func Kinds() []schema.Kind {
	var kinds []schema.Kind
	for _, f := range frameworks {
		kinds = append(kinds, f.Kind())
	}
	return kinds
}

// ByName returns a framework.
func ByName(name string) (targets.Framework, bool) {
	i := slices.IndexFunc(frameworks, func(f openAI) bool { return f.kind.Name == name })
	if i < 0 {
		return nil, false
	}
	return frameworks[i], true
}

// ForcedFields are the fields of a request that make a framework's answer so long.
func ForcedFields(name string, least, most int) map[string]any {
	switch name {
	case "llamacpp":
		if least > 0 {
			return map[string]any{"ignore_eos": true}
		}
	case "ollama": // has no such field
	default:
		if least > 0 {
			return map[string]any{"min_tokens": least, "ignore_eos": least == most}
		}
	}
	return nil
}

// Headroom is how many times as long as wanted a forced answer may become, 1 where it has
// exactly that length. gpt-oss ends its turn with a token of its own; vLLM's chat endpoint
// reads the turn with openai_harmony, which takes nothing after it, so that ignore_eos turns
// into HTTP 500 (vllm#50690: 65 % of the requests of a benchmark). min_tokens keeps the end
// away until then, and the turn needs room to come to its end.
func Headroom(name, model, api string) int64 {
	if name == "vllm" && api == "chat" && strings.Contains(strings.ToLower(model), "gpt-oss") {
		return harmonyHeadroom
	}
	return 1
}

// harmonyHeadroom is what runs of gpt-oss-20b on a DGX Spark were made with.
const harmonyHeadroom = 4

// openAI is a framework with the OpenAI API; kind says which.
type openAI struct {
	kind   schema.Kind
	launch launchFunc
	pulls  bool // it lists other models while it pulls the one that is wanted
}

// launchFunc is a framework's Launch.
type launchFunc func(s plan.Server, in targets.LaunchInput) ([]targets.Launch, error)

// frameworks are all that there are; each registers itself in its own file.
var frameworks []openAI

func register(f openAI) {
	frameworks = append(frameworks, f)
	slices.SortFunc(frameworks, func(a, b openAI) int { return strings.Compare(a.kind.Name, b.kind.Name) })
}

func init() {
	register(openAI{kind: schema.Kind{Name: "openai", Doc: "Any server with the OpenAI API that is running already; needs url.", Options: []schema.Attr{}, Check: needsURL}})
}

func needsURL(v schema.Values) []schema.Problem {
	if v.String("url") != "" {
		return nil
	}
	return []schema.Problem{{Summary: "Server without url", Detail: `A server of framework "openai" is one that is running already: set url = "http://HOST:PORT/v1", or name the framework that is to be started.`}}
}

func (f openAI) Kind() schema.Kind { return f.kind }

func (f openAI) Launch(s plan.Server, in targets.LaunchInput) ([]targets.Launch, error) {
	if f.launch == nil {
		return nil, fmt.Errorf("%s is one that is running already: set url", f.kind.Name)
	}
	return f.launch(s, in)
}

// Ready asks for the models, then for one token.
func (f openAI) Ready(ctx context.Context, c *http.Client, ep targets.Endpoint) (string, error) {
	model, err := pickModel(ctx, c, ep)
	if wrong := (*targets.Refused)(nil); f.pulls && errors.As(err, &wrong) && wrong.WrongModel {
		return "", wrong.Err
	}
	if err != nil {
		return "", err
	}
	ep.Model = model
	_, err = Generates(ctx, c, ep)
	return model, err
}

// Generates asks for one token, and returns by which API, "chat" or "completions", the
// server gave it: a base model has no chat template.
func Generates(ctx context.Context, c *http.Client, ep targets.Endpoint) (api string, err error) {
	_, err = promptTokens(ctx, c, ep, "chat", "Hi")
	if errors.As(err, new(*targets.Refused)) {
		if _, other := promptTokens(ctx, c, ep, "completions", "Hi"); other == nil {
			return "completions", nil
		}
	}
	return "chat", err
}

// pickModel is the model to ask for: the one of the scenario, or the only one served.
func pickModel(ctx context.Context, c *http.Client, ep targets.Endpoint) (string, error) {
	list, err := Models(ctx, c, ep)
	if err != nil {
		if ep.Model != "" && errors.As(err, new(*targets.Refused)) {
			return ep.Model, nil // not every server lists; the one-token request decides
		}
		return "", err
	}
	var ids []string
	for _, m := range list {
		ids = append(ids, m.ID)
	}
	switch {
	case ep.Model != "" && serves(ids, ep.Model):
		return ep.Model, nil
	case ep.Model != "" && len(ids) > 0:
		return "", &targets.Refused{WrongModel: true, Err: fmt.Errorf("it serves %s, not %q: set model, or served_name, to what it serves, or start the right server", strings.Join(ids, ", "), ep.Model)}
	case ep.Model != "":
		return ep.Model, nil // its list says nothing; the one-token request decides
	case len(ids) == 1:
		return ids[0], nil
	case len(ids) == 0:
		return "", errors.New("it lists no model yet")
	}
	return "", &targets.Refused{Err: fmt.Errorf("it serves %d models: set model to one of %s", len(ids), strings.Join(ids, ", "))}
}

// serves reports whether a model is among those listed. Ollama lists "name:latest" for
// what may be called "name".
func serves(ids []string, model string) bool {
	return slices.Contains(ids, model) || slices.Contains(ids, model+":latest")
}

// promptTokens asks for one token and returns how many the server counted in the prompt.
func promptTokens(ctx context.Context, c *http.Client, ep targets.Endpoint, api, text string) (int, error) {
	body := map[string]any{"model": ep.Model, "max_tokens": 1, "stream": false}
	path := "/completions"
	if api == "chat" {
		path = "/chat/completions"
		body["messages"] = []any{map[string]string{"role": "user", "content": text}}
	} else {
		body["prompt"] = text
	}
	var out struct {
		Choices []json.RawMessage `json:"choices"`
		Usage   struct {
			Prompt int `json:"prompt_tokens"`
		} `json:"usage"`
	}
	if err := call(ctx, c, ep, http.MethodPost, ep.URL+path, body, &out); err != nil {
		return 0, err
	}
	if len(out.Choices) == 0 {
		return 0, errors.New("its answer to a one-token request has no choice")
	}
	return out.Usage.Prompt, nil
}

// passing are the answers of a server that is not ready, or of a proxy before it.
var passing = []int{
	http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
	http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

// call does one small JSON request. What waiting can't heal comes back as Refused.
func call(ctx context.Context, c *http.Client, ep targets.Endpoint, method, url string, body, into any) error {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = strings.NewReader(string(b))
	}
	req, err := http.NewRequestWithContext(ctx, method, url, in)
	if err != nil {
		return &targets.Refused{Err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	authorize(req, ep)
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, url, err)
	}
	switch {
	case slices.Contains(passing, resp.StatusCode):
		return fmt.Errorf("%s %s: HTTP %s: %s", method, url, resp.Status, wire.ErrorMessage(b))
	case resp.StatusCode != http.StatusOK:
		key := resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden
		return &targets.Refused{Key: key, Err: fmt.Errorf("%s %s: HTTP %s: %s", method, url, resp.Status, wire.ErrorMessage(b))}
	}
	if err := json.Unmarshal(b, into); err != nil {
		return &targets.Refused{Err: fmt.Errorf("%s %s: the answer is not the API's JSON: %w", method, url, err)}
	}
	return nil
}
