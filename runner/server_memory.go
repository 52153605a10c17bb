package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sparkrun/scenario/plan"
	"sparkrun/targets"
)

const (
	gib = 1 << 30
	// memorySlack is how much less memory than before the launch may be available after
	// the stop.
	memorySlack = 2 * gib
	// memoryWait is how long the memory of a stopped server may take to come back: engines
	// give it back after their exit, not with it.
	memoryWait = 60 * time.Second
	memoryPoll = 200 * time.Millisecond
	// watchEvery is how often a node's memory is looked at while a server runs.
	watchEvery = time.Second
)

// MemoryFloor is the memory that a node must have left: below it a machine with unified
// memory stops answering as a whole. 3 GiB, or 1/32 of a small machine.
func MemoryFloor(m targets.Memory) uint64 { return min(3*gib, m.Total/32) }

// memoryFree is the check before a launch.
func (r *run) memoryFree(ctx context.Context, node targets.Node, s *plan.Server, host string) error {
	m, err := node.Memory(ctx)
	if err != nil {
		return &Error{because(err, LaunchFailed), fmt.Errorf("check %s: %w", s.Address, err)}
	}
	if m.Total != 0 && m.Available < MemoryFloor(m) {
		return fail(PreflightMemory, "check %s: %s has %s of %s available, and %s must be left: end what holds it", s.Address, host, size(m.Available), size(m.Total), size(MemoryFloor(m)))
	}
	return nil
}

// shareFree is the check of an engine that refuses to start unless a share of the GPU's
// whole memory is free, where that is the machine's own: refused here, it costs no minutes.
func shareFree(facts targets.Facts, m targets.Memory, s *plan.Server, host string, share float64) error {
	claim := uint64(share * float64(m.Total))
	if !facts.UnifiedMemory() || m.Total == 0 || claim <= m.Available {
		return nil
	}
	return fail(PreflightMemory, "check %s: memory_fraction %v of the %s of %s is %s, and %s are available: the engine would refuse to start; end what holds the memory, or lower memory_fraction", s.Address, share, size(m.Total), host, size(claim), size(m.Available))
}

// missing is the memory that has not come back since before, in bytes. What other
// processes have taken since then is theirs.
func missing(before, now targets.Memory) uint64 {
	lost := int64(before.Available) - int64(now.Available)
	others := int64(now.Resident) - int64(before.Resident)
	return uint64(max(0, lost-max(0, others)))
}

// memoryBack waits until the memory of a stopped server's node is available again.
func (r *run) memoryBack(ctx context.Context, k *rank) error {
	ctx, cancel := context.WithTimeoutCause(ctx, memoryWait, errors.New("memory wait"))
	defer cancel()
	for {
		now, err := k.node.Memory(ctx)
		if err != nil {
			return &Error{because(err, TeardownMemory), fmt.Errorf("stop %s: %w", k, err)}
		}
		lost := missing(k.before, now)
		if lost <= memorySlack {
			return nil
		}
		select {
		case <-ctx.Done():
			return fail(TeardownMemory, "stop %s: it is gone, and %s of the memory of %s have not come back in %s (%s available, %s before the start): the next start may fail; a reboot gives it back", k.of, size(lost), k.host, memoryWait, size(now.Available), size(k.before.Available))
		case <-time.After(memoryPoll):
		}
	}
}

// watchMemory ends with an error once the node has less memory than it must.
// Of the ranks on it, what they have become is noted.
func (r *run) watchMemory(ctx context.Context, k *rank, ranks ...*rank) error {
	var asked time.Time
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		if len(ranks) > 0 && time.Since(asked) >= familyEvery {
			asked = time.Now()
			r.seeFamily(ctx, k.node, ranks)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		m, err := k.node.Memory(ctx)
		if err == nil {
			r.seeKills(k.host, m)
		}
		if err == nil && m.Total != 0 && m.Available < MemoryFloor(m) {
			return fail(HostMemoryLow, "%s: %s has %s of %s available: the server is stopped before the machine stops answering; give it less memory", k.of, k.host, size(m.Available), size(m.Total))
		}
	}
}

func size(b uint64) string { return fmt.Sprintf("%.1f GiB", float64(b)/gib) }
