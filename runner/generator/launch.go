package generator

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

// WorkerCommand is the hidden command of this program that is a worker.
const WorkerCommand = "worker"

// Options are what a fleet is started with.
type Options struct {
	Generator plan.Generator
	Self      string // path of this program
	// Binary is what workers run where that is not this program: for mpirun and srun its path
	// on their nodes, else a file of this machine for nodes of another kind. "" for none.
	Binary  string
	Version string
	Node    func(name string) (targets.Node, error)
	Host    func(name string) string // by which mpirun and srun know a node
	Clock   record.Clock
	Mark    targets.Mark
	Log     io.Writer // what workers and launchers say; may be nil
}

// Start starts the workers of a generator and waits until all have come.
func Start(ctx context.Context, o Options) (*Fleet, error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	o.Log = &shared{w: o.Log}
	start := startEach
	if g := o.Generator; g.Launcher == "mpirun" || g.Launcher == "srun" {
		start = startByLauncher
	}
	arrived, stop, err := start(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("start the generator's workers (%s): %w", o.Generator.Launcher, err)
	}
	return newFleet(o.Clock, arrived, stop), nil
}

// arriving is ctx for as long as all workers may take to come.
func arriving(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, arriveWithin, fmt.Errorf("not all workers have come within %s", arriveWithin))
}

// Command is how a launcher that starts all workers by itself is called, with the program
// as it is on the nodes; nil for launchers that start each.
func Command(g plan.Generator, binary string, host func(node string) string) []string {
	var hosts []string
	for _, n := range g.Nodes {
		hosts = append(hosts, host(n))
	}
	each := strconv.Itoa(g.PerNode)
	var argv []string
	switch g.Launcher {
	case "mpirun":
		// A worker that dies must not take the others along.
		argv = []string{"mpirun", "--enable-recovery", "-x", dialVariable}
		switch {
		case g.Hostfile != "":
			argv = append(argv, "-hostfile", g.Hostfile)
		case len(hosts) > 0:
			argv = append(argv, "-host", strings.Join(hosts, ":"+each+",")+":"+each)
		}
		if g.PerNode > 0 {
			argv = append(argv, "--map-by", "ppr:"+each+":node")
		}
	case "srun":
		argv = []string{"srun", "--kill-on-bad-exit=0", "--export=ALL", "--input=none", "--unbuffered"}
		switch {
		case g.Hostfile != "":
			file := g.Hostfile
			if !strings.Contains(file, "/") {
				file = "./" + file // srun takes what has no slash for a host's name
			}
			argv = append(argv, "--nodelist="+file)
		case len(hosts) > 0:
			argv = append(argv, "--nodes="+strconv.Itoa(len(hosts)), "--nodelist="+strings.Join(hosts, ","))
		}
		argv = append(argv, "--ntasks-per-node="+each)
	default:
		return nil
	}
	return append(argv, binary, WorkerCommand)
}

// lastWords is how much of what a process says is kept to explain its end.
const lastWords = 4 << 10

// voice keeps the end of what a process says, and hands all of it on.
type voice struct {
	mu   sync.Mutex
	tail []byte
	to   io.Writer
}

func (v *voice) Write(b []byte) (int, error) {
	v.mu.Lock()
	v.tail = append(v.tail, b...)
	if n := len(v.tail); n > lastWords {
		v.tail = bytes.Clone(v.tail[n-lastWords:])
	}
	v.mu.Unlock()
	_, _ = v.to.Write(b) // a full disk must not stop a worker
	return len(b), nil
}

// with adds what was said to an error.
func (v *voice) with(err error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if said := strings.TrimSpace(string(v.tail)); err != nil && said != "" {
		return fmt.Errorf("%w: it said:\n%s", err, said)
	}
	return err
}

// shared is a writer for several.
type shared struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(b)
}

// stopGrace is how long a worker's process may take to end by itself.
const stopGrace = 5 * time.Second

// startEach starts every worker by itself, on this machine or by ssh, and speaks over its
// standard streams.
func startEach(ctx context.Context, o Options) ([]arrival, func(context.Context) error, error) {
	paths, err := bring(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := arriving(ctx)
	defer cancel()
	g := o.Generator
	size := len(g.Nodes) * g.PerNode
	arrived, errs := make([]arrival, size), make([]error, size)
	procs := make([]targets.Proc, size)
	var starts sync.WaitGroup
	for rank := range size {
		starts.Go(func() {
			name := g.Nodes[rank/g.PerNode]
			arrived[rank], procs[rank], errs[rank] = startOne(ctx, o, name, paths[name], rank, size)
		})
	}
	starts.Wait()
	stop := func(ctx context.Context) error { return stopAll(ctx, procs) }
	if err := errors.Join(errs...); err != nil {
		for _, a := range arrived {
			if a.conn != nil {
				a.Close()
			}
		}
		return nil, nil, errors.Join(err, stop(context.WithoutCancel(ctx)))
	}
	return arrived, stop, nil
}

func stopAll(ctx context.Context, procs []targets.Proc) error {
	errs := make([]error, len(procs))
	var stops sync.WaitGroup
	for i, p := range procs {
		if p != nil {
			stops.Go(func() { _, errs[i] = p.Stop(ctx, stopGrace) })
		}
	}
	stops.Wait()
	err := errors.Join(errs...)
	if errors.Is(err, targets.ErrUnreachable) {
		err = fmt.Errorf("%w: a worker that is still there ends when it has heard nothing of the run for %s", err, orphanedAfter)
	}
	return err
}

// startOne starts a worker, the program at path on the node of that name.
func startOne(ctx context.Context, o Options, name, path string, rank, size int) (arrival, targets.Proc, error) {
	var p targets.Proc
	fail := func(err error) (arrival, targets.Proc, error) {
		return arrival{}, p, fmt.Errorf("worker %d on node %s: %w", rank, name, err)
	}
	node, err := o.Node(name)
	if err != nil {
		return fail(err)
	}
	stdin, in, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		stdin.Close()
		in.Close()
		return fail(err)
	}
	said := &voice{to: o.Log}
	p, err = node.Start(ctx, targets.Cmd{
		Argv: []string{path, WorkerCommand}, Stdin: stdin, Output: stdout, Stderr: said,
		// Its own: who ends a process ends all that carry its mark.
		Mark: targets.Mark{Run: o.Mark.Run, Server: fmt.Sprintf("%s@worker%d", o.Mark.Server, rank)},
		Env:  map[string]schema.Text{rankVariable: schema.Plain(strconv.Itoa(rank)), sizeVariable: schema.Plain(strconv.Itoa(size))},
	})
	if err != nil {
		for _, f := range []*os.File{stdin, in, out, stdout} {
			f.Close()
		}
		return fail(err)
	}
	proc := p
	go func() { // its end is the end of its stream, once all that it wrote has been read
		<-proc.Done()
		stdin.Close()
		stdout.Close()
	}()
	var a arrival
	a.conn = newConn(streams{out, in})
	a.process = process{
		ended: p.Done(), why: func() error { return said.with(proc.Err()) },
		kill: func() { go func() { _, _ = proc.Stop(context.Background(), 0) }() },
	}
	if a.hello, err = meet(ctx, a.conn, o.Version, size); err != nil {
		a.conn.Close()
		select {
		case <-p.Done():
			if errors.Is(err, errNoWord) && p.Err() != nil {
				err = p.Err()
			}
		case <-time.After(fateTime):
		}
		return fail(said.with(err))
	}
	if a.Rank != rank {
		a.conn.Close()
		return fail(fmt.Errorf("it says that it is number %d", a.Rank))
	}
	return a, p, nil
}

var errNoWord = errors.New("it ended before it said anything")

// meet waits for a worker's first words.
func meet(ctx context.Context, c *conn, version string, size int) (hello, error) {
	cut := context.AfterFunc(ctx, func() { c.Close() })
	defer cut()
	h, err := welcome(c)
	switch {
	case ctx.Err() != nil:
		return h, context.Cause(ctx)
	case err == io.EOF: // nothing came, not even garbage
		return h, errNoWord
	case err != nil:
		return h, err
	}
	return h, h.check(version, size)
}

// startByLauncher lets mpirun or srun start all workers, which connect back.
func startByLauncher(ctx context.Context, o Options) ([]arrival, func(context.Context) error, error) {
	ctx, cancel := arriving(ctx)
	defer cancel()
	d, err := openDoor()
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	local, err := o.Node("local")
	if err != nil {
		return nil, nil, err
	}
	said := &voice{to: o.Log}
	argv := Command(o.Generator, cmp.Or(o.Binary, o.Self), o.Host)
	p, err := local.Start(ctx, targets.Cmd{
		Argv: argv, Output: said, Mark: o.Mark,
		Env: map[string]schema.Text{dialVariable: schema.Secret(d.way())},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: is %s installed?", err, argv[0])
	}
	arrived, err := gather(ctx, d, o.Version, p.Done())
	stop := func(ctx context.Context) error { return stopLauncher(ctx, p) }
	if err != nil {
		err = errors.Join(said.with(fmt.Errorf("%w: %s", err, strings.Join(argv, " "))), stop(context.WithoutCancel(ctx)))
		for _, a := range arrived {
			a.Close()
		}
		return nil, nil, err
	}
	return arrived, stop, nil
}

// stopLauncher waits for the end of a launcher whose workers have been let go, and ends it.
func stopLauncher(ctx context.Context, p targets.Proc) error {
	select {
	case <-p.Done():
	case <-ctx.Done():
	case <-time.After(stopGrace):
	}
	_, err := p.Stop(ctx, stopGrace)
	return err
}

// gather takes the workers that come to the door until all have: the first one says how
// many there are. Who is no worker of ours is turned away.
func gather(ctx context.Context, d *door, version string, ended <-chan struct{}) ([]arrival, error) {
	comes := make(chan arrival)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var doors sync.WaitGroup
	defer doors.Wait()
	defer d.Close()
	doors.Go(func() {
		for {
			raw, err := d.Accept()
			if err != nil {
				return // closed: all have come, or it is given up
			}
			doors.Go(func() {
				c, h, err := d.admit(raw)
				if err != nil {
					return // not ours
				}
				select {
				case comes <- arrival{hello: h, conn: c}:
				case <-ctx.Done():
					c.Close()
				}
			})
		}
	})
	var all []arrival
	for size := 0; size == 0 || len(all) < size; {
		select {
		case a := <-comes:
			all = append(all, a)
			if err := a.check(version, size); err != nil {
				return all, err
			}
			size = a.Size
			for _, o := range all[:len(all)-1] {
				if o.Rank == a.Rank {
					return all, fmt.Errorf("two workers say that they are number %d: %s and %s", o.Rank, o.Host, a.Host)
				}
			}
		case <-ended:
			return all, fmt.Errorf("it ended when %d workers had come", len(all))
		case <-ctx.Done():
			return all, fmt.Errorf("%w: %d have", context.Cause(ctx), len(all))
		}
	}
	return all, nil
}
