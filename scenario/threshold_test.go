package scenario_test

import (
	"slices"
	"testing"
)

// TestThresholdsThatCompare: what baseline.* and peer({…}).* compile to.
func TestThresholdsThatCompare(t *testing.T) {
	p := mustLoad(t, `
server "a" {
  framework = "sim"
}
server "b" {
  framework = "sim"
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
benchmark "x" {
  matrix {
    server = [server.a, server.b]
    users  = [2, 4]
  }
  server  = matrix.server
  dataset = dataset.d
  phase "steady" {
    requests    = 10
    concurrency = matrix.users
  }
}
threshold "t" {
  condition     = result.ttft_ms.p50 < 1.05 * baseline.ttft_ms.p50 && result.output_tokens_per_s >= peer({ server = server.b }).output_tokens_per_s
  error_message = "slower"
  where         = { server = server.a }
}
`)
	th := p.Thresholds[0]
	want := []string{"metrics.ttft_ms.p50", "baseline.metrics.ttft_ms.p50", "throughput.output_tokens_per_s", "peer(server=b).throughput.output_tokens_per_s"}
	if !slices.Equal(th.Program.Columns, want) || th.Peers["peer(server=b)"]["server"] != "b" {
		t.Errorf("columns %v, peers %v", th.Program.Columns, th.Peers)
	}
	if c := p.Cells; c[0].Workload == "" || c[0].Digest == c[1].Digest {
		t.Errorf("workload %q, digests %q %q", c[0].Workload, c[0].Digest, c[1].Digest)
	}
	// The servers of a level have one workload, another level has another.
	byUsers := map[string]map[string]bool{}
	for i := range p.Cells {
		c := &p.Cells[i]
		users, _ := c.Address.Value("users")
		if byUsers[users] == nil {
			byUsers[users] = map[string]bool{}
		}
		byUsers[users][c.Workload] = true
	}
	if len(byUsers["2"]) != 1 || len(byUsers["4"]) != 1 || p.Cells[0].Workload == "" {
		t.Errorf("workloads by users: %v", byUsers)
	}
	for w := range byUsers["2"] {
		if byUsers["4"][w] {
			t.Error("2 and 4 users are called one workload")
		}
	}
}

// TestWorkload: what is sent makes it, who answers and how it is let in does not.
func TestWorkload(t *testing.T) {
	text := func(server, request string, shape string) string {
		return `
server "a" {
  framework = "sim"
  options   = { itl = "` + server + `" }
}
dataset "d" {
  type  = "synthetic"
  shape = "` + shape + `"
}
benchmark "x" {
  server  = server.a
  dataset = dataset.d
  request {
    ` + request + `
  }
  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}
`
	}
	of := func(s string) string { return mustLoad(t, s).Cells[0].Workload }
	base := of(text("2ms", "temperature = 0", "D(64,8)"))
	for name, same := range map[string]string{
		"another server": text("3ms", "temperature = 0", "D(64,8)"),
		"headers":        text("2ms", "temperature = 0\nheaders = { X-Team = \"a\" }", "D(64,8)"),
	} {
		if of(same) != base {
			t.Errorf("%s makes another workload", name)
		}
	}
	for name, other := range map[string]string{
		"temperature": text("2ms", "temperature = 1", "D(64,8)"),
		"lengths":     text("2ms", "temperature = 0", "D(64,9)"),
	} {
		if of(other) == base {
			t.Errorf("%s: the workload is the same", name)
		}
	}
}
