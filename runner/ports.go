package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
)

// The ports of servers, and those that ranks use among themselves: below those that systems
// give out by themselves, and not the usual ones of engines.
const (
	firstPort = 20000
	lastPort  = 29999
	portTries = 50
)

// freePorts is the first of n ports in a row that nobody listens on on the ranks' nodes. A server
// may take minutes until it listens: no other run on this machine is given them until letGo.
func (srv *server) freePorts(ctx context.Context, ranks []*rank, n int) (int, error) {
	for range portTries {
		first := firstPort + rand.IntN(lastPort-firstPort+2-n)
		held, err := hold(first, n)
		free := err == nil
		for _, k := range ranks {
			for port := first; port < first+n && free; port++ {
				who, err := k.node.Listener(ctx, port)
				if err != nil {
					return 0, errors.Join(fmt.Errorf("find a free port: %w", err), held.Close())
				}
				free = who == nil
			}
		}
		if free {
			srv.held = append(srv.held, held)
			return first, nil
		}
		held.Close()
	}
	return 0, fmt.Errorf("find %d free ports: %d tries have found none", n, portTries)
}

// letGo gives the ports of a server that is stopped to whoever wants them.
func (srv *server) letGo() {
	for _, h := range srv.held {
		h.Close()
	}
	srv.held = nil
}

// numbers are port numbers that a run holds: by sockets of UDP, which no engine uses and which
// go with the process.
type numbers []io.Closer

// hold takes n numbers; an error says that another has one of them. The result is to be closed
// either way.
func hold(first, n int) (held numbers, err error) {
	for port := first; port < first+n && err == nil; port++ {
		var c net.PacketConn
		if c, err = net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			held = append(held, c)
		}
	}
	return held, err
}

// Close lets them go.
func (h numbers) Close() (err error) {
	for _, c := range h {
		err = errors.Join(err, c.Close())
	}
	return err
}
