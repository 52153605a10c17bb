package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sparkrun/runner"
	"sparkrun/scenario/plan"
	"sparkrun/targets"
	"sparkrun/targets/node"
)

func newDoctorCommand(env *Env) *cobra.Command {
	var (
		f   scenarioFlags
		out string
	)
	c := &cobra.Command{
		Use:   "doctor [PATH...]",
		Short: "Ask this machine and a scenario's nodes the questions that explain a failed run",
		Long: `Asks this machine what a run needs of it: the results folder, disk, memory, GPUs, the
container engine, what runs have left, another sparkrun on the PATH. With a scenario also
its nodes, over SSH, and what its servers need: their programs, images and ports, and
whether those with a url answer. A node that only load comes from is asked for what workers
need. Nothing is started or changed.

Each line is ok, note (worth knowing), or fail with what to do. Exit code 1 if one fails.`,
		Example: "  sparkrun doctor\n  sparkrun doctor sweep.hcl --only server=vllm",
		RunE: func(_ *cobra.Command, args []string) error {
			p := &plan.Plan{}
			if len(args) > 0 {
				s, err := f.load(env, args)
				if err != nil {
					return err
				}
				p = s.Plan
			}
			on := newNodes(env, usedNodes(p))
			defer on.close()
			d := &doctor{env: env, out: env.Stdout, tools: tools(env, nil, on), secrets: p.Secrets, silent: map[string]bool{}}
			ctx := context.Background()
			d.machine(ctx, out)
			for _, name := range d.tools.Nodes {
				d.node(ctx, name, p)
			}
			d.strays(ctx)
			for _, other := range others(env) {
				d.say("note", "PATH", "%s is another program of this name: call this one by its path (%s)", other, env.Self)
			}
			for i := range p.Servers {
				if used(p, p.Servers[i].Address) {
					d.server(ctx, &p.Servers[i], p.Nodes)
				}
			}
			if d.failed > 0 {
				return &exitError{code: exitRun}
			}
			return nil
		},
	}
	f.register(c)
	c.Flags().StringVar(&out, "out", "results", "folder of the results store")
	return c
}

func used(p *plan.Plan, server string) bool {
	for i := range p.Cells {
		if p.Cells[i].Server == server {
			return true
		}
	}
	return false
}

// doctor prints a line for each question.
type doctor struct {
	env     *Env
	out     io.Writer
	tools   runner.Tools
	secrets []string        // of the scenario: a server may repeat what it was sent
	silent  map[string]bool // nodes that do not answer
	failed  int
}

func (d *doctor) say(level, what, format string, args ...any) {
	if level == "fail" {
		d.failed++
	}
	fmt.Fprintf(d.out, "%-5s %-14s %s\n", level, what, runner.Redacted(fmt.Sprintf(format, args...), d.secrets))
}

// check says ok with the detail, or fail with the error.
func (d *doctor) check(what string, err error, format string, args ...any) {
	if err != nil {
		d.say("fail", what, "%v", err)
		return
	}
	d.say("ok", what, format, args...)
}

// machine asks what every run needs.
func (d *doctor) machine(ctx context.Context, out string) {
	n := node.Local{}
	facts, err := n.Facts(ctx)
	d.check("machine", err, "%s: %s/%s, %d cores, kernel %s", facts.Hostname, facts.OS, facts.Arch, facts.Cores, facts.Kernel)
	d.check("results", writable(out), "%s can be written", out)
	if free, err := node.DiskFree(existing(out)); err == nil {
		level := "ok"
		if free < 1<<30 {
			level = "fail"
		}
		d.say(level, "disk", "%.1f GiB free for results", float64(free)/(1<<30))
	}
	d.resources(ctx, "", "local", n, facts)
}

// node asks a node of the scenario what its servers need of it, and the workers of the load.
func (d *doctor) node(ctx context.Context, name string, p *plan.Plan) {
	n, err := d.tools.Node(name)
	var facts targets.Facts
	if err == nil {
		facts, err = n.Facts(ctx)
	}
	d.check(name, err, "%s: %s/%s, %d cores, kernel %s", facts.Hostname, facts.OS, facts.Arch, facts.Cores, facts.Kernel)
	if err != nil {
		d.silent[name] = true
		return
	}
	d.disk(ctx, name+" disk", n)
	if loads(p, name) {
		d.worker(name, facts)
	}
	if !serves(p, name) {
		return
	}
	if remote, ok := n.(targets.Remote); ok {
		address, err := remote.Address()
		d.check(name, err, "its servers are reached at %s", address)
	}
	d.resources(ctx, name+" ", name, n, facts)
}

// worker says whether this program can be what the workers on a node are.
func (d *doctor) worker(name string, facts targets.Facts) {
	if facts.OS != runtime.GOOS || facts.Arch != runtime.GOARCH {
		d.say("note", name+" workers", "they are not this program, which is for %s/%s: give apply the file of sparkrun for %s/%s with --worker-binary", runtime.GOOS, runtime.GOARCH, facts.OS, facts.Arch)
		return
	}
	d.say("ok", name+" workers", "they are this program, which is brought there")
}

// disk asks a node for the space that is left where the user's caches are.
func (d *doctor) disk(ctx context.Context, what string, n targets.Node) {
	said, err := n.Run(ctx, targets.Cmd{Argv: []string{"sh", "-c", `df -Pk "$HOME" | tail -n 1`}})
	f := strings.Fields(string(said.Stdout))
	if err != nil || len(f) < 4 {
		d.say("fail", what, "it does not say how much is free: %v %s", err, said.Stderr)
		return
	}
	kib, _ := strconv.ParseFloat(f[3], 64)
	level := "ok"
	if kib < 1<<20 {
		level = "note" // enough for us, not for an image or a model
	}
	d.say(level, what, "%.1f GiB free in the user's home folder", kib/(1<<20))
}

// resources asks a machine for what servers take: memory, GPUs, the container engine.
func (d *doctor) resources(ctx context.Context, before, name string, n targets.Node, facts targets.Facts) {
	if m, err := n.Memory(ctx); err == nil && m.Total > 0 {
		level, advice := "ok", ""
		if m.Available < runner.MemoryFloor(m) {
			level, advice = "fail", fmt.Sprintf(", and %.1f must be left: end what holds it", float64(runner.MemoryFloor(m))/(1<<30))
		}
		d.say(level, before+"memory", "%.1f of %.1f GiB available%s", float64(m.Available)/(1<<30), float64(m.Total)/(1<<30), advice)
	}
	d.gpus(ctx, before+"GPU", n, facts)
	if engine, err := d.tools.Containers(name); err == nil {
		if _, err = engine.Marked(ctx); err == nil {
			d.say("ok", before+"containers", "the engine answers")
		} else {
			d.say("note", before+"containers", "servers with an image can't be started: %v", err)
		}
	}
}

func (d *doctor) gpus(ctx context.Context, what string, n targets.Node, facts targets.Facts) {
	if !facts.GPUs {
		d.say("note", what, "no NVIDIA driver: engines run on the CPU, containers get no --gpus")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	said, err := n.Run(ctx, targets.Cmd{Argv: []string{"nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"}})
	d.check(what, err, "%s", strings.ReplaceAll(strings.TrimSpace(string(said.Stdout)), "\n", "; "))
}

func (d *doctor) strays(ctx context.Context) {
	t := d.tools
	t.Nodes = slices.DeleteFunc(slices.Clone(t.Nodes), func(n string) bool { return d.silent[n] })
	all, err := runner.Strays(ctx, t)
	if err != nil {
		d.say("fail", "leftovers", "%v", err)
		return
	}
	for _, m := range all {
		for _, s := range m.Servers {
			switch {
			case m.Running:
				d.say("note", "leftovers", "the run %s is going on: %s", m.Dir, s)
			case m.Kept:
				d.say("note", "leftovers", "%s left running %s", m.Dir, s)
			default:
				d.say("note", "leftovers", "%s left %s: the next run removes it, or: sparkrun down %s", m.Dir, s, m.Dir)
			}
		}
	}
	if len(all) == 0 {
		d.say("ok", "leftovers", "no run has left anything")
	}
}

// existing is the first folder upwards that is there.
func existing(path string) string {
	path = absolute([]string{path})[0]
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// writable proves that files can be made in a folder, or where it would be made.
func writable(path string) error {
	f, err := os.CreateTemp(existing(path), ".sparkrun-doctor-*")
	if err != nil {
		return fmt.Errorf("%w: set --out to a folder that can be written", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// others are the programs on the PATH that have our name and are not we.
func others(env *Env) []string {
	self, err := os.Stat(env.Self)
	if err != nil {
		return nil
	}
	var out []string
	path, _ := env.Lookup("PATH")
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, "sparkrun")
		if info, err := os.Stat(file); err == nil && !info.IsDir() && !os.SameFile(info, self) {
			out = append(out, file)
		}
	}
	return out
}
