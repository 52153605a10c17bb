package node

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"sparkrun/targets"
)

func TestProcessesOf(t *testing.T) {
	line := func(pid int, name, state string) string {
		return fmt.Sprintf("%d (%s) %s 1 42 43 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 1\n", pid, name, state)
	}
	text := line(7, "VLLM::EngineCor", "S") + "SPARKRUN_NODE_SERVER=server.a\nSPARKRUN_NODE_RUN=/a\x01b=c\n\n" +
		line(8, "gone", "Z") + "\n" + line(9, "plain (x)", "R") + "\nno process\n\n"
	got := processesOf(text)
	want := []targets.Process{
		{Pid: 7, Started: 987654, Name: "VLLM::EngineCor", Mark: targets.Mark{Run: "/a\nb=c", Server: "server.a"}},
		{Pid: 9, Started: 987654, Name: "plain (x)"},
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%+v", got)
	}
}

// TestFactsOf: what a DGX Spark would answer, by what its parts are documented to say.
func TestFactsOf(t *testing.T) {
	f, b := factsOf("os Linux\narch aarch64\nkernel 6.11.0-1016-nvidia\nhostname spark1\nhome /home/nvidia\npage 4096\nboot b1\ncores 20\n" +
		"MemTotal:       125512172 kB\nMemAvailable:   119000000 kB\ngpus yes\nrdma yes\ngpu_count 1\ngpu_model NVIDIA GB10\n" +
		"driver NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  580.95.05  Release Build\n")
	want := targets.Facts{Hostname: "spark1", OS: "linux", Arch: "arm64", Kernel: "6.11.0-1016-nvidia", BootID: "b1", Cores: 20, GPUs: true, RDMA: true, GPU: "NVIDIA GB10", Driver: "580.95.05", MemTotal: 125512172 << 10, MemFree: 119000000 << 10}
	if f != want || b != (basics{home: "/home/nvidia", page: 4096}) {
		t.Errorf("%+v %+v", f, b)
	}
}

func TestExitOf(t *testing.T) {
	for text, want := range map[string]string{
		"exit 0\n": "<nil>", "tail: x\nexit 4": "exit status 4", "exit 137\n": "exit status 137: signal: killed",
		"": errDetached.Error(), "tail: file truncated": errDetached.Error(), "exit x": "exit status x",
	} {
		if got := fmt.Sprint(exitOf(text)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if err := exitOf("gone\n"); err == nil || !strings.Contains(err.Error(), "it is gone") {
		t.Errorf("%v", err)
	}
}

// FuzzAnswers: whatever a node answers, it is read or left out.
func FuzzAnswers(f *testing.F) {
	f.Add("7 (x) S 1 42 43 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 1\nSPARKRUN_NODE_RUN=/a\n\n")
	f.Add("MemTotal:  12 kB\nmodel name\t: x\nresident 4\n")
	f.Add("exit 3\n")
	f.Fuzz(func(_ *testing.T, text string) {
		processesOf(text)
		factsOf(text)
		for _, v := range pairs(text) {
			kib(v)
		}
		_ = exitOf(text)
		listenInode(text, 22)
		_, _ = (&afterBegins{to: io.Discard}).Write([]byte(text))
		_ = (&sshProcess{}).startedLine(text)
	})
}

// TestFramed: the line that ends a script is none of it.
func TestFramed(t *testing.T) {
	s := &script{}
	s.WriteString("echo 'a\nend\nend.\n'")
	got := s.framed()
	end, rest, _ := strings.Cut(got, "\n")
	if end != "end.." || rest != "echo 'sparkrun begins'\n"+s.String()+"\nend..\n" {
		t.Errorf("%q", got)
	}
}
