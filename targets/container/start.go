package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"sparkrun/targets"
)

// Start creates and starts the container of a launch. One of ours that has its name is
// removed first; one that is not ours is an error that names it.
func (d *Docker) Start(ctx context.Context, c targets.ContainerCmd) (targets.Proc, error) {
	config, host, err := d.config(ctx, c)
	if err != nil {
		return nil, err
	}
	called := nameOf(c.Mark, d.from)
	if err := d.freeName(ctx, called, c.Mark); err != nil {
		return nil, err
	}
	short, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	made, err := d.api.ContainerCreate(short, client.ContainerCreateOptions{Config: config, HostConfig: host, Name: called})
	if err != nil {
		return nil, d.wrap(err, "create container %s", called)
	}
	if _, err := d.api.ContainerStart(short, made.ID, client.ContainerStartOptions{}); err != nil {
		return nil, errors.Join(d.wrap(err, "start container %s", called), d.remove(context.WithoutCancel(ctx), made.ID, called, 0))
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &running{docker: d, id: made.ID, name: called, stopWatch: stop, done: make(chan struct{}), logged: make(chan struct{})}
	if there, err := d.api.ContainerInspect(short, made.ID, client.ContainerInspectOptions{}); err == nil && there.Container.State != nil {
		p.pid = there.Container.State.Pid
	}
	go p.copyLogs(run, c.Log)
	go p.wait(run)
	return p, nil
}

// freeName makes sure that no container has the name.
func (d *Docker) freeName(ctx context.Context, called string, m targets.Mark) error {
	short, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	there, err := d.api.ContainerInspect(short, called, client.ContainerInspectOptions{})
	switch {
	case errdefs.IsNotFound(err):
		return nil
	case err != nil:
		return d.wrap(err, "look for container %s", called)
	case there.Container.Config == nil || d.markOf(there.Container.Config.Labels) != m:
		return fmt.Errorf("container %s: %w: remove it with: docker rm -f %s", called, targets.ErrNameTaken, called)
	}
	return d.remove(ctx, there.Container.ID, called, 0)
}

// config is what the API takes for a launch.
func (d *Docker) config(ctx context.Context, c targets.ContainerCmd) (*container.Config, *container.HostConfig, error) {
	l := c.Launch
	config := &container.Config{Image: l.Image, Cmd: l.Argv, Labels: map[string]string{labelRun: c.Mark.Run, labelServer: c.Mark.Server}}
	if d.from != "" {
		config.Labels[labelFrom] = d.from
	}
	if l.ReplaceEntrypoint {
		config.Entrypoint = l.Entrypoint
		if len(l.Entrypoint) == 0 { // an empty one would mean the image's
			config.Entrypoint, config.Cmd = l.Argv, nil
		}
	}
	for k, v := range l.Env {
		config.Env = append(config.Env, k+"="+v.Reveal())
	}
	slices.Sort(config.Env)
	host := &container.HostConfig{NetworkMode: "host", IpcMode: "host", Privileged: l.Privileged, CapAdd: l.Capabilities}
	var err error
	if l.ShmSize != "" {
		host.IpcMode = "private"
		if host.ShmSize, err = bytesOf(l.ShmSize); err != nil {
			return nil, nil, fmt.Errorf("container { shm_size }: %w", err)
		}
	}
	if l.Memory != "" {
		if host.Memory, err = bytesOf(l.Memory); err != nil {
			return nil, nil, fmt.Errorf("container { memory }: %w", err)
		}
		host.MemorySwap = host.Memory // none beyond it
	}
	if l.GPUs {
		host.DeviceRequests = []container.DeviceRequest{{Count: -1, Capabilities: [][]string{{"gpu"}}}}
		host.Ulimits = []*container.Ulimit{{Name: "memlock", Soft: -1, Hard: -1}, {Name: "stack", Soft: 64 << 20, Hard: 64 << 20}}
	}
	for _, dev := range l.Devices {
		host.Devices = append(host.Devices, container.DeviceMapping{PathOnHost: dev, PathInContainer: dev, CgroupPermissions: "rwm"})
	}
	for _, m := range l.Mounts {
		if strings.HasPrefix(m, "~/") {
			home, err := d.home(ctx)
			if err != nil {
				return nil, nil, err
			}
			m = home + m[1:]
		}
		host.Binds = append(host.Binds, m)
	}
	for _, f := range l.Files {
		host.Binds = append(host.Binds, filepath.Join(c.Dir, f.Name)+":"+targets.ContainerDir+"/"+f.Name+":ro")
	}
	return config, host, nil
}

// bytesOf reads a size as docker run has it: "64m", "32g".
func bytesOf(s string) (int64, error) {
	digits := strings.TrimRight(strings.ToLower(s), "bkmgi")
	n, err := strconv.ParseFloat(digits, 64)
	unit := map[string]float64{"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}[strings.TrimRight(strings.ToLower(s[len(digits):]), "ib")]
	if err != nil || unit == 0 || !(n > 0 && n*unit < 1<<60) { // NaN too
		return 0, fmt.Errorf("%q is no size: write it as in 32g", s)
	}
	return int64(n * unit), nil
}

// running is a started container.
type running struct {
	docker    *Docker
	id, name  string
	pid       int // of its first process on the node, 0 unknown
	stopWatch context.CancelFunc
	done      chan struct{}
	err       error // set before done is closed
	logged    chan struct{}

	stopOnce sync.Once
	stopErr  error
}

// Argv is the command line that the container runs, the image's own entrypoint included;
// nil where the engine does not say.
func (p *running) Argv(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	c, err := p.docker.api.ContainerInspect(ctx, p.id, client.ContainerInspectOptions{})
	if err != nil || c.Container.Path == "" {
		return nil
	}
	return append([]string{c.Container.Path}, c.Container.Args...)
}

// NodePid is the pid of its first process as the node sees it, 0 unknown.
func (p *running) NodePid() int { return p.pid }

// Pid is none: a container is known by its name.
func (p *running) Pid() int                { return 0 }
func (p *running) Started() uint64         { return 0 }
func (p *running) Done() <-chan struct{}   { return p.done }
func (p *running) Logged() <-chan struct{} { return p.logged }

func (p *running) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// wait waits for the container's end, over as many connections to its engine as it takes.
func (p *running) wait(ctx context.Context) {
	defer close(p.done)
	for {
		w := p.docker.api.ContainerWait(ctx, p.id, client.ContainerWaitOptions{})
		select {
		case r := <-w.Result:
			p.err = p.how(r.StatusCode)
			return
		case err := <-w.Error:
			if ctx.Err() == nil && !errdefs.IsNotFound(err) && p.goesOn(ctx) {
				continue
			}
			p.err = p.broken(ctx, err)
			return
		}
	}
}

// goesOn reports whether the container still runs, after the stream to the engine broke: a
// node is connected to anew for the question.
func (p *running) goesOn(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, p.docker.patience())
	defer cancel()
	_, err := p.docker.api.ContainerInspect(ctx, p.id, client.ContainerInspectOptions{})
	return err == nil // one that has ended is waited for no time
}

// broken is why a container can't be watched any more.
func (p *running) broken(ctx context.Context, err error) error {
	switch lost := p.docker.lost(); {
	case ctx.Err() != nil || errdefs.IsNotFound(err):
	case lost != nil:
		err = lost
	default:
		err = fmt.Errorf("%w: %w", targets.ErrNoEngine, err) // the stream to it broke
	}
	return fmt.Errorf("watch container %s: %w", p.name, err)
}

// how says how the container ended.
func (p *running) how(code int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	c, err := p.docker.api.ContainerInspect(ctx, p.id, client.ContainerInspectOptions{})
	switch {
	case err == nil && c.Container.State != nil && c.Container.State.OOMKilled:
		return fmt.Errorf("exit status %d, %w", code, targets.ErrOutOfMemory)
	case err == nil && c.Container.State != nil && c.Container.State.Error != "":
		return fmt.Errorf("exit status %d: %s", code, c.Container.State.Error)
	}
	if err := targets.ExitStatus(int(code)); err != nil {
		return err
	}
	return errors.New("exit status 0")
}

// logWait is how long the last of a log may take after the container's end.
const logWait = 2 * time.Second

// copyLogs writes the container's output, from its start on.
func (p *running) copyLogs(ctx context.Context, to io.WriteCloser) {
	defer close(p.logged)
	defer to.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-p.done:
		case <-ended:
			return
		}
		select {
		case <-time.After(logWait):
			cancel()
		case <-ended:
		}
	}()
	out := &skipping{to: to}
	var err error
	for {
		var logs client.ContainerLogsResult
		out.seen = 0
		logs, err = p.docker.api.ContainerLogs(ctx, p.id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: true})
		if err == nil {
			_, err = stdcopy.StdCopy(out, out, logs)
			logs.Close()
		}
		if err == nil || p.docker.from == "" || ctx.Err() != nil || !p.goesOn(ctx) {
			break
		}
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, os.ErrClosed) {
		fmt.Fprintf(to, "sparkrun: the log of container %s breaks off: %v\n", p.name, err)
	}
}

// skipping leaves out what has been written before: a log that breaks off is read again
// from its beginning.
type skipping struct {
	to            io.Writer
	seen, written int64 // bytes since the log's beginning, and those that were passed on
}

func (w *skipping) Write(b []byte) (int, error) {
	fresh := b[min(int64(len(b)), max(0, w.written-w.seen)):]
	w.seen += int64(len(b))
	n, err := w.to.Write(fresh)
	w.written += int64(n)
	return len(b) - len(fresh) + n, err
}

// Stop stops and removes the container.
func (p *running) Stop(ctx context.Context, grace time.Duration) ([]targets.Process, error) {
	p.stopOnce.Do(func() {
		p.stopErr = p.docker.remove(ctx, p.id, p.name, grace)
		p.stopWatch()
		<-p.done
		<-p.logged
	})
	return nil, p.stopErr
}
