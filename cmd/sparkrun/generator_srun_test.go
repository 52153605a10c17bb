package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sparkrun/targets/node/sshtest"
)

// slurm starts a cluster of two nodes on this machine, with daemons and a key of its own, and
// returns its configuration. The test is skipped where Slurm is not installed.
func slurm(t *testing.T, dir string) (conf string) {
	t.Helper()
	for _, p := range []string{"/usr/sbin/munged", "/usr/sbin/slurmctld", "/usr/sbin/slurmd", "srun", "sinfo"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed (Debian: slurmctld slurmd slurm-client munge)", p)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("Slurm's daemons take root")
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ = strings.Cut(host, ".")
	text := strings.NewReplacer("DIR", dir, "HOST", host).Replace(`ClusterName=test
SlurmctldHost=HOST(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=DIR/munge.socket
CredType=cred/munge
StateSaveLocation=DIR/state
SlurmdSpoolDir=DIR/spool-%n
SlurmctldPidFile=DIR/slurmctld.pid
SlurmdPidFile=DIR/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
MpiDefault=none
SlurmdParameters=config_overrides
PartitionName=all Nodes=ALL Default=YES State=UP
`)
	text += fmt.Sprintf("SlurmctldPort=%d\n", sshtest.FreePort(t))
	for _, n := range []string{"n1", "n2"} {
		text += fmt.Sprintf("NodeName=%s NodeHostname=%s NodeAddr=127.0.0.1 Port=%d CPUs=2\n", n, host, sshtest.FreePort(t))
		if err := os.Mkdir(filepath.Join(dir, "spool-"+n), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	conf = filepath.Join(dir, "slurm.conf")
	for path, content := range map[string]string{conf: text, filepath.Join(dir, "munge.key"): strings.Repeat("of this test alone ", 10)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	daemon(t, at("munged.log"), "/usr/sbin/munged", "--force", "--foreground", "--key-file", at("munge.key"), "--socket", at("munge.socket"), "--pid-file", at("munge.pid"), "--seed-file", at("munge.seed"))
	until(t, "munged", func() bool { _, err := os.Stat(at("munge.socket")); return err == nil })
	daemon(t, at("slurmctld.log"), "/usr/sbin/slurmctld", "-D", "-f", conf)
	for _, n := range []string{"n1", "n2"} {
		daemon(t, at(n+".log"), "/usr/sbin/slurmd", "-D", "-N", n, "-f", conf)
	}
	until(t, "slurm", func() bool {
		cmd := exec.Command("sinfo", "-h", "-N", "-o", "%T")
		cmd.Env = append(os.Environ(), "SLURM_CONF="+conf)
		out, _ := cmd.Output()
		return string(out) == "idle\nidle\n"
	})
	return conf
}

// daemon runs a program until the test ends.
func daemon(t *testing.T, log string, argv ...string) {
	t.Helper()
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if b, _ := os.ReadFile(log); t.Failed() {
			t.Logf("%s:\n%s", argv[0], b)
		}
	})
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not come up", what)
		}
	}
}

// TestGeneratorSRUN: four workers that srun starts on two nodes of a Slurm do together what
// one process does; one of them killed is a mark.
func TestGeneratorSRUN(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := []string{"SLURM_CONF=" + slurm(t, dir)}
	if err := os.WriteFile(filepath.Join(dir, "hosts"), []byte("n1\nn2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const block = "generator {\n  launcher = \"srun\"\n  hostfile = \"hosts\"\n  per_node = 2\n}"
	fourRanks(t, dir, env, block, "SLURM_PROCID=1")
}
