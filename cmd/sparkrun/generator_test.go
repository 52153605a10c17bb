package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/runner/store"
)

// generatorScenario has an open and a closed loop on the simulator; %s is where the load
// comes from.
const generatorScenario = `
%s

variable "seconds" {
  type    = number
  default = 2
}

variable "repeat" {
  type    = number
  default = 1
}

server "a" {
  framework = "sim"
  options = {
    ttft = "5ms"
    itl  = "1ms"
  }
}

dataset "talk" {
  type          = "synthetic"
  turns         = 2
  input_tokens  = uniform(20, 60)
  output_tokens = uniform(4, 12)
}

dataset "short" {
  type  = "synthetic"
  shape = "U(20,60)/(4,12)"
}

benchmark "open" {
  server  = server.a
  dataset = dataset.short
  order   = "file"

  phase "warmup" {
    requests    = 10
    concurrency = 6
  }
  phase "steady" {
    duration = "${var.seconds}s"
    rate     = 60
  }
}

benchmark "closed" {
  server  = server.a
  dataset = dataset.talk
  order   = "file"
  repeat  = var.repeat

  phase "steady" {
    requests    = 60
    concurrency = 6
  }
}

sink "json" {}
`

// midRun is how many seconds the open loop goes on of which a worker is to be lost: rows come to the
// disk once a second, and a busy machine takes its time to look for them and to kill.
const midRun = "15"

// apply runs the scenario with a generator block and returns its folder.
func applyGenerator(t *testing.T, dir string, env []string, id, generator string, args ...string) (run *store.Run, output string, code int) {
	t.Helper()
	path := filepath.Join(dir, "scenario.hcl")
	if err := os.WriteFile(path, fmt.Appendf(nil, generatorScenario, generator), 0o644); err != nil {
		t.Fatal(err)
	}
	output, err := sparkrunIn(t, dir, env, append([]string{"apply", "scenario.hcl", "--run-id", id}, args...)...)
	if exit, ok := err.(*exec.ExitError); ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	run, err = store.Open(filepath.Join(dir, "results/scenario", id))
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return run, output, code
}

// cellRows are the records of a run's cell whose address begins with a text.
func cellRows(t *testing.T, run *store.Run, benchmark string) (rows []record.Record, entries []result.Entry) {
	t.Helper()
	var summary result.Summary
	if err := run.ReadJSON("summary.json", &summary); err != nil {
		t.Fatal(err)
	}
	for _, e := range summary.Cells {
		if e.Benchmark == benchmark {
			entries = append(entries, e)
		}
	}
	var file struct {
		Plan struct {
			Cells []struct {
				Address string `json:"address"`
				Number  int    `json:"number"`
			} `json:"cells"`
		} `json:"plan"`
	}
	if err := run.ReadJSON("run.json", &file); err != nil {
		t.Fatal(err)
	}
	for _, c := range file.Plan.Cells {
		if strings.HasPrefix(c.Address, "benchmark."+benchmark) {
			rows, _, err := run.ReadRows(c.Number)
			if err != nil {
				t.Fatal(err)
			}
			return rows, entries
		}
	}
	t.Fatalf("no cell of benchmark %s", benchmark)
	return nil, nil
}

// schedule is when the requests of an open loop's phase were due, after the first of them.
func schedule(rows []record.Record, phase int) (due []int64) {
	for _, r := range rows {
		if r.Phase == phase {
			due = append(due, r.Scheduled)
		}
	}
	slices.Sort(due)
	for i := len(due) - 1; i >= 0; i-- {
		due[i] -= due[0]
	}
	return due
}

// played is what of each turn shapes a sum: tokens in and out, by conversation and turn.
func played(rows []record.Record, phase int) map[string][2]int32 {
	all := map[string][2]int32{}
	for _, r := range rows {
		if r.Phase == phase {
			all[fmt.Sprint(r.Conversation, ".", r.Turn)] = [2]int32{r.AskedMax, r.OutputTokens}
		}
	}
	return all
}

// sameAsOne compares a run by several workers with one by a single process.
func sameAsOne(t *testing.T, one, many *store.Run, workers int) {
	t.Helper()
	want, _ := cellRows(t, one, "open")
	got, entries := cellRows(t, many, "open")
	if w, g := schedule(want, 1), schedule(got, 1); len(w) < 80 || !slices.Equal(w, g) {
		t.Errorf("by itself %d arrivals, by workers %d", len(w), len(g))
	}
	ranks := map[int32]int{}
	lag := map[int32]int64{}
	for _, r := range got {
		if r.Status != record.OK {
			t.Errorf("%s ended %s: %s", r.ID, r.Status, r.Error)
		}
		if r.Phase == 1 {
			if ranks[r.Rank] == 0 {
				lag[r.Rank] = r.Sent - r.Scheduled
			}
			lag[r.Rank] = min(lag[r.Rank], r.Sent-r.Scheduled)
			ranks[r.Rank]++
		}
	}
	if len(ranks) != workers || slices.Max(slices.Collect(maps.Values(ranks)))-slices.Min(slices.Collect(maps.Values(ranks))) > 1 {
		t.Errorf("requests by rank: %v", ranks)
	}
	t.Logf("open loop: the least lateness of each rank, in ns: %v; late_ms %v; clock errors %+v", lag, deref(entries[0].Window.LateMS), entries[0].Workers)
	if len(entries) != 1 || len(entries[0].Workers) != workers || entries[0].Requests.OK != int64(len(schedule(want, 1))) {
		t.Errorf("the summary has %+v", entries)
	}

	// Sums: the same conversations with the same lengths, each once.
	want, _ = cellRows(t, one, "closed")
	got, _ = cellRows(t, many, "closed")
	w, g := played(want, 0), played(got, 0)
	if len(want) != 60 || len(got) != 60 || len(g) != 60 {
		t.Errorf("%d requests by itself, %d by workers, %d of them different", len(want), len(got), len(g))
	}
	for turn, tokens := range g {
		if other, also := w[turn]; also && other != tokens || tokens[0] != tokens[1] {
			t.Errorf("turn %s has %v tokens asked for and sent, by itself %v", turn, tokens, other)
		}
	}
}

func deref(f *float64) float64 {
	if f == nil {
		return 0
	}
	return *f
}

// TestGenerator: workers of this machine together do what one process does.
func TestGenerator(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, out, code := applyGenerator(t, dir, nil, "one", "")
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	many, out, code := applyGenerator(t, dir, nil, "many", "generator {\n  per_node = 3\n}")
	if code != 0 || !strings.Contains(out, "the load comes from 3 workers") {
		t.Fatalf("exit %d\n%s", code, out)
	}
	sameAsOne(t, one, many, 3)
	if left := markedIn(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	// Rows alone give the same summary again.
	if out, err := sparkrun(t, dir, "", "export", "many", "--sink", "json"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// rankProcess is the process that is a rank of a run below dir, by its environment.
func rankProcess(dir, is string) (pid int) {
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err == nil && strings.Contains(string(b), "_RUN="+dir) && strings.Contains(string(b), is+"\x00") {
			pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(p)))
			return pid
		}
	}
	return 0
}

// killRank kills a worker once rows say that its cell is under way.
func killRank(t *testing.T, dir, id, is string, signal syscall.Signal) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		rows, _ := os.ReadFile(filepath.Join(dir, "results/scenario", id, "rows/1.jsonl"))
		pid := rankProcess(dir, is)
		if strings.Count(string(rows), `"phase":"steady"`) > 20 && pid != 0 {
			if err := syscall.Kill(pid, signal); err != nil {
				t.Error(err)
			}
			return
		}
	}
	t.Errorf("%s was never there", is)
}

// lostAndOn checks a run of which a worker was lost in its first cell.
func lostAndOn(t *testing.T, run *store.Run, out string, code, workers int, why string) {
	t.Helper()
	if code != 3 {
		t.Errorf("exit %d\n%s", code, out)
	}
	rows, entries := cellRows(t, run, "open")
	lost := slices.ContainsFunc(entries[0].Marks, func(m result.Mark) bool {
		return m.Name == "worker_lost" && strings.Contains(m.Why, fmt.Sprintf("1 of %d workers lost; number 1", workers))
	})
	if !lost || entries[0].Verdict != result.Invalid || !strings.Contains(entries[0].Workers[1].Lost, why) {
		t.Errorf("%s, marks %+v, workers %+v", entries[0].Verdict, entries[0].Marks, entries[0].Workers)
	}
	by := map[int32]map[record.Status]int{}
	for _, r := range rows {
		if r.Phase == 1 {
			if by[r.Rank] == nil {
				by[r.Rank] = map[record.Status]int{}
			}
			by[r.Rank][r.Status]++
		}
	}
	for rank, n := range by {
		if (n[record.OK] == 0) || (n[record.Unsent] > 0) != (rank == 1) {
			t.Errorf("rank %d: %v", rank, n)
		}
	}
	if n := entries[0].Requests; n.Scheduled != n.OK+n.Failed || n.ByStatus["unsent"] == 0 {
		t.Errorf("%+v", n)
	}
	if _, entries := cellRows(t, run, "closed"); entries[0].Requests.OK != 60 || slices.ContainsFunc(entries[0].Marks, func(m result.Mark) bool { return m.Name == "worker_lost" }) {
		t.Errorf("the next cell: %+v", entries[0])
	}
}

// TestGeneratorWorkerKilled: a mark on the cell, the run goes on with new workers.
func TestGeneratorWorkerKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		killRank(t, dir, "killed", "SPARKRUN_SERVER=generator@worker1", syscall.SIGKILL)
	}()
	run, out, code := applyGenerator(t, dir, nil, "killed", "generator {\n  per_node = 3\n}", "--var", "seconds="+midRun)
	<-killed
	lostAndOn(t, run, out, code, 3, "its process ended: signal: killed")
	if left := markedIn(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestGeneratorWithoutWorkers: a cell whose last worker is killed has failed.
func TestGeneratorWithoutWorkers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		killRank(t, dir, "killed", "SPARKRUN_SERVER=generator@worker0", syscall.SIGKILL)
	}()
	run, out, code := applyGenerator(t, dir, nil, "killed", "generator {}", "--var", "seconds=600")
	<-killed
	_, open := cellRows(t, run, "open")
	_, closed := cellRows(t, run, "closed")
	if code != 3 || open[0].Verdict != result.Failed || !strings.HasPrefix(open[0].Cause, "MEASURE_WORKERS_LOST: ") || closed[0].Requests.OK != 60 {
		t.Errorf("exit %d, %+v\n%s", code, open[0], out)
	}
}

// TestGeneratorDiesWithUs: workers end when the run is killed.
func TestGeneratorDiesWithUs(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "scenario.hcl"), fmt.Appendf(nil, generatorScenario, "generator {\n  per_node = 2\n}"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sparkrun", "apply", "scenario.hcl", "--run-id", "gone", "--var", "seconds=600")
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killRank(t, dir, "gone", "SPARKRUN_SERVER=generator@worker1", 0)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for deadline := time.Now().Add(patience); len(markedIn(t, dir)) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("left: %v", markedIn(t, dir))
		}
	}
}

// TestGeneratorThatCanNotStart: nothing is started for a load that nobody can make.
func TestGeneratorThatCanNotStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hosts := filepath.Join(dir, "hosts")
	if err := os.WriteFile(hosts, []byte("localhost slots=2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	without := []string{"PATH=" + filepath.Dir(mustLook(t, "sparkrun"))} // without mpirun
	_, out, code := applyGenerator(t, dir, without, "none", "generator {\n  hostfile = \"hosts\"\n}")
	if code != 1 || !strings.Contains(out, "LAUNCH_GENERATOR") || !strings.Contains(out, "is mpirun installed?") || strings.Contains(out, "Starting  server.a") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

// TestGeneratorThatCanNotStartAgain: two starts in a row that fail are not followed by one
// for each of the remaining cells.
func TestGeneratorThatCanNotStartAgain(t *testing.T) {
	dir := t.TempDir()
	self := mustLook(t, "sparkrun")
	// It starts one worker, and never again.
	mpirun := "#!/bin/sh\nmkdir \"$0.once\" || exit 7\nexport OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=1\nexec '" + self + "' worker\n"
	if err := os.WriteFile(filepath.Join(dir, "mpirun"), []byte(mpirun), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		killRank(t, dir, "once", "OMPI_COMM_WORLD_RANK=0", syscall.SIGKILL)
	}()
	run, out, code := applyGenerator(t, dir, nil, "once", "generator {\n  launcher = \"mpirun\"\n}", "--var", "seconds=600", "--var", "repeat=4")
	<-killed
	if code != 3 {
		t.Errorf("exit %d\n%s", code, out)
	}
	_, open := cellRows(t, run, "open")
	if open[0].Verdict != result.Failed || !strings.HasPrefix(open[0].Cause, "MEASURE_WORKERS_LOST: ") {
		t.Errorf("%s: %s", open[0].Verdict, open[0].Cause)
	}
	var summary result.Summary
	if err := run.ReadJSON("summary.json", &summary); err != nil {
		t.Fatal(err)
	}
	causes := map[string]int{}
	for _, e := range summary.Cells[1:] {
		cause, _, _ := strings.Cut(e.Cause, ":\n")
		for _, part := range []string{"it ended when 0 workers had come", "could not be started 2 times in a row: they are not started again"} {
			if strings.HasPrefix(cause, "LAUNCH_GENERATOR: ") && strings.Contains(cause, part) {
				causes[string(e.Verdict)+" "+part]++
			}
		}
	}
	if causes["failed it ended when 0 workers had come"] != 2 || causes["skipped could not be started 2 times in a row: they are not started again"] != 2 {
		t.Errorf("%v\n%s", causes, out)
	}
}

func mustLook(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// fourRanks has a load made by the four ranks of a launcher: they do together what one process
// does, and one of them killed, which is known by its environment, is a mark.
func fourRanks(t *testing.T, dir string, env []string, block, victim string) {
	t.Helper()
	one, out, code := applyGenerator(t, dir, env, "one", "")
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	four, out, code := applyGenerator(t, dir, env, "four", block)
	if code != 0 || !strings.Contains(out, "the load comes from 4 workers") {
		t.Fatalf("exit %d\n%s", code, out)
	}
	sameAsOne(t, one, four, 4)
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		killRank(t, dir, "killed", victim, syscall.SIGKILL)
	}()
	run, out, code := applyGenerator(t, dir, env, "killed", block, "--var", "seconds="+midRun)
	<-killed
	lostAndOn(t, run, out, code, 4, "its connection ended")
	if left := markedIn(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestGeneratorMPI: the same by mpirun with four ranks, and one of them killed.
func TestGeneratorMPI(t *testing.T) {
	if _, err := exec.LookPath("mpirun"); err != nil {
		t.Skip("mpirun is not installed (Debian: openmpi-bin)")
	}
	t.Parallel()
	// What mpirun wants to hear from a user who is root, as in a container.
	env := []string{"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mpi_hosts"), []byte("localhost slots=4\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const block = "generator {\n  hostfile = \"mpi_hosts\"\n}"
	fourRanks(t, dir, env, block, "OMPI_COMM_WORLD_RANK=1")
	// Who may not is told why, in mpirun's own words.
	if _, out, code := applyGenerator(t, dir, env[1:], "refused", block); os.Geteuid() == 0 && (code != 1 || !strings.Contains(out, "OMPI_ALLOW_RUN_AS_ROOT")) {
		t.Errorf("exit %d\n%s", code, out)
	}
}
