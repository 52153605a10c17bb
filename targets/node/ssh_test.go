package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sparkrun/scenario/schema"
	"sparkrun/targets"
	"sparkrun/targets/node/sshtest"
)

// fast makes a silent node count as gone after two seconds, and its programs end after
// three.
const fast = "  ServerAliveInterval 1\n  ServerAliveCountMax 1\n  ConnectTimeout 5\n"

func nodeOf(t *testing.T, s *sshtest.Server, o SSHOptions) *SSH {
	t.Helper()
	o.Name, o.Host, o.Lookup, o.Origin = s.Name, s.Name, s.Client.Lookup, "test-"+t.Name()
	n := NewSSH(o)
	t.Cleanup(func() { n.Close() })
	return n
}

func oneNode(t *testing.T, o sshtest.Options) (*SSH, *sshtest.Server) {
	t.Helper()
	s := sshtest.NewClient(t).Start(t, "spark1", "127.0.0.2", o)
	return nodeOf(t, s, SSHOptions{}), s
}

// TestSSHArguments: any argument and environment value arrives byte for byte, and standard
// input beside them.
func TestSSHArguments(t *testing.T) {
	t.Parallel()
	n, _ := oneNode(t, sshtest.Options{})
	random := rand.New(rand.NewPCG(1, 2))
	words := []string{"", " ", "a b", `it's`, `"`, `'`, `''`, `\`, `\n`, "two\nlines", "\n", "end", "\nend\n", "end.\nend", "$HOME $(id) `id` ${x}", "*", "~", "!x", "-n", "--", "{\"k\": [1, \"ü\"]}", "日本ぁ", "\x81\x82\x88\xff", "a=b", "#c", "\t", "\r\n", "%s", ";&|<>()"}
	for range 40 {
		b := make([]byte, random.IntN(30))
		for i := range b {
			b[i] = byte(1 + random.IntN(255))
		}
		words = append(words, string(b))
	}
	for len(words) > 0 {
		some := words[:min(len(words), 12)]
		words = words[len(some):]
		env := map[string]schema.Text{}
		show := `printf '%s\0' "$@"`
		for i, w := range some {
			env["V"+strconv.Itoa(i)] = schema.Secret(w)
			show += fmt.Sprintf(`; printf '%%s\0' "$V%d"`, i)
		}
		in := strings.Join(some, "|")
		out, err := n.Run(t.Context(), targets.Cmd{Argv: append([]string{"sh", "-c", show + "; cat; echo bad >&2; exit 3", "x"}, some...), Env: env, Stdin: strings.NewReader(in)})
		want := strings.Join(slices.Concat(some, some), "\x00") + "\x00" + in
		if err != nil || string(out.Stdout) != want || string(out.Stderr) != "bad\n" || out.ExitCode != 3 {
			t.Fatalf("%q\n%q %q %d %v", out.Stdout, want, out.Stderr, out.ExitCode, err)
		}
	}
}

func TestSSHRun(t *testing.T) {
	t.Parallel()
	n, s := oneNode(t, sshtest.Options{})
	if _, err := n.Run(t.Context(), targets.Cmd{Argv: []string{"/no/such/program"}}); err == nil || !strings.Contains(err.Error(), "run /no/such/program on spark1: there is no such program") {
		t.Errorf("%v", err)
	}
	if _, err := n.Run(t.Context(), targets.Cmd{Argv: []string{"true"}, Env: map[string]schema.Text{"a b": schema.Plain("x")}}); err == nil || !strings.Contains(err.Error(), `"a b"`) {
		t.Errorf("%v", err)
	}
	out, err := n.Run(t.Context(), targets.Cmd{Argv: []string{"pwd"}})
	if err != nil || strings.TrimSpace(string(out.Stdout)) != s.Home {
		t.Errorf("%q %v", out.Stdout, err)
	}
	// A program whose context ends is ended on the node too.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	file := filepath.Join(s.Home, "pid")
	cut := make(chan error, 1)
	go func() {
		_, err := n.Run(ctx, targets.Cmd{Argv: []string{"sh", "-c", "trap '' INT HUP; echo $$ >" + file + "; sleep 1000"}})
		cut <- err
	}()
	pid := pidIn(t, file)
	cancel()
	if err := <-cut; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if alive(pid) {
		t.Errorf("pid %d goes on after its call was cut", pid)
	}
}

// pidIn waits for a pid in a file.
func pidIn(t *testing.T, file string) int {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		b, _ := os.ReadFile(file)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && bytes.HasSuffix(b, []byte("\n")) {
			return pid
		}
	}
	t.Fatalf("%s has no pid", file)
	return 0
}

func TestSSHFactsAndFiles(t *testing.T) {
	t.Parallel()
	n, s := oneNode(t, sshtest.Options{})
	got, err := n.Facts(t.Context())
	want, _ := Local{}.Facts(t.Context())
	got.MemFree, want.MemFree = 0, 0
	if err != nil || got != want {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
	there, err := n.Memory(t.Context())
	here, _ := Local{}.Memory(t.Context())
	if err != nil || there.Total != here.Total || there.Available < here.Available/2 || there.Resident < here.Resident/2 || there.Resident > 2*here.Resident {
		t.Errorf("%+v, %v; here %+v", there, err, here)
	}
	path := filepath.Join(s.Home, "a b", "it's", "f")
	content := strings.Repeat("\x00\xffline\n", 200_000)
	for _, text := range []string{content, ""} {
		if err := n.Put(t.Context(), path, strings.NewReader(text), 0o754); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		info, _ := os.Stat(path)
		if err != nil || string(b) != text || info.Mode().Perm() != 0o754 {
			t.Errorf("%d bytes, %v, %v", len(b), err, info)
		}
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("%v", left)
	}
	if err := n.Put(t.Context(), "/dev/full/x", strings.NewReader(""), 0o600); err == nil || !strings.Contains(err.Error(), "write /dev/full/x on spark1: ") {
		t.Errorf("%v", err)
	}
}

// TestSSHStart: the life of a server's program: its log comes here without secrets, its
// end is known with its status, Stop ends what has left its group too.
func TestSSHStart(t *testing.T) {
	t.Parallel()
	n, s := oneNode(t, sshtest.Options{})
	const secret = "hf_secret_of_the_test"
	n.opts.Self = logWriterProgram(t)
	dir := t.TempDir()
	start := func(id, program string, change func(*targets.Cmd)) (targets.Proc, string) {
		t.Helper()
		log := filepath.Join(dir, id+".log")
		c := targets.Cmd{Argv: []string{"sh", "-c", program}, Env: map[string]schema.Text{"TOKEN": schema.Secret(secret)}, Mark: targets.Mark{Run: dir, Server: "server." + id}, Log: log, Secrets: []string{secret}}
		if change != nil {
			change(&c)
		}
		p, err := n.Start(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = p.Stop(context.Background(), 0) })
		return p, log
	}
	ended := func(p targets.Proc) {
		t.Helper()
		select {
		case <-p.Done():
			<-p.Logged()
		case <-time.After(patience):
			t.Fatal("it does not end")
		}
	}
	t.Run("ends by itself", func(t *testing.T) {
		p, log := start("a", "echo out; echo \"$TOKEN\"; echo err >&2; exit 4", nil)
		ended(p)
		if b, _ := os.ReadFile(log); string(b) != "out\n"+secret+"\nerr\n" || p.Err() == nil || p.Err().Error() != "exit status 4" {
			t.Errorf("%q, %v", b, p.Err())
		}
	})
	t.Run("killed", func(t *testing.T) {
		p, _ := start("b", "exec sleep 1000", nil)
		out, err := n.Run(t.Context(), targets.Cmd{Argv: []string{"kill", "-9", strconv.Itoa(p.Pid())}})
		if err != nil || out.ExitCode != 0 {
			t.Fatal(out, err)
		}
		ended(p)
		if p.Err() == nil || p.Err().Error() != "exit status 137: signal: killed" {
			t.Errorf("%v", p.Err())
		}
	})
	t.Run("stopped with its children", func(t *testing.T) {
		p, _ := start("c", "trap '' TERM; setsid sh -c 'echo $$ >"+dir+"/child; exec sleep 1000' & wait; sleep 1000", nil)
		child := pidIn(t, filepath.Join(dir, "child"))
		all, err := n.Processes(t.Context())
		if err != nil || len(all) < 2 || all[0].Mark != (targets.Mark{Run: dir, Server: "server.c"}) {
			t.Errorf("%+v, %v", all, err)
		}
		if here, _ := (Local{}).Processes(t.Context()); slices.ContainsFunc(here, func(p targets.Process) bool { return p.Mark.Run == dir }) {
			t.Error("this machine takes the node's processes for its own")
		}
		survivors, err := p.Stop(t.Context(), 200*time.Millisecond)
		if err != nil || len(survivors) == 0 || alive(child) || alive(p.Pid()) {
			t.Errorf("%v, %v; child alive: %v", survivors, err, alive(child))
		}
		if all, err := n.Processes(t.Context()); err != nil || len(all) > 0 {
			t.Errorf("%+v, %v", all, err)
		}
	})
	t.Run("lifeline", func(t *testing.T) {
		p, log := start("d", "echo up; cat; echo closed", func(c *targets.Cmd) { c.Lifeline = true })
		waitForText(t, log, "up")
		select {
		case <-p.Done():
			t.Errorf("it ended although its standard input is open: %v", p.Err())
		case <-time.After(100 * time.Millisecond):
		}
		if _, err := p.Stop(t.Context(), time.Second); err != nil {
			t.Error(err)
		}
	})
	t.Run("found and ended by its mark", func(t *testing.T) {
		p, _ := start("e", "sleep 1000", nil)
		other := targets.Mark{Run: dir, Server: "server.other"}
		if found, err := n.End(t.Context(), other, targets.Process{Pid: p.Pid(), Started: p.Started() + 1}, 0); err != nil || len(found) > 0 {
			t.Errorf("%v, %v", found, err)
		}
		found, err := n.End(t.Context(), targets.Mark{Run: dir, Server: "server.e"}, targets.Process{}, time.Second)
		if err != nil || len(found) == 0 || alive(p.Pid()) {
			t.Errorf("%v, %v", found, err)
		}
		ended(p)
	})
	t.Run("no such program", func(t *testing.T) {
		_, err := n.Start(t.Context(), targets.Cmd{Argv: []string{"/no/such"}, Mark: targets.Mark{Run: dir, Server: "server.f"}, Log: filepath.Join(dir, "f.log")})
		if err == nil || !strings.Contains(err.Error(), "start /no/such on spark1: ") || !strings.Contains(err.Error(), "there is no such program") {
			t.Error(err)
		}
	})
	t.Run("secrets are in no list", func(t *testing.T) {
		p, _ := start("g", "exec sleep 1000", nil)
		paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, path := range paths {
			if b, _ := os.ReadFile(path); bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s: %q", path, b)
			}
		}
		if _, err := p.Stop(t.Context(), time.Second); err != nil {
			t.Error(err)
		}
	})
	left, _ := filepath.Glob(s.Home + "/.cache/sparkrun/*/*")
	for _, l := range left {
		if !strings.Contains(l, n.hash(targets.Mark{Run: dir, Server: "server.a"})) && !strings.Contains(l, n.hash(targets.Mark{Run: dir, Server: "server.b"})) && !strings.Contains(l, n.hash(targets.Mark{Run: dir, Server: "server.e"})) {
			t.Errorf("%s is left", l)
		}
	}
}

func waitForText(t *testing.T, path, text string) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if b, _ := os.ReadFile(path); bytes.Contains(b, []byte(text)) {
			return
		}
	}
	b, _ := os.ReadFile(path)
	t.Fatalf("%q never came to %s: %q", text, path, b)
}

// logWriterProgram is a program that takes the place of `sparkrun log-writer`; what it
// replaces is tested with the real one.
func logWriterProgram(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "writer")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexec cat >>\"$2\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSSHConversation: a program with streams, as the load generator's workers are.
func TestSSHConversation(t *testing.T) {
	t.Parallel()
	n, _ := oneNode(t, sshtest.Options{})
	var o, bad output
	in, say := io.Pipe()
	p, err := n.Start(t.Context(), targets.Cmd{Argv: []string{"sh", "-c", "while read x; do echo got $x; done; echo over; echo bad >&2; exit 5"}, Stdin: in, Output: &o, Stderr: &bad})
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"a", "b"} { // each answered before the next is said
		fmt.Fprintln(say, word)
		o.wait(t, "got "+word+"\n")
	}
	say.Close()
	<-p.Done()
	if o.String() != "got a\ngot b\nover\n" || bad.String() != "bad\n" || p.Err() == nil || p.Err().Error() != "exit status 5" {
		t.Errorf("%q %q %v", o.String(), bad.String(), p.Err())
	}
	p, err = n.Start(t.Context(), targets.Cmd{Argv: []string{"sh", "-c", "trap '' TERM; echo up; sleep 1000"}, Lifeline: true, Mark: targets.Mark{Run: "/r", Server: "s"}, Output: &o})
	if err != nil {
		t.Fatal(err)
	}
	o.wait(t, "up")
	if _, err := p.Stop(t.Context(), 100*time.Millisecond); err != nil || alive(p.Pid()) {
		t.Errorf("%v, alive: %v", err, alive(p.Pid()))
	}
	// It may be stopped while somebody speaks.
	in, say = io.Pipe()
	p, err = n.Start(t.Context(), targets.Cmd{Argv: []string{"cat"}, Stdin: in, Mark: targets.Mark{Run: "/r", Server: "s"}, Output: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	var speaking sync.WaitGroup
	speaking.Go(func() {
		for err := error(nil); err == nil; {
			_, err = fmt.Fprintln(say, "word")
		}
	})
	if _, err := p.Stop(t.Context(), 100*time.Millisecond); err != nil || alive(p.Pid()) {
		t.Errorf("%v, alive: %v", err, alive(p.Pid()))
	}
	in.Close()
	speaking.Wait()
}

// TestSSHNoise: start-up files that print do not get into what is read.
func TestSSHNoise(t *testing.T) {
	t.Parallel()
	n, _ := oneNode(t, sshtest.Options{Config: `ForceCommand echo welcome; echo "7 (x) S 1"; exec sh -c "$SSH_ORIGINAL_COMMAND"`})
	n.opts.Self = logWriterProgram(t)
	out, err := n.Run(t.Context(), targets.Cmd{Argv: []string{"echo", "x"}})
	if err != nil || string(out.Stdout) != "x\n" {
		t.Errorf("%q, %v", out.Stdout, err)
	}
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	p, err := n.Start(t.Context(), targets.Cmd{Argv: []string{"sh", "-c", "echo up; exit 3"}, Mark: targets.Mark{Run: dir, Server: "a"}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	<-p.Logged()
	if b, _ := os.ReadFile(log); string(b) != "up\n" || p.Err().Error() != "exit status 3" {
		t.Errorf("%q, %v", b, p.Err())
	}
	var o output
	p, err = n.Start(t.Context(), targets.Cmd{Argv: []string{"cat"}, Stdin: strings.NewReader("hello"), Output: &o})
	if err != nil {
		t.Fatal(err)
	}
	if <-p.Done(); o.String() != "hello" || p.Err() != nil {
		t.Errorf("%q, %v", o.String(), p.Err())
	}
}
