package framework

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
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

// hitCounters are the counters of prompt tokens found in the prefix cache: vLLM's, and
// SGLang's, whose parts (cache_source) are added up.
var hitCounters = []string{"vllm:prefix_cache_hits", "sglang:cached_tokens"}

// CacheHits is how many prompt tokens the server has found in its prefix cache since its
// start; false where it does not say.
func (f openAI) CacheHits(ctx context.Context, c *http.Client, ep targets.Endpoint) (tokens float64, ok bool) {
	if f.kind.CacheReset == "" {
		return 0, false // an engine whose counters are not known
	}
	b, status, err := fetch(ctx, c, ep, http.MethodGet, root(ep)+"/metrics")
	if err != nil || status != http.StatusOK {
		return 0, false
	}
	return hits(b)
}

// hits adds up the hit counters of a page in Prometheus' text format.
func hits(page []byte) (sum float64, ok bool) {
	lines := bufio.NewScanner(bytes.NewReader(page))
	for lines.Scan() {
		line := lines.Text()
		end := strings.IndexAny(line, "{ ")
		if end < 0 || !isHitCounter(strings.TrimSuffix(line[:end], "_total")) {
			continue
		}
		rest := line[end:]
		if i := strings.LastIndexByte(rest, '}'); i >= 0 {
			rest = rest[i+1:]
		}
		fields := strings.Fields(rest) // the value, and perhaps a time
		if len(fields) == 0 {
			continue
		}
		v, err := strconv.ParseFloat(fields[0], 64)
		if err != nil || v < 0 || math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		sum, ok = sum+v, true
	}
	return sum, ok
}

func isHitCounter(name string) bool {
	for _, known := range hitCounters {
		if name == known {
			return true
		}
	}
	return false
}

// root is a server's address without the API's version.
func root(ep targets.Endpoint) string { return strings.TrimSuffix(ep.URL, "/v1") }

// mostAnswer is how much of an answer is read.
const mostAnswer = 8 << 20

// fetch is one request without a body.
func fetch(ctx context.Context, c *http.Client, ep targets.Endpoint, method, url string) (body []byte, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, 0, err
	}
	authorize(req, ep)
	resp, err := c.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	return body, resp.StatusCode, err
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
