package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sparkrun/targets"
	"sparkrun/targets/node/sshtest"
)

// reaches says whether a node can be used, and with which error it can't.
func reaches(t *testing.T, n *SSH) error {
	t.Helper()
	_, err := n.Run(t.Context(), targets.Cmd{Argv: []string{"true"}})
	return err
}

// TestSSHHostKeys: whichever keys known_hosts has, hashed or not; an unknown or changed
// one is refused with the line to run.
func TestSSHHostKeys(t *testing.T) {
	t.Parallel()
	c := sshtest.NewClient(t)
	kinds := []string{"rsa", "ecdsa", "ed25519"}
	s := c.Start(t, "spark1", "127.0.0.2", sshtest.Options{Types: kinds})
	hosts := c.Path("known_hosts")
	for _, kind := range kinds {
		c.Write(t, "known_hosts", s.Known(t, kind))
		if err := reaches(t, nodeOf(t, s, SSHOptions{})); err != nil {
			t.Errorf("only %s is known: %v", kind, err)
		}
		if out, err := exec.Command("ssh-keygen", "-H", "-f", hosts).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if b, _ := os.ReadFile(hosts); !strings.HasPrefix(string(b), "|1|") {
			t.Fatalf("not hashed: %s", b)
		}
		if err := reaches(t, nodeOf(t, s, SSHOptions{})); err != nil {
			t.Errorf("only %s is known, hashed: %v", kind, err)
		}
	}
	c.Write(t, "known_hosts", "")
	err := reaches(t, nodeOf(t, s, SSHOptions{}))
	if line := "ssh-keyscan -p " + strconv.Itoa(s.Port) + " 127.0.0.2 >> " + hosts; !errors.Is(err, targets.ErrHostKey) || !strings.Contains(err.Error(), line) {
		t.Errorf("unknown: %v, want %s", err, line)
	}
	if out, err := exec.Command("sh", "-c", "ssh-keyscan -p "+strconv.Itoa(s.Port)+" 127.0.0.2 >> "+hosts).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := reaches(t, nodeOf(t, s, SSHOptions{})); err != nil {
		t.Errorf("after that line: %v", err)
	}
	// Another key of the same kind: the file has that of another host.
	other := filepath.Join(t.TempDir(), "k")
	for _, kind := range kinds {
		sshtest.Keygen(t, other+kind, kind)
		s.Keys[kind+" of another"] = other + kind
		c.Write(t, "known_hosts", s.Known(t, kind+" of another"))
		err := reaches(t, nodeOf(t, s, SSHOptions{}))
		if !errors.Is(err, targets.ErrHostKey) || !strings.Contains(err.Error(), "ssh-keygen -f "+hosts+" -R '[127.0.0.2]:"+strconv.Itoa(s.Port)+"'") || !strings.Contains(err.Error(), "known_hosts:1") {
			t.Errorf("changed %s: %v", kind, err)
		}
	}
	c.Write(t, "known_hosts", "@revoked "+s.Known(t, "ed25519"))
	if err := reaches(t, nodeOf(t, s, SSHOptions{})); !errors.Is(err, targets.ErrHostKey) {
		t.Errorf("revoked: %v", err)
	}
	c.Write(t, "known_hosts", "")
	c.Append(t, "config", "Host *\n  StrictHostKeyChecking accept-new\n")
	if err := reaches(t, nodeOf(t, s, SSHOptions{})); err != nil {
		t.Errorf("accept-new: %v", err)
	}
	if b, _ := os.ReadFile(hosts); !strings.HasPrefix(string(b), "[127.0.0.2]:") {
		t.Errorf("accept-new remembers %q", b)
	}
}

// TestSSHLogin: keys that are refused, users that are not there, keys that are locked.
func TestSSHLogin(t *testing.T) {
	t.Parallel()
	c := sshtest.NewClient(t)
	s := c.Start(t, "spark1", "127.0.0.2", sshtest.Options{})
	if err := reaches(t, nodeOf(t, s, SSHOptions{User: "nobody-of-this-name"})); !errors.Is(err, targets.ErrLogin) || !strings.Contains(err.Error(), "of user nobody-of-this-name") {
		t.Errorf("wrong user: %v", err)
	}
	other := c.Path("other")
	sshtest.Keygen(t, other, "ed25519")
	if err := reaches(t, nodeOf(t, s, SSHOptions{IdentityFile: other})); err != nil {
		t.Errorf("a wrong key first: %v", err)
	}
	if out, err := exec.Command("ssh-keygen", "-q", "-p", "-f", c.Key, "-N", "secret words").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := reaches(t, nodeOf(t, s, SSHOptions{})); !errors.Is(err, targets.ErrLogin) || !strings.Contains(err.Error(), "ssh-add "+c.Key) {
		t.Errorf("a locked key: %v", err)
	}
	if err := os.Remove(c.Key); err != nil {
		t.Fatal(err)
	}
	if err := reaches(t, nodeOf(t, s, SSHOptions{})); !errors.Is(err, targets.ErrLogin) || !strings.Contains(err.Error(), "there is no key") {
		t.Errorf("no key: %v", err)
	}
	if err := reaches(t, nodeOf(t, s, SSHOptions{IdentityFile: other})); !errors.Is(err, targets.ErrLogin) || !strings.Contains(err.Error(), "tried "+other) {
		t.Errorf("a wrong key: %v", err)
	}
}

// TestSSHAgentAndJump: the key is in an agent alone, the node behind another.
func TestSSHAgentAndJump(t *testing.T) {
	t.Parallel()
	c := sshtest.NewClient(t)
	gate := c.Start(t, "gate", "127.0.0.3", sshtest.Options{})
	s := c.Start(t, "spark1", "127.0.0.2", sshtest.Options{SSH: "  ProxyJump gate\n"})
	n := nodeOf(t, s, SSHOptions{})
	if err := reaches(t, n); err != nil {
		t.Fatal(err)
	}
	if gate.Sessions() == 0 {
		t.Error("it did not go through the jump host")
	}
	gate.Drop()
	if err := reaches(t, nodeOf(t, s, SSHOptions{Jump: "none"})); err != nil || gate.Sessions() > 0 {
		t.Errorf("directly: %v, %d sessions of the jump host", err, gate.Sessions())
	}
	socket := filepath.Join(t.TempDir(), "agent")
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := agent.Start(); err != nil {
		t.Skipf("no ssh-agent: %v", err)
	}
	t.Cleanup(func() { _ = agent.Process.Kill(); _ = agent.Wait() })
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			break
		}
	}
	add := exec.Command("ssh-add", "-q", c.Key)
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Remove(c.Key); err != nil {
		t.Fatal(err)
	}
	o := SSHOptions{Name: "spark1", Host: "spark1", Origin: "test", Lookup: func(name string) (string, bool) {
		if name == "SSH_AUTH_SOCK" {
			return socket, true
		}
		return c.Lookup(name)
	}}
	held := NewSSH(o)
	defer held.Close()
	if err := reaches(t, held); err != nil {
		t.Errorf("with the agent: %v", err)
	}
}

// TestSSHSilent: a machine that accepts connections and says nothing, and one that is not
// there, are errors within the time to connect.
func TestSSHSilent(t *testing.T) {
	t.Parallel()
	c := sshtest.NewClient(t)
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n := NewSSH(SSHOptions{Name: "spark1", Host: "127.0.0.2", Port: l.Addr().(*net.TCPAddr).Port, Lookup: c.Lookup})
	defer n.Close()
	c.Write(t, "config", "ConnectTimeout 1\n")
	if err := reaches(t, n); !errors.Is(err, targets.ErrUnreachable) || !strings.Contains(err.Error(), "no answer within 1s") {
		t.Errorf("silent: %v", err)
	}
	port := sshtest.FreePort(t)
	gone := NewSSH(SSHOptions{Name: "spark1", Host: "127.0.0.2", Port: port, Lookup: c.Lookup})
	defer gone.Close()
	if err := reaches(t, gone); !errors.Is(err, targets.ErrUnreachable) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("refused: %v", err)
	}
	nowhere := NewSSH(SSHOptions{Name: "spark1", Host: "no-such-host.invalid", Lookup: c.Lookup})
	defer nowhere.Close()
	if err := reaches(t, nowhere); !errors.Is(err, targets.ErrUnreachable) {
		t.Errorf("no such host: %v", err)
	}
}

// TestSSHDrop: a program goes on over broken connections, and none of its output is lost
// or doubled.
func TestSSHDrop(t *testing.T) {
	t.Parallel()
	n, s := oneNode(t, sshtest.Options{SSH: fast})
	n.opts.Self = logWriterProgram(t)
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	p, err := n.Start(t.Context(), targets.Cmd{Argv: []string{"sh", "-c", `i=0; while [ $i -lt 100 ]; do echo "line $i"; i=$((i+1)); sleep 0.02; done; exit 7`}, Mark: targets.Mark{Run: dir, Server: "a"}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		time.Sleep(300 * time.Millisecond)
		s.Drop()
	}
	<-p.Done()
	<-p.Logged()
	var want strings.Builder
	for i := range 100 {
		want.WriteString("line " + strconv.Itoa(i) + "\n")
	}
	if b, _ := os.ReadFile(log); string(b) != want.String() || p.Err() == nil || p.Err().Error() != "exit status 7" {
		t.Errorf("%v\n%s", p.Err(), b)
	}
	// The sshd itself dies and comes back.
	s.Kill()
	answer := make(chan error, 1)
	go func() { answer <- reaches(t, n) }()
	time.Sleep(500 * time.Millisecond)
	s.Up(t)
	if err := <-answer; err != nil {
		t.Errorf("after the sshd came back: %v", err)
	}
}

// TestSSHDropInACall: where a connection breaks before an answer has come, it is asked again.
func TestSSHDropInACall(t *testing.T) {
	t.Parallel()
	once := filepath.Join(t.TempDir(), "once")
	n, s := oneNode(t, sshtest.Options{Config: `ForceCommand mkdir ` + once + ` 2>/dev/null && exec sleep 60; exec sh -c "$SSH_ORIGINAL_COMMAND"`})
	for i, call := range []func() error{
		func() error { _, err := n.Facts(t.Context()); return err },
		func() error {
			_, err := n.End(t.Context(), targets.Mark{Run: "/r", Server: "a"}, targets.Process{}, 0)
			return err
		},
	} {
		if err := os.RemoveAll(once); err != nil {
			t.Fatal(err)
		}
		answered := make(chan error, 1)
		go func() { answered <- call() }()
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			if _, err := os.Stat(once); err == nil {
				break
			}
		}
		s.Drop()
		if err := <-answered; err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

// TestSSHFrozen: a node that stops answering is an error after a while, for what waits and
// for what runs; when it answers again what ran there is ended, as nobody asked for it.
func TestSSHFrozen(t *testing.T) {
	t.Parallel()
	n, s := oneNode(t, sshtest.Options{SSH: fast})
	n.opts.Self = logWriterProgram(t)
	dir := t.TempDir()
	start := func(server string) targets.Proc {
		p, err := n.Start(t.Context(), targets.Cmd{Argv: []string{"sh", "-c", "trap '' HUP; sleep 1000 & wait"}, Mark: targets.Mark{Run: dir, Server: server}, Log: filepath.Join(dir, server)})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := start("a")
	s.Freeze()
	if err := reaches(t, n); !errors.Is(err, targets.ErrUnreachable) {
		t.Errorf("%v", err)
	}
	<-p.Done()
	if !errors.Is(p.Err(), targets.ErrUnreachable) {
		t.Errorf("%v", p.Err())
	}
	if _, err := p.Stop(t.Context(), 0); !errors.Is(err, targets.ErrUnreachable) {
		t.Errorf("%v", err)
	}
	for deadline := time.Now().Add(patience); alive(p.Pid()); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the program goes on although nobody asks for it")
		}
	}
	s.Thaw()
	if all, err := n.Processes(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("%v, %v", all, err)
	}
}

// TestSSHLease: programs end some time after we have died, unless they are to outlive us.
func TestSSHLease(t *testing.T) {
	t.Parallel()
	n, s := oneNode(t, sshtest.Options{SSH: fast})
	n.opts.Self = logWriterProgram(t)
	dir := t.TempDir()
	start := func(server string, outlive bool) int {
		p, err := n.Start(t.Context(), targets.Cmd{Argv: []string{"sh", "-c", "sleep 1000 & wait"}, Mark: targets.Mark{Run: dir, Server: server}, Log: filepath.Join(dir, server), Outlive: outlive})
		if err != nil {
			t.Fatal(err)
		}
		return p.Pid()
	}
	mortal, kept := start("mortal", false), start("kept", true)
	time.Sleep(5 * time.Second) // longer than the lease: it is renewed
	if !alive(mortal) || !alive(kept) {
		t.Fatalf("alive: %v, %v", alive(mortal), alive(kept))
	}
	n.Close() // as if we died
	for deadline := time.Now().Add(patience); alive(mortal); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it goes on")
		}
	}
	if !alive(kept) {
		t.Error("one that was to outlive us ended")
	}
	other := nodeOf(t, s, SSHOptions{})
	if found, err := other.End(t.Context(), targets.Mark{Run: dir, Server: "kept"}, targets.Process{}, 0); err != nil || len(found) == 0 || alive(kept) {
		t.Errorf("%v, %v", found, err)
	}
	if found, err := other.End(t.Context(), targets.Mark{Run: dir, Server: "mortal"}, targets.Process{}, 0); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
	if left, _ := filepath.Glob(s.Home + "/.cache/sparkrun/*/*"); len(left) > 0 {
		t.Errorf("%v", left)
	}
}

// TestSSHFewSessions: more calls at a time than the node has sessions wait for each other.
func TestSSHFewSessions(t *testing.T) {
	t.Parallel()
	for _, most := range []string{"1", "2"} {
		n, _ := oneNode(t, sshtest.Options{Config: "MaxSessions " + most})
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				if out, err := n.Run(t.Context(), targets.Cmd{Argv: []string{"echo", "x"}}); err != nil || string(out.Stdout) != "x\n" {
					t.Errorf("%q %v", out.Stdout, err)
				}
			})
		}
		all.Wait()
	}
	n, _ := oneNode(t, sshtest.Options{Config: "MaxSessions 0"})
	if err := reaches(t, n); !errors.Is(err, targets.ErrLogin) || !strings.Contains(err.Error(), "raise MaxSessions") {
		t.Errorf("%v", err)
	}
}

// TestSSHDiskFull: a full disk is said as such.
func TestSSHDiskFull(t *testing.T) {
	t.Parallel()
	small := filepath.Join(t.TempDir(), "small")
	if err := os.MkdirAll(small, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small).CombinedOutput(); err != nil {
		t.Skipf("no tmpfs can be mounted, a full disk is not tested: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", small).Run() })
	n, _ := oneNode(t, sshtest.Options{Home: small})
	n.opts.Self = logWriterProgram(t)
	path := filepath.Join(small, "f")
	if err := n.Put(t.Context(), path, strings.NewReader("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := n.Put(t.Context(), path, strings.NewReader(strings.Repeat("x", 1<<20)), 0o644); !errors.Is(err, targets.ErrDiskFull) {
		t.Errorf("%v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "old" {
		t.Errorf("the old file has become %d bytes", len(b))
	}
	if left, _ := os.ReadDir(small); len(left) != 1 {
		t.Errorf("%v", left)
	}
	fill, err := os.Create(filepath.Join(small, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = fill.Write(make([]byte, 1024))
	}
	fill.Close()
	_, err = n.Start(context.Background(), targets.Cmd{Argv: []string{"sleep", "1000"}, Mark: targets.Mark{Run: small, Server: "a"}, Log: filepath.Join(t.TempDir(), "log")})
	if !errors.Is(err, targets.ErrDiskFull) {
		t.Errorf("%v", err)
	}
	if all, err := n.Processes(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("%v, %v", all, err)
	}
}

// TestSSHSettings: what is read of ~/.ssh/config without ssh is what ssh says.
func TestSSHSettings(t *testing.T) {
	t.Parallel()
	c := sshtest.NewClient(t)
	c.Write(t, "more", "Host included\n  Port 2200\n")
	c.Write(t, "config", "Include "+c.Path("more")+"\n"+`
Host plain
  HostName 10.0.0.1
Host full spark*
  HostName %h.lab
  User nvidia
  Port 2222
  IdentityFile `+c.Home+`/a
  IdentityFile `+c.Home+`/b
  IdentitiesOnly yes
  ProxyJump u@gate:2200,second
  UserKnownHostsFile `+c.Home+`/k1 `+c.Home+`/k2
  StrictHostKeyChecking accept-new
  HostKeyAlias alias
  ServerAliveInterval 7
  ServerAliveCountMax 5
  ConnectTimeout 9
Host quoted
  HostName "10.0.0.2"
  StrictHostKeyChecking no
  IdentityAgent none
  ProxyJump none
Host !full *
  User everybody
`)
	for _, host := range []string{"plain", "full", "spark7", "included", "quoted", "192.168.1.1"} {
		asked, err := settingsOf(t.Context(), c.Lookup, host)
		if err != nil {
			t.Fatal(err)
		}
		get, err := readSSHConfig(c.Home, host)
		if err != nil {
			t.Fatal(err)
		}
		read, err := settings(get, c.Lookup, c.Home, host)
		if err != nil {
			t.Fatal(err)
		}
		// ssh takes the home folder of its defaults from the user database.
		if host != "full" && host != "spark7" {
			asked.identityFiles, read.identityFiles, asked.knownHosts, read.knownHosts = nil, nil, nil, nil
		}
		if a, r := strings.Join(strings.Fields(strings.ReplaceAll(text(asked), "\n", " ")), " "), text(read); a != r {
			t.Errorf("%s:\n%s\n%s", host, a, r)
		}
	}
	for _, bad := range []string{"-oProxyCommand=x", ""} {
		if _, err := settingsOf(t.Context(), c.Lookup, bad); err == nil {
			t.Errorf("%q is taken for a host", bad)
		}
	}
	c.Write(t, "config", "Host a\n  ProxyCommand nc %h %p\nHost b\n  ProxyJump c\nHost c\n  ProxyJump b\n")
	for host, want := range map[string]string{"a": "ProxyCommand", "b": "circle"} {
		if _, err := hopsTo(t.Context(), SSHOptions{Host: host, Lookup: c.Lookup}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func text(s sshSettings) string { return fmt.Sprintf("%+v", s) }
