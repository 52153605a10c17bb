package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/melbahja/goph"
	"golang.org/x/crypto/ssh"

	"sparkrun/targets"
)

// hop is a machine on the way to a node, the node itself as the last.
type hop struct {
	name     string // as it was written
	settings sshSettings
}

// maxHops bounds jump hosts that have jump hosts of their own.
const maxHops = 8

// hopsTo is the way to a host.
func hopsTo(ctx context.Context, o SSHOptions) ([]hop, error) {
	s, err := settingsOf(ctx, o.Lookup, o.Host)
	if err != nil {
		return nil, err
	}
	if o.Port != 0 {
		s.port = o.Port
	}
	if o.User != "" {
		s.user = o.User
	}
	if o.IdentityFile != "" {
		s.identityFiles = append([]string{o.IdentityFile}, s.identityFiles...)
	}
	if o.Jump != "" {
		s.proxyJump, s.proxyCommand = o.Jump, ""
	}
	if s.proxyJump == "none" {
		s.proxyJump = ""
	}
	return through(ctx, o.Lookup, hop{o.Host, s}, 0)
}

// through is the way to a hop: that to its jump hosts, and itself.
func through(ctx context.Context, lookup func(string) (string, bool), last hop, depth int) ([]hop, error) {
	switch {
	case last.settings.proxyCommand != "":
		return nil, fmt.Errorf("%s: ProxyCommand of ~/.ssh/config is not supported: write it as ProxyJump, or set jump or host of the node", last.name)
	case depth > maxHops:
		return nil, fmt.Errorf("%s: more than %d jump hosts: do they go in a circle?", last.name, maxHops)
	case last.settings.proxyJump == "":
		return []hop{last}, nil
	}
	var way []hop
	for i, word := range strings.Split(last.settings.proxyJump, ",") {
		s, name, err := jumpSettings(ctx, lookup, strings.TrimSpace(word))
		if err != nil {
			return nil, fmt.Errorf("jump host of %s: %w", last.name, err)
		}
		if i > 0 {
			s.proxyJump = "" // it is reached through the one before it
		}
		some, err := through(ctx, lookup, hop{name, s}, depth+1)
		if err != nil {
			return nil, err
		}
		way = append(way, some...)
	}
	return append(way, last), nil
}

// jumpSettings reads [user@]host[:port], or the same as ssh://….
func jumpSettings(ctx context.Context, lookup func(string) (string, bool), word string) (sshSettings, string, error) {
	host := strings.TrimSuffix(strings.TrimPrefix(word, "ssh://"), "/")
	as, port := "", 0
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		as, host = host[:i], host[i+1:]
	}
	if h, p, err := net.SplitHostPort(host); err == nil {
		if port, err = strconv.Atoi(p); err != nil {
			return sshSettings{}, "", fmt.Errorf("%q: write it as [user@]host[:port]", word)
		}
		host = h
	}
	s, err := settingsOf(ctx, lookup, strings.Trim(host, "[]"))
	if as != "" {
		s.user = as
	}
	if port != 0 {
		s.port = port
	}
	return s, host, err
}

// link is one connection to a node.
type link struct {
	client *goph.Client
	via    []*goph.Client // the jump hosts, the last one first
	dead   chan struct{}  // closed when it is of no use any more
	once   sync.Once
	why    error // set before dead is closed

	used  int // sessions open, guarded by SSH.mu
	limit int // sessions that it may have, guarded by SSH.mu

	ended sync.WaitGroup
}

// resolve finds the literal address of the first hop, once: a name that changes its mind
// (mDNS on a machine with several networks) would be two machines.
func (n *SSH) resolve(ctx context.Context, h hop) ([]string, error) {
	if net.ParseIP(h.settings.hostName) != nil {
		return []string{h.settings.hostName}, nil
	}
	found, err := net.DefaultResolver.LookupHost(ctx, h.settings.hostName)
	if err != nil {
		return nil, fmt.Errorf("%w: find its address: %w", targets.ErrUnreachable, err)
	}
	return found, nil
}

// dial opens a connection, through the jump hosts.
func (n *SSH) dial(ctx context.Context) (*link, error) {
	if n.hops == nil {
		hops, err := hopsTo(ctx, n.opts)
		if err != nil {
			return nil, err
		}
		n.hops = hops
	}
	var budget time.Duration
	for _, h := range n.hops {
		budget += h.settings.connect
	}
	ctx, cancel := context.WithTimeoutCause(ctx, budget, fmt.Errorf("%w: no answer within %s", targets.ErrUnreachable, budget))
	defer cancel()
	l := &link{dead: make(chan struct{}), limit: maxSessions}
	for i, h := range n.hops {
		conn, err := n.reach(ctx, l, i, h)
		if err == nil {
			var next *goph.Client
			if next, err = handshake(ctx, conn, h); err == nil {
				if l.client != nil {
					l.via = append([]*goph.Client{l.client}, l.via...)
				}
				l.client = next
				continue
			}
		}
		l.close(errClosed)
		what := "connect to " + h.name
		if i == len(n.hops)-1 {
			what = "connect to " + n.opts.Name
		}
		if h.settings.hostName != h.name || h.settings.port != 22 || n.opts.Name != h.name {
			what += " (" + h.settings.user + "@" + net.JoinHostPort(h.settings.hostName, strconv.Itoa(h.settings.port)) + ")"
		}
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	last := n.hops[len(n.hops)-1].settings
	l.ended.Go(func() {
		l.close(fmt.Errorf("%w: the connection broke: %w", targets.ErrUnreachable, waitError(l.client)))
	})
	l.ended.Go(func() { l.keepAlive(last.alive, last.aliveMax) })
	return l, nil
}

func waitError(c *goph.Client) error {
	if err := c.Wait(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return errors.New("the other side closed it")
}

// reach opens the TCP connection to a hop.
func (n *SSH) reach(ctx context.Context, l *link, i int, h hop) (net.Conn, error) {
	port := strconv.Itoa(h.settings.port)
	if i > 0 { // the hop before finds its name
		conn, err := l.client.DialContext(ctx, "tcp", net.JoinHostPort(h.settings.hostName, port))
		if err != nil {
			return nil, unreachable(ctx, err)
		}
		return conn, nil
	}
	if n.literal == "" {
		found, err := n.resolve(ctx, h)
		if err != nil {
			return nil, err
		}
		var errs []error
		for _, address := range found {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(address, port))
			if err == nil {
				n.literal = address
				return conn, nil
			}
			errs = append(errs, err)
		}
		return nil, unreachable(ctx, errors.Join(errs...))
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(n.literal, port))
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	return conn, nil
}

func unreachable(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if errors.Is(err, targets.ErrUnreachable) {
		return err
	}
	return fmt.Errorf("%w: %w", targets.ErrUnreachable, err)
}

// handshake proves who both sides are. A machine without memory accepts a connection and
// then says nothing, so the context cuts it.
func handshake(ctx context.Context, conn net.Conn, h hop) (*goph.Client, error) {
	keys, err := hostKeysFor(h.settings)
	if err != nil {
		conn.Close()
		return nil, err
	}
	who := loginFor(ctx, h.settings)
	defer who.Close()
	var refused error // of the host key: x/crypto gives its text only
	at := net.JoinHostPort(h.settings.hostName, strconv.Itoa(h.settings.port))
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	under := &ending{Conn: conn}
	c, channels, requests, err := ssh.NewClientConn(under, at, &ssh.ClientConfig{
		User: h.settings.user, Auth: who.auth(), HostKeyAlgorithms: keys.algorithms,
		HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			refused = keys.callback(host, remote, key)
			return refused
		},
	})
	if !stop() && err == nil { // it was cut just now
		err = context.Cause(ctx)
		c.Close()
	}
	switch {
	case err == nil:
		under.client.Store(&c)
		return &goph.Client{Client: ssh.NewClient(c, channels, requests), Config: &goph.Config{User: h.settings.user, Addr: h.settings.hostName, Port: uint(h.settings.port), Auth: who.auth()}}, nil
	case refused != nil:
		err = refused
	case strings.Contains(err.Error(), "unable to authenticate"):
		err = fmt.Errorf("%w of user %s: tried %s: check user and identity_file, or add the key to its ~/.ssh/authorized_keys", targets.ErrLogin, h.settings.user, strings.Join(who.tried, ", "))
	case strings.Contains(err.Error(), "no common algorithm for host key"):
		err = fmt.Errorf("%w: it has no host key of the kinds that known_hosts has for it (%s): add the others: ssh-keyscan -p %d %s >> %s", targets.ErrHostKey, strings.Join(keys.algorithms, ", "), h.settings.port, h.settings.hostName, first(h.settings.knownHosts))
	default:
		err = unreachable(ctx, err)
	}
	conn.Close()
	return nil, err
}

// keepAlive asks every so often whether the other side is there, and gives the connection
// up when it has not answered several times. Without it a frozen one is found by TCP alone:
// after a quarter of an hour, or never.
func (l *link) keepAlive(every time.Duration, most int) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-l.dead:
			return
		case <-tick.C:
		}
		answered := make(chan error, 1)
		l.ended.Go(func() {
			// A refusal is an answer too.
			_, _, err := l.client.SendRequest("keepalive@openssh.com", true, nil)
			answered <- err
		})
		limit := every * time.Duration(most)
		select {
		case <-answered: // an error means that it is closed, which Wait says
		case <-l.dead:
			return
		case <-time.After(limit):
			l.close(fmt.Errorf("%w: no answer for %s", targets.ErrUnreachable, every+limit))
			return
		}
	}
}

// close ends the connection and says why to those who use it.
func (l *link) close(why error) {
	l.once.Do(func() {
		l.why = why
		close(l.dead)
		if l.client != nil {
			l.client.Close()
		}
		for _, c := range l.via {
			c.Close()
		}
	})
}

func (l *link) alive() bool {
	select {
	case <-l.dead:
		return false
	default:
		return true
	}
}
