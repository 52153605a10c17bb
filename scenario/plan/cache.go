package plan

import (
	"fmt"
	"slices"
	"strings"
)

// The states that a server's prefix cache may have as a cell begins.
const (
	CacheCold   = "cold"
	CachePrimed = "primed"
	CacheAsIs   = "as_is"
)

// PrefixCacheOff reports whether the server is said to keep no prefixes: it is cold then,
// whatever it is sent.
func (s *Server) PrefixCacheOff() bool {
	for _, v := range []map[string]any{s.Values, s.Options} {
		if on, set := v["prefix_caching"].(bool); set && !on {
			return true
		}
	}
	return false
}

// Saltable reports whether a salt may be put in front of the cell's prompts: not where the
// scenario writes them itself, or wants the dataset's answers to them.
func (c *Cell) Saltable() bool {
	_, messages := c.Request.Body["messages"]
	_, prompt := c.Request.Body["prompt"]
	return !messages && !prompt && !c.Conversations.Verify
}

// NeedsFresh reports whether the cell wants a cold cache and its prompts take no salt: where
// the server can't be told to empty it, only a new start makes it cold.
func (c *Cell) NeedsFresh(s *Server) bool {
	return c.Cache == CacheCold && !s.PrefixCacheOff() && !c.Saltable()
}

// Primes is how many conversations a primed cell begins at most, -1 where its phases do
// not say.
func (c *Cell) Primes() int64 {
	sum := int64(0)
	for _, ph := range c.Phases {
		switch {
		case c.Search != nil:
			return -1
		case ph.Conversations > 0:
			sum += ph.Conversations
		case ph.Requests > 0:
			sum += ph.Requests
		default:
			return -1
		}
	}
	return sum
}

// cacheTexts are the different things that are done for the cells of a benchmark.
func (p *Plan) cacheTexts(benchmark string) []string {
	var all []string
	for i := range p.Cells {
		c := &p.Cells[i]
		if text := c.cacheText(p.server(c.Server)); c.Address.Benchmark == benchmark && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all
}

// cacheText says what is done about the server's prefix cache before the cell.
func (c *Cell) cacheText(s *Server) string {
	var steps []string
	switch {
	case c.Cache == CachePrimed && c.Primes() >= 0:
		return fmt.Sprintf("primed: the first turns of up to %s are sent once before, for one token", count(int(c.Primes()), "conversation"))
	case c.Cache == CachePrimed:
		return "primed: the first turns of all conversations of the dataset are sent once before, for one token"
	case c.Cache == CacheAsIs:
		return "as_is: nothing is done"
	case s.PrefixCacheOff():
		return "cold: the server keeps no prefixes"
	}
	if s.CacheReset != "" {
		steps = append(steps, "POST "+s.CacheReset)
	}
	switch {
	case c.Saltable():
		steps = append(steps, "a salt in front of the prompts")
	case s.URL == "":
		steps = append(steps, "a new start")
	}
	return "cold: " + strings.Join(steps, ", else ")
}
