package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"sparkrun/runner/journal"
	"sparkrun/scenario/plan"
	"sparkrun/targets"
)

// portWait is how long a port may still be listened on after its server is gone.
const portWait = 5 * time.Second

// down stops a server that we started and proves that nothing of it is left on any node.
// A server that does not run is none to stop.
func (r *run) down(ctx context.Context, srv *server) error {
	defer srv.letGo()
	all := srv.started()
	errs := make([]error, len(all))
	each := func(what func(int, *rank)) {
		var wait sync.WaitGroup
		for i, k := range all {
			wait.Go(func() { what(i, k) })
		}
		wait.Wait()
	}
	each(func(i int, k *rank) { errs[i] = r.endRank(ctx, srv.plan, k) })
	// Only once all are gone: two may have shared a node.
	each(func(i int, k *rank) {
		if errs[i] == nil {
			errs[i] = r.memoryBack(ctx, k)
		}
	})
	for i, k := range all {
		if errs[i] != nil {
			r.mu.Lock()
			r.problems.cleanup = append(r.problems.cleanup, errs[i].Error())
			r.mu.Unlock()
			continue
		}
		k.proc = nil
		r.log(journal.Line{Type: journal.Removed, Kind: k.kind(), Name: k.name})
	}
	return errors.Join(errs...)
}

// endRank stops one program of a server.
func (r *run) endRank(ctx context.Context, s *plan.Server, k *rank) error {
	survivors, err := k.proc.Stop(ctx, s.Stop.Grace)
	if k.tunnel != nil {
		err = errors.Join(err, k.tunnel.close())
	}
	if reason := because(err, ""); reason != "" {
		return &Error{reason, fmt.Errorf("stop %s: %s may still hold up to %s: %w: %s", k, k.host, size(k.holds()), err, k.howToRemove())}
	}
	if errors.Is(err, targets.ErrNoEngine) {
		return &Error{HostDocker, fmt.Errorf("stop %s: %w: %s", k, err, k.howToRemove())}
	}
	if err != nil {
		return &Error{TeardownStillThere, fmt.Errorf("stop %s: %w: %s", k, err, k.howToRemove())}
	}
	if len(survivors) > 0 {
		r.emit(Event{Type: EventLog, Level: "warn", Message: fmt.Sprintf("%s: killed what outlived its program: %s", k, names(survivors))})
	}
	if k.port == 0 {
		return nil
	}
	if err := portClosed(ctx, k.node, k.port); err != nil {
		return &Error{because(err, TeardownPortAnswers), fmt.Errorf("stop %s: %w", k, err)}
	}
	return nil
}

// holds is the most memory that a rank can have taken: what was available before it.
func (k *rank) holds() uint64 { return k.before.Available }

// portClosed waits until nobody listens on a port.
func portClosed(ctx context.Context, node targets.Node, port int) error {
	for deadline := time.Now().Add(portWait); ; {
		l, err := node.Listener(ctx, port)
		switch {
		case err != nil:
			return err
		case l == nil:
			return nil
		case time.Now().After(deadline) || ctx.Err() != nil:
			return fmt.Errorf("its program is gone, and port %d is listened on by %s (pid %d): a child of it may have survived", port, l.Name, l.Pid)
		}
		time.Sleep(readyPoll)
	}
}

// names lists processes as "VLLM::EngineCor (pid 12), …".
func names(all []targets.Process) string {
	var out []string
	for _, p := range all {
		out = append(out, fmt.Sprintf("%s (pid %d)", p.Name, p.Pid))
	}
	return strings.Join(out, ", ")
}
