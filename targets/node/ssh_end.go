package node

import (
	"net"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
)

// ending is a connection under an SSH client, whose end stops who writes before who reads.
//
// The library answers all who wait for a channel when its reader ends, and from a moment
// later on lets nobody ask for one. Who asks in that moment is never answered: a goroutine of
// the library stays for ever (mux.loop and handshakeTransport.readLoop of x/crypto/ssh). A
// write that fails lets nobody ask either, so one is made before the reader hears of the end.
// In the midst of an exchange of keys, or where the other side ends it by a message, that
// moment is left.
type ending struct {
	net.Conn
	client atomic.Pointer[ssh.Conn] // nil until both sides have proved who they are
}

// Read reads, and at the end does the failing write.
func (e *ending) Read(b []byte) (int, error) {
	n, err := e.Conn.Read(b)
	if c := e.client.Load(); err != nil && c != nil {
		e.Close() // no write succeeds, and none waits for a frozen network
		_, _, _ = (*c).SendRequest("keepalive@openssh.com", false, nil)
	}
	return n, err
}
