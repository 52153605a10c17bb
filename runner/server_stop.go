package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sparkrun/runner/journal"
	"sparkrun/targets"
)

// portWait is how long a port may still be listened on after its server is gone.
const portWait = 5 * time.Second

// down stops a server that we started and proves that nothing of it is left. A server
// that does not run is none to stop.
func (r *run) down(ctx context.Context, srv *server) error {
	if srv.proc == nil {
		return nil
	}
	err := r.endServer(ctx, srv)
	if err != nil {
		r.mu.Lock()
		r.problems.cleanup = append(r.problems.cleanup, err.Error())
		r.mu.Unlock()
		return err
	}
	srv.proc = nil
	r.log(journal.Line{Type: journal.Removed, Kind: srv.kind(), Name: srv.session})
	return nil
}

func (r *run) endServer(ctx context.Context, srv *server) error {
	s := srv.plan
	survivors, err := srv.proc.Stop(ctx, s.Stop.Grace)
	if errors.Is(err, targets.ErrNoEngine) {
		return &Error{HostDocker, fmt.Errorf("stop %s: %w: %s", s.Address, err, srv.howToRemove())}
	}
	if err != nil {
		return &Error{TeardownStillThere, fmt.Errorf("stop %s: %w: %s", s.Address, err, srv.howToRemove())}
	}
	if len(survivors) > 0 {
		r.emit(Event{Type: EventLog, Level: "warn", Message: fmt.Sprintf("%s: killed what outlived its program: %s", s.Address, names(survivors))})
	}
	if err := portClosed(ctx, srv.node, srv.port); err != nil {
		return &Error{TeardownPortAnswers, fmt.Errorf("stop %s: %w", s.Address, err)}
	}
	return r.memoryBack(ctx, srv)
}

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
