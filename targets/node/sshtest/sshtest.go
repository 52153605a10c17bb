// Package sshtest starts real SSH servers for tests: OpenSSH's sshd on loopback addresses,
// with host keys, configuration and home folders of their own. Only tests import it.
package sshtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Client is the user's side: a home folder with ~/.ssh.
type Client struct {
	Home string // absolute; set HOME to it
	Key  string // of the user, for every server of this client
	User string
}

// Server is a running sshd.
type Server struct {
	Name    string // the alias in the client's ~/.ssh/config
	Address string // loopback, as 127.0.0.2
	Port    int
	Home    string            // of the user, on the node
	Keys    map[string]string // type → file of the host key
	Client  *Client
	// Authorized is the file with the keys that may log in: the client's.
	Authorized string

	dir string
	cmd *exec.Cmd
}

// Options are what differs from one server to the next.
type Options struct {
	Config string   // lines for sshd_config
	SSH    string   // lines for the host's part of ~/.ssh/config
	Types  []string // of the host keys; default ed25519
	Home   string   // default: a folder of its own
}

// NewClient makes a home folder. The test is skipped where OpenSSH is not installed.
func NewClient(t testing.TB) *Client {
	t.Helper()
	for _, p := range []string{"/usr/sbin/sshd", "ssh-keygen", "ssh"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed: nodes over SSH are not tested (Debian: apt-get install openssh-server openssh-client)", p)
		}
	}
	if os.Geteuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	} else if _, err := os.Stat("/run/sshd"); err != nil {
		t.Skip("not root, and there is no /run/sshd, without which sshd does not start: nodes over SSH are not tested")
	}
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	who, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{Home: home, Key: filepath.Join(home, ".ssh", "id_ed25519"), User: who.Username}
	if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	c.Write(t, "config", "")
	c.Write(t, "known_hosts", "")
	Keygen(t, c.Key, "ed25519")
	return c
}

// Keygen makes a key pair.
func Keygen(t testing.TB, path, kind string) {
	t.Helper()
	args := []string{"-q", "-t", kind, "-N", "", "-f", path}
	if kind == "rsa" {
		args = append(args, "-b", "2048")
	}
	if out, err := exec.Command("ssh-keygen", args...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
}

// Path is a file of ~/.ssh.
func (c *Client) Path(name string) string { return filepath.Join(c.Home, ".ssh", name) }

// Write writes a file of ~/.ssh.
func (c *Client) Write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(c.Path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Append adds to a file of ~/.ssh.
func (c *Client) Append(t testing.TB, name, text string) {
	t.Helper()
	b, err := os.ReadFile(c.Path(name))
	if err != nil {
		t.Fatal(err)
	}
	c.Write(t, name, string(b)+text)
}

// Lookup is the environment with the client's home folder and no agent.
func (c *Client) Lookup(name string) (string, bool) {
	switch name {
	case "HOME":
		return c.Home, true
	case "SSH_AUTH_SOCK":
		return "", false
	}
	return os.LookupEnv(name)
}

// Start starts an sshd on an address and tells the client of it: an alias in ~/.ssh/config
// and its keys in known_hosts. It is stopped, with all its sessions, when the test ends.
func (c *Client) Start(t testing.TB, name, address string, o Options) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{Name: name, Address: address, Port: FreePort(t), Home: o.Home, Keys: map[string]string{}, Client: c, dir: dir}
	if s.Home == "" {
		s.Home = filepath.Join(dir, "home")
	}
	if len(o.Types) == 0 {
		o.Types = []string{"ed25519"}
	}
	if err := os.MkdirAll(s.Home, 0o700); err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	pub, err := os.ReadFile(c.Key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	s.Authorized = filepath.Join(dir, "authorized_keys")
	if err := os.WriteFile(s.Authorized, pub, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, kind := range o.Types {
		path := filepath.Join(dir, "host_"+kind)
		Keygen(t, path, kind)
		s.Keys[kind] = path
		fmt.Fprintf(&lines, "HostKey %s\n", path)
		c.Append(t, "known_hosts", s.Known(t, kind))
	}
	fmt.Fprintf(&lines, "%s\nListenAddress %s:%d\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nAuthorizedKeysFile %s\nSetEnv HOME=%s\nLogLevel VERBOSE\n", o.Config, address, s.Port, s.Authorized, s.Home)
	if err := os.WriteFile(filepath.Join(dir, "sshd_config"), []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Append(t, "config", fmt.Sprintf("Host %s\n  HostName %s\n  Port %d\n  User %s\n  IdentityFile %s\n  UserKnownHostsFile %s\n%s\n", name, address, s.Port, c.User, c.Key, c.Path("known_hosts"), o.SSH))
	s.Up(t)
	t.Cleanup(s.Kill)
	return s
}

// Known is the line of known_hosts for a host key of the server.
func (s *Server) Known(t testing.TB, kind string) string {
	t.Helper()
	pub, err := os.ReadFile(s.Keys[kind] + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(pub))
	return fmt.Sprintf("[%s]:%d %s %s\n", s.Address, s.Port, f[0], f[1])
}

// Up starts the sshd again after Kill.
func (s *Server) Up(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "sshd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(s.dir, "sshd_config"))
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.At())
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("sshd does not listen: %v\n%s", err, s.Log())
		}
	}
}

// At is its address with the port.
func (s *Server) At() string { return net.JoinHostPort(s.Address, strconv.Itoa(s.Port)) }

// Log is what the sshd has written.
func (s *Server) Log() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "sshd.log"))
	return string(b)
}

// Kill ends the sshd and the processes of its connections at once, as a crash does; what
// runs in its sessions is left alone.
func (s *Server) Kill() {
	s.Signal(syscall.SIGCONT)
	s.Signal(syscall.SIGKILL)
	_ = s.cmd.Wait()
}

// Drop ends the connections that there are and leaves the sshd.
func (s *Server) Drop() {
	for _, pid := range s.pids() {
		if pid != s.cmd.Process.Pid {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// Freeze stops it from answering anything, with all its connections open, as a machine
// does that is out of memory or off the network.
func (s *Server) Freeze() { s.Signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (s *Server) Thaw() { s.Signal(syscall.SIGCONT) }

// Cut has the kernel drop every packet to and from the sshd, as when a cable is pulled, until
// the returned function is called. false: it can't be had here (it takes root and iptables).
func (s *Server) Cut() (mend func(), ok bool) {
	rules := [][]string{
		{"INPUT", "-p", "tcp", "-d", s.Address, "--dport", strconv.Itoa(s.Port), "-j", "DROP"},
		{"INPUT", "-p", "tcp", "-s", s.Address, "--sport", strconv.Itoa(s.Port), "-j", "DROP"},
	}
	mend = func() {
		for _, r := range rules {
			_ = exec.Command("iptables", append([]string{"-w", "-D"}, r...)...).Run()
		}
	}
	for _, r := range rules {
		if err := exec.Command("iptables", append([]string{"-w", "-I"}, r...)...).Run(); err != nil {
			mend()
			return mend, false
		}
	}
	return mend, true
}

// Signal signals the sshd and the processes of its connections.
func (s *Server) Signal(sig syscall.Signal) {
	for _, pid := range s.pids() {
		_ = syscall.Kill(pid, sig)
	}
}

// Sessions is how many connections it has.
func (s *Server) Sessions() int { return max(0, len(s.pids())-1) }

// pids are those of the sshd and, below it, of its own name, the listener first.
func (s *Server) pids() []int {
	parents := map[int]int{}
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			continue
		}
		text := string(b)
		f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(p)))
		if name := text[strings.IndexByte(text, '(')+1 : strings.LastIndexByte(text, ')')]; strings.HasPrefix(name, "sshd") && f[0] != "Z" {
			parents[pid], _ = strconv.Atoi(f[1])
		}
	}
	out := []int{s.cmd.Process.Pid}
	for i := 0; i < len(out); i++ {
		for pid, parent := range parents {
			if parent == out[i] {
				out = append(out, pid)
			}
		}
	}
	return out
}

// FreePort is a port that nobody has at any address, and that nobody is given while the test
// runs: it is none of those that systems and runs give out, and a socket of UDP holds its number.
func FreePort(t testing.TB) int {
	t.Helper()
	for {
		port := 10000 + rand.IntN(10000)
		held, err := net.ListenPacket("udp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		if l, err := net.Listen("tcp", ":"+strconv.Itoa(port)); err == nil {
			l.Close()
			t.Cleanup(func() { held.Close() })
			return port
		}
		held.Close()
	}
}
