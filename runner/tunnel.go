package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"sparkrun/targets"
)

// tunnel is a port of this machine that leads to one of a node through its connection.
type tunnel struct {
	listener net.Listener
	node     targets.Node
	to       string
	cancel   context.CancelFunc
	wait     sync.WaitGroup
}

// tunnelDial is how long a connection through the tunnel may take to be opened.
const tunnelDial = 30 * time.Second

// openTunnel listens on a port of this machine.
func openTunnel(node targets.Node, to string) (*tunnel, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a tunnel to %s: %w", to, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t := &tunnel{listener: l, node: node, to: to, cancel: cancel}
	t.wait.Go(func() {
		for {
			here, err := l.Accept()
			if err != nil {
				return // closed
			}
			t.wait.Go(func() { t.carry(ctx, here) })
		}
	})
	return t, nil
}

// address is where the tunnel begins.
func (t *tunnel) address() string { return t.listener.Addr().String() }

// carry copies both ways until both sides have said all they have to say.
func (t *tunnel) carry(ctx context.Context, here net.Conn) {
	defer here.Close()
	short, cancel := context.WithTimeout(ctx, tunnelDial)
	defer cancel()
	there, err := t.node.Dial(short, "tcp", t.to)
	if err != nil {
		return // the other side sees a connection that is closed at once
	}
	defer there.Close()
	stop := context.AfterFunc(ctx, func() { here.Close(); there.Close() })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { carryOne(there, here) })
	carryOne(here, there)
	both.Wait()
}

// carryOne copies one way, and passes the end on.
func carryOne(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	to.Close()
	from.Close()
}

// close ends the tunnel and all that goes through it.
func (t *tunnel) close() error {
	err := t.listener.Close()
	t.cancel()
	t.wait.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
