package node

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/melbahja/goph"
	"golang.org/x/crypto/ssh"

	"sparkrun/targets"
	"sparkrun/targets/node/sshtest"
)

// late hands the end of a connection to its reader only when it is told to.
type late struct {
	net.Conn
	ended chan struct{} // closed when the end is there
	tell  chan struct{}
}

func (l *late) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if err != nil {
		close(l.ended)
		<-l.tell
	}
	return n, err
}

// TestNobodyAsksAtTheEnd: from before the library's reader hears of a connection's end on,
// who asks for a session is refused, and so there is no moment in which nobody is answered.
func TestNobodyAsksAtTheEnd(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	drop, served := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(served)
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		config := &ssh.ServerConfig{NoClientAuth: true}
		config.AddHostKey(signer)
		c, channels, requests, err := ssh.NewServerConn(conn, config)
		if err != nil {
			t.Error(err)
			return
		}
		go ssh.DiscardRequests(requests)
		<-drop
		c.Close()
		for range channels {
			t.Error("a session was asked for")
		}
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	under := &ending{Conn: raw}
	outer := &late{under, make(chan struct{}), make(chan struct{})}
	c, channels, requests, err := ssh.NewClientConn(outer, "", &ssh.ClientConfig{HostKeyCallback: ssh.InsecureIgnoreHostKey()})
	if err != nil {
		t.Fatal(err)
	}
	under.client.Store(&c)
	client := ssh.NewClient(c, channels, requests)
	close(drop)
	<-outer.ended
	answered := make(chan error, 1)
	go func() {
		_, err := client.NewSession()
		answered <- err
	}()
	select {
	case err := <-answered:
		if err == nil {
			t.Error("there is a session on a connection that has ended")
		}
	case <-time.After(patience):
		t.Error("who asks for a session is not answered")
	}
	close(outer.tell)
	_ = client.Wait()
	_ = client.Close()
	<-served
}

// silent is an SSH connection on which nobody is ever answered who asks for a session.
type silent struct {
	ssh.Conn
	asked, free chan struct{}
}

func (s *silent) OpenChannel(string, []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	close(s.asked)
	<-s.free
	return nil, nil, errors.New("never")
}

func (s *silent) Close() error { return nil }

// TestSessionOfAnEndedConnection: where the library does not answer one who asks for a
// session, the connection's end does. The session is had on the next one, or it is said why not.
func TestSessionOfAnEndedConnection(t *testing.T) {
	c := sshtest.NewClient(t)
	n := NewSSH(SSHOptions{Name: "spark1", Host: "127.0.0.1", Port: sshtest.FreePort(t), Lookup: c.Lookup})
	defer n.Close()
	conn := &silent{asked: make(chan struct{}), free: make(chan struct{})}
	defer close(conn.free)
	l := &link{client: &goph.Client{Client: &ssh.Client{Conn: conn}}, dead: make(chan struct{}), limit: maxSessions}
	n.links = []*link{l}
	got := make(chan error, 1)
	go func() {
		_, _, _, err := n.session(context.Background())
		got <- err
	}()
	<-conn.asked
	l.close(errors.New("the connection broke"))
	select {
	case err := <-got:
		var of *targets.NodeError
		if !errors.Is(err, targets.ErrUnreachable) || !errors.As(err, &of) {
			t.Errorf("port %s of nobody: %v", strconv.Itoa(n.opts.Port), err)
		}
	case <-time.After(patience):
		t.Fatal("the session is waited for although its connection has ended")
	}
}
