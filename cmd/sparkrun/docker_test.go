package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"sparkrun/targets"
	containers "sparkrun/targets/container"
	"sparkrun/targets/node/sshtest"
)

// engine is a dockerd or podman of the test's own, in a folder of its own.
type engine struct {
	dir  string
	argv []string
	cmd  *exec.Cmd
	api  *client.Client
	host string
}

// faultImage has this test's own program, built static, as /faultserver.
const faultImage = "sparkrun-test/faultserver:1"

// startDocker starts a dockerd.
func startDocker(t *testing.T) *engine {
	return startEngine(t, "docker.io", func(dir string) []string {
		return []string{"dockerd", "--data-root", dir + "/data", "--exec-root", dir + "/exec", "-H", "unix://" + dir + "/docker.sock",
			"--iptables=false", "--bridge=none", "--storage-driver=vfs", "--pidfile", dir + "/pid"}
	})
}

// startPodman starts podman's service, which speaks Docker's API.
func startPodman(t *testing.T) *engine {
	return startEngine(t, "podman", func(dir string) []string {
		return []string{"podman", "--root", dir + "/data", "--runroot", dir + "/exec", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs",
			"system", "service", "--time", "0", "unix://" + dir + "/docker.sock"}
	})
}

// startEngine starts an engine and imports the image. Where it is not installed, or may
// not run, the test is skipped with a line that says so.
func startEngine(t *testing.T, debian string, argv func(dir string) []string) *engine {
	t.Helper()
	program := argv("")[0]
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed: containers are not tested with it (Debian: apt-get install %s)", program, debian)
	}
	if os.Geteuid() != 0 {
		t.Skipf("not root: a %s of the test's own cannot be started, containers are not tested", program)
	}
	dir, err := os.MkdirTemp("", "d") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{dir: dir, argv: argv(dir), host: "unix://" + dir + "/docker.sock"}
	if e.api, err = client.New(client.WithHost(e.host)); err != nil {
		t.Fatal(err)
	}
	e.start(t)
	t.Cleanup(func() {
		e.remove(t, "")
		e.api.Close()
		_ = e.cmd.Process.Signal(syscall.SIGTERM)
		_ = e.cmd.Wait()
		os.RemoveAll(dir)
	})
	binary := filepath.Join(dir, "faultserver")
	build := exec.Command("go", "test", "-c", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the image's program: %v\n%s", err, out)
	}
	e.load(t, binary, "")
	return e
}

func (e *engine) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	// That of a killed dockerd is killed with it, and where nobody reaps it, looks alive.
	_ = os.Remove(e.dir + "/exec/containerd/containerd.pid")
	e.cmd = exec.Command(e.argv[0], e.argv[1:]...)
	// Podman gives containers more open files than every machine lets it, and shares locks with all
	// others on the machine.
	conf := filepath.Join(e.dir, "containers.conf")
	if err := os.WriteFile(conf, []byte("[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n[engine]\nlock_type = \"file\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e.cmd.Env = append(os.Environ(), "CONTAINERS_CONF="+conf)
	e.cmd.Stdout, e.cmd.Stderr = log, log
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		_, err := e.api.Ping(t.Context(), client.PingOptions{})
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(filepath.Join(e.dir, "log"))
			t.Fatalf("%s does not answer: %v\n%s", e.argv[0], err, said)
		}
	}
}

// load imports the program as an image, in which the word makes a difference.
func (e *engine) load(t *testing.T, binary, word string) {
	t.Helper()
	b, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	err = errors.Join(w.WriteHeader(&tar.Header{Name: "faultserver", Mode: 0o755, Size: int64(len(b))}))
	if err == nil {
		_, err = w.Write(b)
	}
	if err := errors.Join(err, w.WriteHeader(&tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o777}), w.WriteHeader(&tar.Header{Name: "word" + word + "/", Typeflag: tar.TypeDir, Mode: 0o777}), w.Close()); err != nil {
		t.Fatal(err)
	}
	r, err := e.api.ImageImport(t.Context(), client.ImageImportSource{Source: &archive, SourceName: "-"}, faultImage, client.ImageImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := new(bytes.Buffer).ReadFrom(r); err != nil {
		t.Fatal(err)
	}
}

// names are the names of the containers of a server, or of all: of a run's, or foreign.
func (e *engine) names(t *testing.T, of string) []string {
	t.Helper()
	list, err := e.api.ContainerList(context.Background(), client.ContainerListOptions{All: true})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range list.Items {
		if strings.Contains(c.Names[0], of) {
			out = append(out, strings.TrimPrefix(c.Names[0], "/"))
		}
	}
	return out
}

func (e *engine) nothingLeft(t *testing.T, of string) {
	t.Helper()
	if left := e.names(t, of); len(left) > 0 {
		t.Errorf("containers %q are left", left)
	}
}

func (e *engine) remove(t *testing.T, of string) {
	for _, n := range e.names(t, of) {
		_, _ = e.api.ContainerRemove(context.Background(), n, client.ContainerRemoveOptions{Force: true})
	}
}

// foreign starts a container that is not ours.
func (e *engine) foreign(t *testing.T, name string, argv ...string) {
	t.Helper()
	_, err := e.api.ContainerCreate(t.Context(), client.ContainerCreateOptions{Name: name,
		Config: &container.Config{Image: faultImage, Cmd: argv}, HostConfig: &container.HostConfig{NetworkMode: "host"}})
	if err == nil {
		_, err = e.api.ContainerStart(t.Context(), name, client.ContainerStartOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

const dockerScenario = `
variable "life" {
  type    = string
  default = ""
}
variable "image" {
  type    = string
  default = "sparkrun-test/faultserver:1"
}
variable "port" {
  type    = number
  default = null
}
variable "requests" {
  type    = number
  default = 4
}
variable "memory" {
  type    = string
  default = null
}
variable "stall" {
  type    = string
  default = "10m"
}

server "a" {
  framework = "command"
  image     = var.image
  model     = "m"
  port      = var.port
  command   = ["/faultserver", "-life", var.life, "-port", "{port}", "--", "a b", "$HOME 'x' \"y\"", "{\"k\": [1]}", "two\nlines", "日本"]
  mounts    = []
  env = {
    HF_TOKEN = env("HF_TOKEN")
  }
  container {
    memory = var.memory
  }
  stop {
    grace = "1s"
  }
  ready {
    stall = var.stall
  }
}

server "good" {
  framework = "sim"
}

dataset "short" {
  type  = "synthetic"
  shape = "D(16,4)"
}

benchmark "chat" {
  matrix {
    server = [server.a, server.good]
  }
  server  = matrix.server
  dataset = dataset.short
  order   = "file"

  phase "steady" {
    requests    = matrix.server == server.a ? var.requests : 4
    concurrency = 2
  }
}

sink "json" {}
`

// goodMeasured says that the other server of the scenario was measured.
const goodMeasured = `(?s)(ok|suspect) +benchmark\.chat\[server=good\]#1 steady: 4 of 4`

const hfToken = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz"

// serverA is how the names of server a's containers begin.
const serverA = "sparkrun-server.a-"

// containerRuns are runs of the scenario on an engine.
type containerRuns struct {
	engine *engine
	dir    string
	env    []string
}

func containerRunsOn(t *testing.T, e *engine) containerRuns {
	return containerRuns{e, folderWith(t, dockerScenario), []string{"DOCKER_HOST=" + e.host, "HF_TOKEN=" + hfToken, "HOME=" + t.TempDir()}}
}

func (r containerRuns) sparkrun(t *testing.T, crash string, args ...string) (string, error) {
	t.Helper()
	return sparkrunIn(t, r.dir, append([]string{crashVariable + "=" + crash}, r.env...), args...)
}

// apply runs the scenario and checks what it printed.
func (r containerRuns) apply(t *testing.T, id, crash, pattern string, args ...string) string {
	t.Helper()
	out, _ := r.sparkrun(t, crash, append([]string{"apply", "scenario.hcl", "--run-id", id}, args...)...)
	if !regexp.MustCompile(pattern).MatchString(out) {
		t.Errorf("no match for %s in\n%s", pattern, out)
	}
	if strings.Contains(out, hfToken) {
		t.Error("the token is shown")
	}
	return out
}

func (r containerRuns) nothingLeft(t *testing.T) {
	t.Helper()
	r.engine.nothingLeft(t, serverA)
}

// TestPodman: the same client, on podman's socket.
func TestPodman(t *testing.T) {
	e := startPodman(t)
	r := containerRunsOn(t, e)
	dir, sparkrun, apply, nothingLeft := r.dir, r.sparkrun, r.apply, r.nothingLeft
	t.Run("start, ready, measured, logged, removed", func(t *testing.T) {
		out := apply(t, "one", "", goodMeasured, "--var", "life=args")
		if !strings.Contains(out, "[server=a]#1 steady: 4 of 4") {
			t.Errorf("%s", out)
		}
		log, _ := os.ReadFile(filepath.Join(dir, "results/scenario/one/logs/server.a.log"))
		if want := `arguments ["a b" "$HOME 'x' \"y\"" "{\"k\": [1]}" "two\nlines" "日本"]`; !strings.Contains(string(log), want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
		nothingLeft(t)
	})
	t.Run("killed for want of memory", func(t *testing.T) {
		apply(t, "greedy", "", `LAUNCH_OUT_OF_MEMORY: .*exit status 137.*killed (it )?for want of memory`, "--var", "life=greedy", "--var", "memory=64m")
		nothingLeft(t)
	})
	t.Run("dies in mid-load", func(t *testing.T) {
		apply(t, "dies", "", `MEASURE_SERVER_DIED: server\.a ended \(exit status 3\).*panic: engine core is dead`, "--var", "life=dies", "--var", "requests=40")
		nothingLeft(t)
	})
	t.Run("ignores SIGTERM", func(t *testing.T) {
		apply(t, "stubborn", "", goodMeasured, "--var", "life=stubborn")
		nothingLeft(t)
	})
	t.Run("image missing", func(t *testing.T) {
		apply(t, "image", "", `LAUNCH_IMAGE: start server\.a: pull image 127\.0\.0\.1:9/none:1`, "--var", "image=127.0.0.1:9/none:1")
		nothingLeft(t)
	})
	t.Run("name taken", func(t *testing.T) {
		name := containers.Name(targets.Mark{Run: filepath.Join(dir, "results/scenario/taken"), Server: "server.a"})
		e.foreign(t, name, "/faultserver", "-life", "silent")
		apply(t, "taken", "", `LAUNCH_NAME_TAKEN: .*container `+name+`: .*docker rm -f `+name)
		e.remove(t, serverA)
	})
	t.Run("leftover of a dead run", func(t *testing.T) {
		apply(t, "dead", "after 3", "")
		if len(e.names(t, serverA)) != 1 {
			t.Fatalf("the container should have outlived sparkrun: %q", e.names(t, serverA))
		}
		if out, err := sparkrun(t, "", "down", "dead"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		nothingLeft(t)
	})
}

// TestContainers is the life of servers in containers, on a real dockerd.
func TestContainers(t *testing.T) {
	t.Parallel()
	e := startDocker(t)
	r := containerRunsOn(t, e)
	dir, sparkrun, apply, nothingLeft := r.dir, r.sparkrun, r.apply, r.nothingLeft

	t.Run("all", func(t *testing.T) {
		t.Run("on a node", func(t *testing.T) {
			t.Parallel()
			containersOnANode(t, e)
		})
		t.Run("here", func(t *testing.T) {
			t.Parallel()
			t.Run("start, ready, measured, logged, removed", func(t *testing.T) {
				out := apply(t, "one", "", goodMeasured, "--var", "life=args")
				if !strings.Contains(out, "[server=a]#1 steady: 4 of 4") {
					t.Errorf("%s", out)
				}
				log, _ := os.ReadFile(filepath.Join(dir, "results/scenario/one/logs/server.a.log"))
				if want := `arguments ["a b" "$HOME 'x' \"y\"" "{\"k\": [1]}" "two\nlines" "日本"]`; !strings.Contains(string(log), want) {
					t.Errorf("the log lacks %s:\n%s", want, log)
				}
				jour, _ := os.ReadFile(filepath.Join(dir, "results/scenario/one/journal.jsonl"))
				if !regexp.MustCompile(`"type":"created".*"kind":"container".*"image":"sha256:[0-9a-f]{64}"`).Match(jour) || strings.Contains(string(jour), hfToken) {
					t.Errorf("%s", jour)
				}
				summary, _ := os.ReadFile(filepath.Join(dir, "results/scenario/one/summary.json"))
				if !regexp.MustCompile(`(?s)"image": "sparkrun-test/faultserver:1",\s+"image_digest": "sha256:[0-9a-f]{64}".*"argv": \[\s+"/faultserver",.*"PORT",.*"two\\nlines",\s+"日本"`).Match(summary) {
					t.Errorf("the container is not found as it is:\n%.3000s", summary)
				}
				nothingLeft(t)
			})
			t.Run("secret", func(t *testing.T) {
				apply(t, "secret", "", goodMeasured, "--var", "life=secret")
				log, _ := os.ReadFile(filepath.Join(dir, "results/scenario/secret/logs/server.a.log"))
				if !strings.Contains(string(log), "my token is (sensitive) of length 29") {
					t.Errorf("%s", log)
				}
			})
			t.Run("image missing", func(t *testing.T) {
				apply(t, "image", "", `LAUNCH_IMAGE: start server\.a: pull image 127\.0\.0\.1:9/none:1`, "--var", "image=127.0.0.1:9/none:1")
				apply(t, "image2", "", goodMeasured, "--var", "image=127.0.0.1:9/none:1")
				nothingLeft(t)
			})
			t.Run("ends before it is ready", func(t *testing.T) {
				apply(t, "oom", "", `LAUNCH_OUT_OF_MEMORY: .*exit status 1.*torch.OutOfMemoryError`, "--var", "life=cuda_oom")
				nothingLeft(t)
			})
			t.Run("killed for want of memory", func(t *testing.T) {
				apply(t, "greedy", "", `LAUNCH_OUT_OF_MEMORY: .*exit status 137, killed for want of memory`, "--var", "life=greedy", "--var", "memory=64m")
				nothingLeft(t)
			})
			t.Run("never ready", func(t *testing.T) {
				apply(t, "silent", "", `READY_STALLED: .*no progress for 1s`, "--var", "life=silent", "--var", "stall=1s")
				nothingLeft(t)
			})
			t.Run("another model", func(t *testing.T) {
				apply(t, "wrong", "", `READY_WRONG_MODEL: .*it serves other`, "--var", "life=wrong_model")
				nothingLeft(t)
			})
			t.Run("dies in mid-load", func(t *testing.T) {
				apply(t, "dies", "", `MEASURE_SERVER_DIED: server\.a ended \(exit status 3\).*panic: engine core is dead`, "--var", "life=dies", "--var", "requests=40")
				nothingLeft(t)
			})
			t.Run("ignores SIGTERM", func(t *testing.T) {
				apply(t, "stubborn", "", goodMeasured, "--var", "life=stubborn")
				nothingLeft(t)
			})
			t.Run("killed in mid-load", func(t *testing.T) {
				done := make(chan struct{})
				go func() {
					defer close(done)
					waitForRow(filepath.Join(dir, "results/scenario/killed/rows/1.jsonl"))
					_, _ = e.api.ContainerKill(context.Background(), containers.Name(targets.Mark{Run: filepath.Join(dir, "results/scenario/killed"), Server: "server.a"}), client.ContainerKillOptions{Signal: "KILL"})
				}()
				out := apply(t, "killed", "", `MEASURE_SERVER_DIED: server\.a ended \(exit status 137: signal: killed\) while it was measured`, "--var", "requests=100000")
				<-done
				if !regexp.MustCompile(goodMeasured).MatchString(out) {
					t.Errorf("%s", out)
				}
				nothingLeft(t)
			})
			t.Run("name taken", func(t *testing.T) {
				name := containers.Name(targets.Mark{Run: filepath.Join(dir, "results/scenario/taken"), Server: "server.a"})
				e.foreign(t, name, "/faultserver", "-life", "silent")
				apply(t, "taken", "", `LAUNCH_NAME_TAKEN: .*container `+name+`: .*docker rm -f `+name)
				if left := e.names(t, serverA); len(left) != 1 || left[0] != name {
					t.Errorf("the foreign container should be there alone: %q", left)
				}
				e.remove(t, name)
			})
			t.Run("foreign container on the port", func(t *testing.T) {
				port := strconv.Itoa(sshtest.FreePort(t))
				e.foreign(t, "somebody", "/faultserver", "-port", port)
				waitForPort(t, port)
				apply(t, "port", "", `PREFLIGHT_PORT_TAKEN: .*port `+port+` is taken by container somebody`, "--var", "port="+port)
				nothingLeft(t)
				e.remove(t, "somebody")
			})
			t.Run("leftover of a dead run", func(t *testing.T) {
				for _, at := range []string{"after 2", "before 3", "after 3", "after 4"} {
					id := strings.ReplaceAll(at, " ", "-")
					apply(t, id, at, "")
					if out, err := sparkrun(t, "", "down", id); err != nil {
						t.Errorf("%s: %v\n%s", at, err, out)
					}
					nothingLeft(t)
				}
				apply(t, "dead", "after 3", "")
				if len(e.names(t, serverA)) != 1 {
					t.Fatalf("the container should have outlived sparkrun: %q", e.names(t, serverA))
				}
				apply(t, "next", "", `removed what the dead run .*results/scenario/dead left: server\.a: container sparkrun-server\.a-`)
				nothingLeft(t)
			})
			t.Run("resumed on another image of the same name", func(t *testing.T) {
				apply(t, "moved", "after 4", "")
				if out, err := sparkrun(t, "", "resume", "results/scenario/moved"); err != nil || strings.Contains(out, "Measuring benchmark.chat[server=a]") {
					t.Errorf("the same image: %v\n%s", err, out)
				}
				apply(t, "moved2", "after 4", "")
				e.load(t, filepath.Join(e.dir, "faultserver"), "another")
				out, err := sparkrun(t, "", "resume", "results/scenario/moved2")
				if err != nil || !regexp.MustCompile(`measure benchmark\.chat\[server=a\]#1 again: image_digest was sha256:\w+ and is sha256:\w+`).MatchString(out) || !strings.Contains(out, "Measuring benchmark.chat[server=a]") {
					t.Errorf("another image: %v\n%s", err, out)
				}
				nothingLeft(t)
			})
			t.Run("kept", func(t *testing.T) {
				if out, err := sparkrun(t, "", "up", "scenario.hcl", "--only", "server=a", "--run-id", "up"); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				apply(t, "adopting", "", `server\.a is running already .* run up\): it is used`, "--only", "server=a")
				if len(e.names(t, serverA)) != 1 {
					t.Errorf("%q", e.names(t, serverA))
				}
				if out, err := sparkrun(t, "", "down", "up"); err != nil || !strings.Contains(out, "Removed server.a: container sparkrun-server.a-") {
					t.Errorf("%v\n%s", err, out)
				}
				nothingLeft(t)
			})
		})
	})
	t.Run("daemon gone", func(t *testing.T) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			waitForRow(filepath.Join(dir, "results/scenario/gone/rows/1.jsonl"))
			_ = e.cmd.Process.Kill()
			_ = e.cmd.Wait()
		}()
		apply(t, "gone", "", `HOST_DOCKER: server\.a ended .*does not answer`, "--var", "requests=100000")
		<-done
		apply(t, "gone2", "", `HOST_DOCKER: .*does not answer: is it running`)
		e.start(t)
		if out, err := sparkrun(t, "", "down", "gone"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		nothingLeft(t)
	})
}

func waitForRow(path string) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(`"status":"ok"`)) {
			return
		}
	}
}

func waitForPort(t *testing.T, port string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
