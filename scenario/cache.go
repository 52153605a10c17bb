package scenario

import (
	"slices"

	"sparkrun/scenario/plan"
)

// checkCache reports a state of the prefix cache that can't be had.
func (m *cellMaker) checkCache(c *plan.Cell) {
	i := slices.IndexFunc(m.plan.Servers, func(s plan.Server) bool { return s.Address == c.Server })
	if i < 0 {
		return
	}
	at := m.block.DefRange()
	if a, set := m.block.Body.Attributes["cache"]; set {
		at = a.Expr.Range()
	}
	s := &m.plan.Servers[i]
	switch {
	case c.Cache == plan.CachePrimed && s.PrefixCacheOff():
		m.errorf(at, "Cache that is switched off", "cache is primed, and %s has prefix_caching = false: nothing would be kept. Leave one of them out.", s.Address)
	case c.Cache == plan.CachePrimed && c.Primes() < 0 && m.endless(c.Dataset):
		m.errorf(at, "Nobody knows what to prime", "cache is primed: the first turn of each conversation is sent once before. %s is endless, and a phase does not say how many it takes: set conversations in the dataset, or requests or conversations in every phase.", c.Dataset)
	case c.Cache == plan.CacheCold && s.URL != "" && !c.Saltable() && !s.PrefixCacheOff() && s.CacheReset == "":
		m.errorf(at, "Cache that can't be made cold", "cache is cold, and %s, which sparkrun does not start, has no call that empties its cache; a salt can't be put in front of prompts that body or verify want as they are. Set cache = \"as_is\".", s.Address)
	}
}

// endless reports whether a dataset goes on for ever.
func (m *cellMaker) endless(dataset string) bool {
	return slices.ContainsFunc(m.plan.Datasets, func(d plan.Dataset) bool {
		return d.Address == dataset && d.Type == "synthetic" && d.Values.Int("conversations") == 0
	})
}
