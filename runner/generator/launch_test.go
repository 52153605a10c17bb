package generator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
	"sparkrun/targets/node"
)

// TestCommands: how launchers are called. What a worker must know is in no argv.
func TestCommands(t *testing.T) {
	host := func(name string) string { return name + ".lab" }
	var got strings.Builder
	for _, g := range []plan.Generator{
		{Launcher: "local", PerNode: 4},
		{Launcher: "ssh", Nodes: []string{"a"}, PerNode: 1},
		{Launcher: "mpirun", Hostfile: "/etc/mpi_hosts"},
		{Launcher: "mpirun", Hostfile: "/etc/mpi_hosts", PerNode: 2},
		{Launcher: "mpirun", Nodes: []string{"a", "b"}, PerNode: 2},
		{Launcher: "mpirun"},
		{Launcher: "srun", PerNode: 1},
		{Launcher: "srun", Nodes: []string{"a", "b"}, PerNode: 4},
		{Launcher: "srun", Hostfile: "/etc/hosts.slurm", PerNode: 2},
		{Launcher: "srun", Hostfile: "hosts", PerNode: 1},
	} {
		fmt.Fprintln(&got, strings.Join(Command(g, "/opt/sparkrun", host), " "))
	}
	const want = `

mpirun --enable-recovery -x SPARKRUN_WORKER -hostfile /etc/mpi_hosts /opt/sparkrun worker
mpirun --enable-recovery -x SPARKRUN_WORKER -hostfile /etc/mpi_hosts --map-by ppr:2:node /opt/sparkrun worker
mpirun --enable-recovery -x SPARKRUN_WORKER -host a.lab:2,b.lab:2 --map-by ppr:2:node /opt/sparkrun worker
mpirun --enable-recovery -x SPARKRUN_WORKER /opt/sparkrun worker
srun --kill-on-bad-exit=0 --export=ALL --input=none --unbuffered --ntasks-per-node=1 /opt/sparkrun worker
srun --kill-on-bad-exit=0 --export=ALL --input=none --unbuffered --nodes=2 --nodelist=a.lab,b.lab --ntasks-per-node=4 /opt/sparkrun worker
srun --kill-on-bad-exit=0 --export=ALL --input=none --unbuffered --nodelist=/etc/hosts.slurm --ntasks-per-node=2 /opt/sparkrun worker
srun --kill-on-bad-exit=0 --export=ALL --input=none --unbuffered --nodelist=./hosts --ntasks-per-node=1 /opt/sparkrun worker
`
	if got.String() != want {
		t.Errorf("got:\n%s", got.String())
	}
}

// TestRankOf: who a process is, from what each launcher sets.
func TestRankOf(t *testing.T) {
	for _, c := range []struct {
		env        string
		rank, size int
		err        string
	}{
		{"OMPI_COMM_WORLD_RANK=2 OMPI_COMM_WORLD_SIZE=4 PMIX_RANK=2 SLURM_PROCID=0 SLURM_NTASKS=1", 2, 4, ""}, // mpirun in an allocation of one
		{"PMIX_RANK=1 SLURM_NTASKS=3 SLURM_PROCID=1", 1, 3, ""},                                               // srun --mpi=pmix
		{"PMI_RANK=0 PMI_SIZE=2", 0, 2, ""},                                                                   // MPICH, Intel MPI
		{"SLURM_PROCID=7 SLURM_NTASKS=8 SLURM_NPROCS=8", 7, 8, ""},                                            // srun
		{"SPARKRUN_WORKER_RANK=1 SPARKRUN_WORKER_SIZE=2 SLURM_PROCID=0 SLURM_NTASKS=1", 1, 2, ""},             // our own, inside an allocation
		{"", 0, 0, "nothing says which worker this is"},
		{"PMIX_RANK=1", 0, 0, "nothing says how many processes there are"},
		{"OMPI_COMM_WORLD_RANK=x OMPI_COMM_WORLD_SIZE=4", 0, 0, `"x", which is no rank`},
		{"OMPI_COMM_WORLD_RANK=-1 OMPI_COMM_WORLD_SIZE=4", 0, 0, "which is no rank"},
		{"SLURM_PROCID=4 SLURM_NTASKS=4", 0, 0, `"4", which is no number of processes of which one has rank 4`},
	} {
		env := map[string]string{}
		for _, kv := range strings.Fields(c.env) {
			k, v, _ := strings.Cut(kv, "=")
			env[k] = v
		}
		rank, size, err := rankOf(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
		if rank != c.rank || size != c.size || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %d of %d, %v", c.env, rank, size, err)
		}
	}
}

// local is this machine for Start.
func local(name string) (targets.Node, error) {
	if name != "local" {
		return nil, errors.New("no node " + name)
	}
	return node.Local{}, nil
}

// started tries to start workers that are a shell script.
func started(t *testing.T, g plan.Generator, script string) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "worker.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := Start(t.Context(), Options{
		Generator: g, Self: path, Version: "test", Node: local, Clock: record.NewClock(),
		Mark: targets.Mark{Run: t.TempDir(), Server: "generator"},
	})
	if err == nil {
		_ = f.Close(context.Background())
	}
	return err
}

// TestWorkersThatAreNone: each way in which what is started is no worker says what it is.
func TestWorkersThatAreNone(t *testing.T) {
	two := plan.Generator{Launcher: "local", Nodes: []string{"local"}, PerNode: 2}
	for script, want := range map[string]string{
		"echo it broke >&2; exit 3": "worker 0 on node local: exit status 3: it said:\nit broke",
		"exit 0":                    "it ended before it said anything",
		"echo Welcome to this host": `it wrote "Welcome to this host"`,
		"yes":                       "it writes, and not the protocol",
		`printf '\000sparkrun-worker\n\002\000\000\000gx'`: "what came is not the protocol: a message of kind 'g'",
		`printf '\000sparkrun-worker\n\377\377\377\377g'`:  "what came is not the protocol: a frame of 4294967295 bytes",
		`b='{"protocol":1,"version":"other","rank":0,"size":2,"host":"h"}'; printf '\000sparkrun-worker\n\076\000\000\000g%s' "$b"; cat`: "the worker on h is sparkrun other (protocol 1), this is test (protocol 2): use the same",
	} {
		if err := started(t, two, script); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v\nwant %s", script, err, want)
		}
	}
	if err := started(t, plan.Generator{Launcher: "local", Nodes: []string{"elsewhere"}, PerNode: 1}, "exit"); err == nil || !strings.Contains(err.Error(), "no node elsewhere") {
		t.Errorf("%v", err)
	}
}

func TestWorkersThatDoNotCome(t *testing.T) {
	was := arriveWithin
	t.Cleanup(func() { arriveWithin = was })
	arriveWithin = 300 * time.Millisecond
	if err := started(t, plan.Generator{Launcher: "local", Nodes: []string{"local"}, PerNode: 2}, "exec sleep 600"); err == nil || !strings.Contains(err.Error(), "not all workers have come within 300ms") {
		t.Errorf("%v", err)
	}
}

// TestDoor: who comes back with the token is let in; others are not, and hold nobody up.
func TestDoor(t *testing.T) {
	d, err := openDoor()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	got := make(chan error, 1)
	var all []arrival
	go func() {
		var err error
		all, err = gather(t.Context(), d, "test", ended)
		got <- err
	}()
	silent, err := net.Dial("tcp", d.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	come := func(way string, h hello) (*conn, error) {
		c, token, err := connectBack(t.Context(), way)
		if err != nil {
			return nil, err
		}
		h.Token = token
		_, _ = c.Write([]byte(greeting))
		return c, c.send(message(kindHello, h))
	}
	parts := strings.Split(d.way(), ",")
	if _, err := come(strings.Join([]string{parts[0], strings.Repeat("00", 32), parts[2]}, ","), hello{}); err == nil || !strings.Contains(err.Error(), "another program than the run answers") {
		t.Errorf("a worker trusts another certificate: %v", err)
	}
	thief, err := come("0123,"+strings.Join(parts[1:], ","), hello{Protocol: protocol, Version: "test", Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	for rank := range 2 {
		c, err := come(d.way(), hello{Protocol: protocol, Version: "test", Rank: 1 - rank, Size: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	silent.Close() // it would hold the door for as long as a worker may take to say who it is
	if err := <-got; err != nil || len(all) != 2 {
		t.Errorf("%d came, %v", len(all), err)
	}
	for _, a := range all {
		a.Close()
	}
	if _, err := thief.in.ReadByte(); err == nil {
		t.Error("a worker without the token was let in")
	}
}

// TestFrozenWorker: one that says nothing any more is lost, and its process killed.
func TestFrozenWorker(t *testing.T) {
	was := lostAfter
	t.Cleanup(func() { lostAfter = was })
	lostAfter = 400 * time.Millisecond
	killed := make(chan struct{})
	ours, theirs := net.Pipe()
	defer theirs.Close()
	f := newFleet(record.NewClock(), []arrival{{hello: hello{Rank: 0, Size: 1, Host: "h", Pid: 7}, conn: newConn(ours), process: process{kill: func() { close(killed) }}}}, func(context.Context) error { return nil })
	<-killed
	if err := f.Whole(); err == nil || !strings.Contains(err.Error(), "worker 0 of 1 (pid 7 on h): nothing was heard of it for") {
		t.Errorf("%v", err)
	}
	if err := f.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestJobTravels: a job is the same on the other side, also what plans show only in words.
func TestJobTravels(t *testing.T) {
	j := job{
		API: "chat", Phases: []plan.Phase{{Name: "p", Concurrency: level(2), Duration: time.Second}}, Seed: 1<<64 - 1,
		Request: plan.Request{Body: map[string]any{"seed": int64(9007199254740993)}}, Headers: map[string]string{"X-Key": "secret"}, Key: "k",
		URLs: []string{"http://a/v1", "http://b/v1"}, Balance: "round_robin",
	}
	j.Share.Size = 1
	low, high := 1e6, 5e6
	j.ThinkTimes = []parameters{{Kind: "uniform", Min: &low, Max: &high, Source: "uniform(1, 5)"}}
	back, err := readJob(message(kindJob, j).payload)
	if err != nil {
		t.Fatal(err)
	}
	if d := back.Phases[0].ThinkTime; d.Min == nil || *d.Min != low || *d.Max != high {
		t.Errorf("think time %+v", d)
	}
	if n := fmt.Sprint(back.Request.Body["seed"]); n != "9007199254740993" || back.Seed != j.Seed {
		t.Errorf("numbers %s, %d", n, back.Seed)
	}
	ep := back.endpoint(1)
	if ep.URL != "http://b/v1" || back.Balance != j.Balance || ep.Key.Reveal() != "k" || !ep.Key.Sensitive() || ep.Headers["X-Key"] != schema.Secret("secret") {
		t.Errorf("%+v", ep)
	}
}
