package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/melbahja/goph"
	"golang.org/x/crypto/ssh"

	"sparkrun/targets"
)

// SSHOptions are how a node is reached.
type SSHOptions struct {
	Name         string // of the node, for errors
	Host         string // address, or an alias of ~/.ssh/config
	Port         int    // 0: the SSH client's
	User         string // "": the SSH client's
	IdentityFile string // a key to try first
	Jump         string // "": the SSH client's
	Lookup       func(string) (string, bool)
	Self         string // path of this program, which writes the logs of what runs there
	// Origin names this machine. It is part of all marks on the node, so that two machines
	// that use it leave each other's servers alone.
	Origin string
}

// SSH is a machine that is reached over SSH. It needs Linux with /proc, a POSIX sh, the
// coreutils, grep and sed: what runs there is sh alone, so that a laptop of any architecture
// can use a node of any other.
//
// It keeps its connection alive and opens a new one when it breaks: calls wait for that, up
// to the time after which a silent node counts as gone. Programs that were started go on
// meanwhile.
type SSH struct {
	opts SSHOptions

	dialing sync.Mutex // one connection is opened at a time
	hops    []hop      // guarded by dialing
	literal string     // the address that the first hop was found at, guarded by dialing

	mu     sync.Mutex
	links  []*link
	freed  chan struct{} // closed and made anew when a session or a link ends
	was    bool          // there has been a connection
	failed error         // of the last try to connect; nil once there is a connection
	closed bool

	basics basics // guarded by mu; zero until asked for

	watching sync.WaitGroup // what follows processes
}

var _ targets.Remote = (*SSH)(nil)

// NewSSH is a node; it connects when it is first used.
func NewSSH(o SSHOptions) *SSH { return &SSH{opts: o, freed: make(chan struct{})} }

const (
	// maxSessions is how many sessions a connection has at most: sshd allows 10.
	maxSessions = 8
	// maxLinks is how many connections there may be, where one has too few sessions.
	maxLinks = 8
	// callLimit is how long a call of ours may take on the node, runLimit a program that is
	// run to its end.
	callLimit = 30 * time.Second
	runLimit  = 10 * time.Minute
)

var errClosed = errors.New("the node is closed")

// fault says of an error that the node itself is to blame where it is.
func (n *SSH) fault(err error) error {
	if known := (*targets.NodeError)(nil); err == nil || errors.As(err, &known) {
		return err
	}
	for _, cause := range []error{targets.ErrUnreachable, targets.ErrHostKey, targets.ErrLogin, targets.ErrDiskFull} {
		if errors.Is(err, cause) {
			return &targets.NodeError{Node: n.opts.Name, Err: err}
		}
	}
	return err
}

// Patience is how long a node that was there may be away until it counts as gone.
func (n *SSH) Patience() time.Duration {
	n.dialing.Lock()
	defer n.dialing.Unlock()
	if len(n.hops) == 0 {
		return 2 * defaultAlive * defaultAliveMax
	}
	s := n.hops[len(n.hops)-1].settings
	return 2 * s.alive * time.Duration(s.aliveMax)
}

// Address is the literal address at which the node was found, for its servers' ports.
// Through a jump host it is the node's own name, if it is known here.
func (n *SSH) Address() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	if _, err := n.link(ctx); err != nil {
		return "", err
	}
	n.dialing.Lock()
	defer n.dialing.Unlock()
	if len(n.hops) == 1 {
		return n.literal, nil
	}
	found, err := n.resolve(ctx, n.hops[len(n.hops)-1])
	if err != nil {
		return "", fmt.Errorf("%s is behind a jump host: set access = \"ssh_tunnel\" in its node block: %w", n.opts.Name, err)
	}
	return found[0], nil
}

// Lost is why the node can't be reached now, nil if it can or nobody has tried.
func (n *SSH) Lost() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fault(n.failed)
}

// link is a connection that is alive, opened if there is none.
func (n *SSH) link(ctx context.Context) (*link, error) {
	l, err := n.take(ctx, 0)
	return l, err
}

// take is a connection with room for so many sessions more, which it reserves. Where a
// connection that was there is gone, it is tried anew until patience is at its end.
func (n *SSH) take(ctx context.Context, sessions int) (*link, error) {
	l, err := n.wait(ctx, sessions)
	return l, n.fault(err)
}

func (n *SSH) wait(ctx context.Context, sessions int) (*link, error) {
	wait := 250 * time.Millisecond
	var since time.Time
	for {
		n.mu.Lock()
		freed, was := n.freed, n.was // before it is looked for: one that is freed meanwhile is not missed
		n.mu.Unlock()
		l, full, err := n.free(sessions)
		if l != nil || err != nil {
			return l, err
		}
		if full {
			select {
			case <-freed:
				continue
			case <-ctx.Done():
				return nil, fmt.Errorf("wait for an SSH session of %s: %w (it allows few: raise MaxSessions in its sshd_config)", n.opts.Name, context.Cause(ctx))
			}
		}
		err = n.open(ctx, sessions)
		n.mu.Lock()
		n.failed = err
		n.mu.Unlock()
		if err == nil {
			continue
		}
		if since.IsZero() {
			since = time.Now()
		}
		if !was || !errors.Is(err, targets.ErrUnreachable) || time.Since(since) > n.Patience() {
			n.mu.Lock()
			n.was = false // the next call does not wait as long again
			n.mu.Unlock()
			return nil, err
		}
		select {
		case <-time.After(wait):
			wait = min(2*wait, 4*time.Second)
		case <-ctx.Done():
			return nil, err
		}
	}
}

// free reserves sessions on a connection that has room; full says that there may be no
// more connections.
func (n *SSH) free(sessions int) (_ *link, full bool, _ error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, false, errClosed
	}
	n.prune()
	for _, l := range n.links {
		if l.used+sessions <= l.limit {
			l.used += sessions
			return l, false, nil
		}
	}
	return nil, len(n.links) >= maxLinks, nil
}

// prune forgets the connections that are gone.
func (n *SSH) prune() {
	var alive []*link
	for _, l := range n.links {
		if l.alive() {
			alive = append(alive, l)
		}
	}
	n.links = alive
}

// open opens a connection, unless somebody else has just done so.
func (n *SSH) open(ctx context.Context, sessions int) error {
	n.dialing.Lock()
	defer n.dialing.Unlock()
	n.mu.Lock()
	n.prune()
	for _, l := range n.links {
		if l.used+sessions <= l.limit {
			n.mu.Unlock()
			return nil
		}
	}
	n.mu.Unlock()
	l, err := n.dial(ctx)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		l.close(errClosed)
		l.ended.Wait()
		return errClosed
	}
	n.links, n.was = append(n.links, l), true
	return nil
}

// give returns a session.
func (n *SSH) give(l *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l.used--
	close(n.freed)
	n.freed = make(chan struct{})
}

// session opens a session. The caller ends it with the returned function.
func (n *SSH) session(ctx context.Context) (*goph.Cmd, *link, func(), error) {
	begun := time.Now()
	for {
		l, err := n.take(ctx, 1)
		if err != nil {
			return nil, nil, nil, err
		}
		type opened struct {
			cmd *goph.Cmd
			err error
		}
		got := make(chan opened, 1)
		go func() { // not one of l.ended: see l.dead below
			cmd, err := l.client.Command(bootstrap)
			got <- opened{cmd, err}
		}()
		select {
		case o := <-got:
			if o.err == nil {
				var once sync.Once
				return o.cmd, l, func() { once.Do(func() { o.cmd.Close(); n.give(l) }) }, nil
			}
			n.give(l)
			if err := n.fewer(ctx, l, o.err, begun); err != nil {
				return nil, nil, nil, n.fault(err)
			}
		case <-l.dead:
			// An answer may never come to one who asks while the connection's end is being
			// noticed (see ending). take opens another, or says why.
			n.give(l)
		case <-ctx.Done():
			l.ended.Go(func() { // it may be opened yet
				defer n.give(l)
				select {
				case o := <-got:
					if o.err == nil {
						o.cmd.Close()
					}
				case <-l.dead:
				}
			})
			return nil, nil, nil, n.fault(fmt.Errorf("open a session on %s: %w", n.opts.Name, context.Cause(ctx)))
		}
	}
}

// refusedWait is how long a node may refuse a session while it has none of ours: it frees
// one only when the processes of the last have been reaped.
const refusedWait = 5 * time.Second

// fewer learns from a session that the node would not open that it allows fewer; nil says
// to try again. since is when the first was refused.
func (n *SSH) fewer(ctx context.Context, l *link, err error, since time.Time) error {
	var refused *ssh.OpenChannelError
	if !errors.As(err, &refused) { // it is breaking just now; take opens another, or says why
		l.close(fmt.Errorf("%w: the connection broke: %w", targets.ErrUnreachable, err))
		return nil
	}
	n.mu.Lock()
	used := l.used
	l.limit = max(1, min(l.limit, used))
	n.mu.Unlock()
	if used > 0 {
		return nil
	}
	if time.Since(since) > refusedWait {
		return fmt.Errorf("open a session on %s: %w: its sshd allows none (%s): raise MaxSessions in its sshd_config", n.opts.Name, targets.ErrLogin, refused.Message)
	}
	select {
	case <-time.After(50 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("open a session on %s: %w", n.opts.Name, context.Cause(ctx))
	}
}

// Dial connects to an address as the node sees it: the engine's socket, a port.
func (n *SSH) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, callLimit, fmt.Errorf("%w: no answer within %s", targets.ErrUnreachable, callLimit))
	defer cancel()
	l, err := n.link(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := l.client.DialContext(ctx, network, address)
	if err != nil {
		if !l.alive() {
			err = l.why
		}
		return nil, n.fault(fmt.Errorf("connect to %s on %s: %w", address, n.opts.Name, err))
	}
	return conn, nil
}

// Close ends the connections, and what follows programs; the programs are left to their
// lease.
func (n *SSH) Close() error {
	n.mu.Lock()
	n.closed = true
	links := n.links
	n.links = nil
	n.mu.Unlock()
	for _, l := range links {
		l.close(errClosed)
	}
	n.watching.Wait()
	for _, l := range links {
		l.ended.Wait()
	}
	return nil
}

// hashOf names something of ours on the node.
func hashOf(words ...string) string {
	h := sha256.New()
	for _, w := range words {
		fmt.Fprintf(h, "%d:%s", len(w), w)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
