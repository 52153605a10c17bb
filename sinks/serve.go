package sinks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// Listen opens the address of a page or of metrics. A port alone (":8080", "8080") is that of this
// machine's own interface: what a run shows is for who runs it, unless an address says otherwise.
func Listen(addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host, port = "", addr
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w: give an address as 127.0.0.1:8080 that is free (:0 takes any)", addr, err)
	}
	return l, nil
}

// site answers HTTP until it is closed.
type site struct {
	listener net.Listener
	http     http.Server
	ended    chan error // nil: it does not serve yet
	closed   bool
}

func (s *site) serve(handler http.Handler) {
	s.ended = make(chan error, 1)
	s.http = http.Server{Handler: ownHost(s.listener, handler), ReadHeaderTimeout: 10 * time.Second}
	go func() { s.ended <- s.http.Serve(s.listener) }()
}

// ownHost refuses requests to a loopback address under another name: a page of the network
// that has its name point here would read what is served.
func ownHost(l net.Listener, next http.Handler) http.Handler {
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(strings.Trim(host, "[]")); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "this is not the host's name", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// closeGrace is how long answers under way may take when the run has ended.
const closeGrace = 2 * time.Second

// close may be called again.
func (s *site) close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if s.ended == nil {
		return s.listener.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		s.http.Close()
	}
	if err := <-s.ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
