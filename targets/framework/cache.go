package framework

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"sparkrun/targets"
	"sparkrun/targets/wire"
)

// ResetCache asks the server to empty its prefix cache. vLLM answers 200 and says in the
// body that it did not, SGLang 400, while requests are under way.
func (f openAI) ResetCache(ctx context.Context, c *http.Client, ep targets.Endpoint) error {
	if f.kind.CacheReset == "" {
		return &targets.Refused{Err: fmt.Errorf("%s has no call that empties its prefix cache", f.kind.Name)}
	}
	b, status, err := fetch(ctx, c, ep, http.MethodPost, root(ep)+f.kind.CacheReset)
	if err != nil {
		return err
	}
	if status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusUnauthorized || status == http.StatusForbidden {
		return &targets.Refused{Err: fmt.Errorf("POST %s: HTTP %d: the server has no such call (vLLM has it with VLLM_SERVER_DEV_MODE=1), or not for us", f.kind.CacheReset, status)}
	}
	if status != http.StatusOK {
		return fmt.Errorf("POST %s: HTTP %d: %s", f.kind.CacheReset, status, wire.ErrorMessage(b))
	}
	var said struct {
		Success *bool `json:"success"`
	}
	if json.Unmarshal(b, &said) == nil && said.Success != nil && !*said.Success {
		return fmt.Errorf("POST %s: the server answers that it did not succeed", f.kind.CacheReset)
	}
	return nil
}

// root is a server's address without the API's version.
func root(ep targets.Endpoint) string { return strings.TrimSuffix(ep.URL, "/v1") }

// mostAnswer is how much of an answer is read.
const mostAnswer = 8 << 20

// fetch is one request without a body, and its answer.
func fetch(ctx context.Context, c *http.Client, ep targets.Endpoint, method, url string) (body []byte, status int, err error) {
	resp, err := send(ctx, c, ep, method, url)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	return body, resp.StatusCode, err
}

// send sends a request without a body.
func send(ctx context.Context, c *http.Client, ep targets.Endpoint, method, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	authorize(req, ep)
	return c.Do(req)
}

// authorize puts the server's key and headers into a request.
func authorize(req *http.Request, ep targets.Endpoint) {
	if k := ep.Key.Reveal(); k != "" {
		req.Header.Set("Authorization", "Bearer "+k)
	}
	for k, v := range ep.Headers {
		req.Header.Set(k, v.Reveal())
	}
}
