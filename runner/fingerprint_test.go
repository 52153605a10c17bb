package runner

import (
	"slices"
	"testing"

	"sparkrun/scenario/plan"
	"sparkrun/targets"
)

// TestArgvOfRanks: what differs from run to run (the run's folder, ports that were just
// free) is not the server's own; which program it is, is.
func TestArgvOfRanks(t *testing.T) {
	r := &run{dir: "/results/x/1"}
	s := &plan.Server{Address: "server.a", Nodes: []string{"spark1", "spark2"}}
	launch := targets.Launch{Argv: []string{"vllm", "serve", "--port", "40123", "--master-port=25004", "--rpc", "10.0.0.2:25005", "--config", "/home/u/run/a.yml", "--seed", "25006"}}
	k := &rank{name: "server.a@rank0", of: s.Address, place: " (rank 0) on spark1", port: 40123, fabricPort: 25004, dir: "/home/u/run", launch: launch}
	want := []string{"# (rank 0) on spark1", "vllm", "serve", "--port", "PORT", "--master-port=FABRIC_PORT+0", "--rpc", "10.0.0.2:FABRIC_PORT+1", "--config", "RUN/servers/server.a@rank0/a.yml", "--seed", "25006"}
	if got := r.argv(t.Context(), s, k); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	alone := &rank{name: "server.a", of: s.Address, port: 8000, dir: "/results/x/1/servers/server.a", launch: targets.Launch{Argv: []string{"a", "--port=8000", "/results/x/1/y"}}}
	if got := r.argv(t.Context(), &plan.Server{Port: 8000, Nodes: []string{"local"}}, alone); !slices.Equal(got, []string{"a", "--port=8000", "RUN/y"}) {
		t.Errorf("one program with a port of its own: %q", got)
	}
}

// TestWhatNodesSay: the same once, what differs beside it.
func TestWhatNodesSay(t *testing.T) {
	driver := ""
	for _, said := range []string{"580.95", "", "580.95", "590.1"} {
		with(&driver, said)
	}
	if driver != "580.95, 590.1" {
		t.Errorf("%q", driver)
	}
}
