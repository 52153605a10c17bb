package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"sparkrun/runner/store"
	"sparkrun/runner/table"
)

// raceOptions let a program that is built with -race end at once: by default it waits a
// second for late reports, and the tests start hundreds of programs.
const raceOptions = "atexit_sleep_ms=0"

// together is how many tests run beside each other, unless -parallel says another number. Most of
// their time they wait: for a start, a time limit, a process that ends.
const together = "4"

// collectAt lets the programs collect garbage less often: they live for a second or two, and
// under -race collecting is a seventh of what they compute.
const collectAt = "400"

// patience is how long a test waits for what must come: a moment, but not where the machine is
// another's too. What a test does to a run that has begun must not hit it before.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	for name, value := range map[string]string{"GORACE": raceOptions, "GOGC": collectAt} {
		if os.Getenv(name) == "" {
			os.Setenv(name, value)
		}
	}
	if err := flag.Set("test.parallel", together); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){
		"sparkrun":    func() { os.Exit(run(crashAt(os.Getenv(crashVariable)))) },
		"faultserver": faultserver,
		"rankserver":  rankserver,
	})
}

// The scripts in testdata/script are what a user does and sees. `-testwork` keeps their
// folders; UPDATE_SCRIPTS=1 writes what the commands printed into them. They run beside each other.
func TestScripts(t *testing.T) {
	scripts(t, "testdata/script")
}

// TestGate is a script that has the machine to itself as far as this package goes: what it tells
// apart differs by 5 %. Scripts of one folder run beside each other, tests that are not parallel don't.
func TestGate(t *testing.T) { scripts(t, "testdata/gate") }

func scripts(t *testing.T, dir string) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", os.Getenv("GORACE"))
			env.Setenv("GOGC", os.Getenv("GOGC"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"waitfor":  waitFor,
			"setfrom":  setFrom,
			"exits":    exits,
			"closed":   closed,
			"conforms": conforms,
			"ended":    ended,
			"replicas": replicas,
			"table":    printTable,
		},
	})
}

// waitfor PATTERN FILE waits until the file matches.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waitfor PATTERN FILE")
	}
	match := regexp.MustCompile("(?m)" + args[0])
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if b, err := os.ReadFile(ts.MkAbs(args[1])); err == nil && match.Match(b) {
			return
		}
	}
	ts.Fatalf("%s never matched %q", args[1], args[0])
}

// exits CODE PROGRAM ARGS... runs a program that must end with the code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// conforms SCHEMA FILE checks a JSON file, or each line of a .jsonl, by a schema of cmd/docs,
// with the program in testdata/conforms.
func conforms(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: conforms SCHEMA FILE")
	}
	program, err := conformsProgram()
	ts.Check(err)
	out, err := exec.Command(program, args[0], ts.MkAbs(args[1])).CombinedOutput()
	if err != nil {
		ts.Fatalf("%v: %s", err, out)
	}
}

// conformsProgram builds it beside the programs that the scripts run, which go at the end.
var conformsProgram = sync.OnceValues(func() (string, error) {
	beside, err := exec.LookPath("sparkrun")
	if err != nil {
		return "", err
	}
	program := filepath.Join(filepath.Dir(beside), "conforms")
	if out, err := exec.Command("go", "build", "-o", program, "./testdata/conforms").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build conforms: %w\n%s", err, out)
	}
	return program, nil
})

// table FILE.parquet prints its rows as JSON lines.
func printTable(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: table FILE.parquet")
	}
	in, err := table.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer in.Close()
	columns := in.Columns()
	ts.Check(in.Rows(func(row []table.Value) error {
		for i, v := range row {
			b, err := json.Marshal(v.Any(columns[i].Type))
			ts.Check(err)
			fmt.Fprintf(ts.Stdout(), "%c%q:%s", map[bool]byte{true: '{', false: ','}[i == 0], columns[i].Name, b)
		}
		fmt.Fprintln(ts.Stdout(), "}")
		return nil
	}))
}

// closed FILE waits until nobody listens at the address that the first line of the file names.
func closed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: closed FILE")
	}
	address := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(ts.ReadFile(args[0]))
	if address == "" {
		ts.Fatalf("%s names no address", args[0])
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		conn.Close()
	}
	ts.Fatalf("%s still answers", address)
}

// ended FILE PATTERN waits until the processes whose pids the first group of the pattern
// matches in a file are gone.
func ended(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ended FILE PATTERN")
	}
	found := regexp.MustCompile("(?m)"+args[1]).FindAllStringSubmatch(ts.ReadFile(args[0]), -1)
	if len(found) == 0 {
		ts.Fatalf("%s does not match %q", args[0], args[1])
	}
	for _, m := range found {
		if pid, err := strconv.Atoi(m[1]); err != nil || !gone(pid) {
			ts.Fatalf("process %s of %s is still there", m[1], args[0])
		}
	}
}

// replicas RUN sticky|moving N: each of the N replicas has requests of the run's first cell,
// and the turns of a conversation are all of one replica, or those of one are of several.
func replicas(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replicas RUN sticky|moving N")
	}
	st, err := store.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	records, _, err := st.ReadRows(1)
	ts.Check(err)
	all, homes, moved := map[int32]bool{}, map[int64]int32{}, false
	for _, r := range records {
		home, known := homes[r.Conversation]
		moved = moved || (known && home != r.Replica)
		all[r.Replica], homes[r.Conversation] = true, r.Replica
	}
	if fmt.Sprint(len(all)) != args[2] || moved != (args[1] == "moving") || all[0] {
		ts.Fatalf("%d requests of %d conversations are on replicas %v (from 1), some moved: %v", len(records), len(homes), all, moved)
	}
}

// gone waits until a process is gone or a zombie.
func gone(pid int) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(b), ") Z ") {
			return true
		}
	}
	return false
}

// setfrom NAME FILE [PATTERN] sets a variable to a file's text, or to what the first
// group of the pattern matches in it.
func setFrom(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: setfrom NAME FILE [PATTERN]")
	}
	text := ts.ReadFile(args[1])
	if len(args) == 3 {
		m := regexp.MustCompile("(?m)" + args[2]).FindStringSubmatch(text)
		if m == nil {
			ts.Fatalf("%s does not match %q:\n%s", args[1], args[2], text)
		}
		text = m[1]
	}
	ts.Setenv(args[0], fmt.Sprint(text))
}
