package container

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"sparkrun/targets"
)

// The labels of a container of ours.
const (
	labelRun    = "sparkrun.run"
	labelServer = "sparkrun.server"
	labelFrom   = "sparkrun.from" // the machine whose run it is, on a node
)

// callLimit is how long one call of the engine may take; it answers in milliseconds, and a
// machine without memory never.
const callLimit = 30 * time.Second

// Docker is the container engine of a machine.
type Docker struct {
	api  *client.Client
	home func(ctx context.Context) (string, error) // of the user, for mounts that begin with ~/
	// from is the machine whose runs are seen, "" for those of the engine's own machine: two
	// that use a node leave each other's containers alone.
	from string
	lost func() error  // why the node can't be reached now, nil if it can
	wait time.Duration // how long a node may be away
}

// patience is how long a question after a broken stream may take.
func (d *Docker) patience() time.Duration { return callLimit + d.wait }

var _ targets.Containers = (*Docker)(nil)

// Open finds the engine: $DOCKER_HOST, Docker's socket, or podman's. It does not connect.
func Open(lookup func(string) (string, bool)) (*Docker, error) {
	options := []client.Opt{client.FromEnv}
	if host, _ := lookup("DOCKER_HOST"); host == "" {
		options = append(options, client.WithHost(socket(lookup)))
	}
	api, err := client.New(options...)
	if err != nil {
		return nil, fmt.Errorf("open the container engine: %w", err)
	}
	home, _ := lookup("HOME")
	return &Docker{api: api, home: func(context.Context) (string, error) { return home, nil }, lost: func() error { return nil }}, nil
}

// Remote is a machine whose engine is reached through its connection.
type Remote interface {
	Dial(ctx context.Context, network, address string) (net.Conn, error)
	Home(ctx context.Context) (string, error)
	// EngineSocket is the path of the engine's socket, "" for none.
	EngineSocket(ctx context.Context) (string, error)
	// Lost is why it can't be reached now, nil if it can.
	Lost() error
	// Patience is how long it may be away until it counts as gone.
	Patience() time.Duration
}

// OpenRemote is the engine of a node, used by the machine from. It does not connect.
func OpenRemote(node Remote, from string) (*Docker, error) {
	api, err := client.New(client.WithHost("http://engine"), client.WithDialContext(func(ctx context.Context, _, _ string) (net.Conn, error) {
		socket, err := node.EngineSocket(ctx)
		if err != nil {
			return nil, err
		}
		if socket == "" {
			return nil, errors.New("there is no socket of Docker or podman")
		}
		return node.Dial(ctx, "unix", socket)
	}))
	if err != nil {
		return nil, fmt.Errorf("open the container engine: %w", err)
	}
	return &Docker{api: api, home: node.Home, from: from, lost: node.Lost, wait: node.Patience()}, nil
}

// socket is the first socket that is there, Docker's if none is.
func socket(lookup func(string) (string, bool)) string {
	const docker = "/var/run/docker.sock"
	paths := []string{docker}
	if dir, ok := lookup("XDG_RUNTIME_DIR"); ok {
		paths = append(paths, filepath.Join(dir, "podman", "podman.sock"))
	}
	for _, p := range append(paths, "/run/podman/podman.sock") {
		if _, err := os.Stat(p); err == nil {
			return "unix://" + p
		}
	}
	return "unix://" + docker
}

// Close ends its connections.
func (d *Docker) Close() error { return d.api.Close() }

// wrap says what was being done, and whether the engine answered at all.
func (d *Docker) wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf(format, args...)
	if node := (*targets.NodeError)(nil); errors.As(err, &node) {
		return fmt.Errorf("%s: %w", what, err)
	}
	if lost := d.lost(); lost != nil {
		return fmt.Errorf("%s: %w", what, lost)
	}
	if client.IsErrConnectionFailed(err) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w: %w", what, targets.ErrNoEngine, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Image makes sure that an image is there and returns its digest.
func (d *Docker) Image(ctx context.Context, ref string, progress func(string)) (string, error) {
	digest, err := d.digest(ctx, ref)
	if err == nil || !errdefs.IsNotFound(err) {
		return digest, d.wrap(err, "look for image %s", ref)
	}
	pull, err := d.api.ImagePull(ctx, ref, client.ImagePullOptions{})
	if err != nil {
		return "", d.wrap(err, "pull image %s", ref)
	}
	defer pull.Close()
	layers := map[string][2]int64{} // layer → bytes here, bytes in all
	for m, err := range pull.JSONMessages(ctx) {
		if err != nil {
			return "", d.wrap(err, "pull image %s", ref)
		}
		if m.Error != nil {
			return "", fmt.Errorf("pull image %s: %s", ref, m.Error.Message)
		}
		if m.Progress != nil && m.Progress.Total > 0 && m.Status == "Downloading" {
			layers[m.ID] = [2]int64{m.Progress.Current, m.Progress.Total}
			var here, all int64
			for _, l := range layers {
				here, all = here+l[0], all+l[1]
			}
			progress(fmt.Sprintf("pull %s: %.1f of %.1f GB", ref, float64(here)/1e9, float64(all)/1e9))
		}
	}
	digest, err = d.digest(ctx, ref)
	return digest, d.wrap(err, "look for image %s", ref)
}

// Digest is the digest of an image that is there, "" for one that is not.
func (d *Docker) Digest(ctx context.Context, ref string) (string, error) {
	digest, err := d.digest(ctx, ref)
	if errdefs.IsNotFound(err) {
		return "", nil
	}
	return digest, d.wrap(err, "look for image %s", ref)
}

// digest is the manifest digest of an image, its id where it comes from no registry.
func (d *Docker) digest(ctx context.Context, ref string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	image, err := d.api.ImageInspect(ctx, ref)
	if err != nil {
		return "", err
	}
	for _, r := range image.RepoDigests {
		if _, digest, ok := strings.Cut(r, "@"); ok {
			return digest, nil
		}
	}
	return image.ID, nil
}

// Name is the name of a mark's container: the run's folder is in it as a hash, since two runs may
// have the same id. It never contains "sparkrun_", which the Python tool of that name
// takes for its own.
func Name(m targets.Mark) string { return nameOf(m, "") }

func nameOf(m targets.Mark, from string) string {
	sum := sha256.Sum256([]byte(from + m.Run))
	clean := strings.Map(func(r rune) rune {
		if r < 128 && (r == '.' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return r
		}
		return '-'
	}, m.Server)
	return "sparkrun-" + clean + "-" + hex.EncodeToString(sum[:4])
}

// markOf is the mark of a container, none if it is another machine's.
func (d *Docker) markOf(labels map[string]string) targets.Mark {
	if labels[labelFrom] != d.from {
		return targets.Mark{}
	}

	return targets.Mark{Run: labels[labelRun], Server: labels[labelServer]}
}

// Marked are the containers that carry a mark, of any run, running or not.
func (d *Docker) Marked(ctx context.Context) ([]targets.MarkedContainer, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	found, err := d.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", labelRun)})
	if err != nil {
		return nil, d.wrap(err, "list containers")
	}
	var out []targets.MarkedContainer
	for _, c := range found.Items {
		if m := d.markOf(c.Labels); m.Run != "" {
			out = append(out, targets.MarkedContainer{ID: c.ID, Name: strings.TrimPrefix(slices.Concat(c.Names, []string{c.ID})[0], "/"), Mark: m, Running: c.State == container.StateRunning})
		}
	}
	return out, nil
}

// Remove stops and removes the containers that carry the mark, and proves that they are
// gone.
func (d *Docker) Remove(ctx context.Context, m targets.Mark, grace time.Duration) ([]targets.MarkedContainer, error) {
	all, err := d.Marked(ctx)
	if err != nil {
		return nil, err
	}
	var removed []targets.MarkedContainer
	for _, c := range all {
		if c.Mark != m {
			continue
		}
		if err := d.remove(ctx, c.ID, c.Name, grace); err != nil {
			return removed, err
		}
		removed = append(removed, c)
	}
	return removed, nil
}

func (d *Docker) remove(ctx context.Context, id, name string, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, grace+callLimit)
	defer cancel()
	seconds := int((grace + time.Second - 1) / time.Second)
	if _, err := d.api.ContainerStop(ctx, id, client.ContainerStopOptions{Timeout: &seconds}); err != nil && !errdefs.IsNotFound(err) {
		return d.wrap(err, "stop container %s", name)
	}
	if _, err := d.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true}); err != nil && !errdefs.IsNotFound(err) {
		return d.wrap(err, "remove container %s", name)
	}
	_, err := d.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	switch {
	case err == nil:
		return fmt.Errorf("remove container %s: it is still there", name)
	case !errdefs.IsNotFound(err):
		return d.wrap(err, "look for container %s", name)
	}
	return nil
}

// Holder is the name of the container in which a process of the node runs.
func (d *Docker) Holder(ctx context.Context, pid int) (string, bool) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	found, err := d.api.ContainerList(ctx, client.ContainerListOptions{})
	if err != nil {
		return "", false
	}
	for _, c := range found.Items {
		top, err := d.api.ContainerTop(ctx, c.ID, client.ContainerTopOptions{})
		if err != nil {
			continue
		}
		column := slices.Index(top.Titles, "PID")
		for _, row := range top.Processes {
			if column >= 0 && column < len(row) && row[column] == strconv.Itoa(pid) {
				return strings.TrimPrefix(slices.Concat(c.Names, []string{c.ID})[0], "/"), true
			}
		}
	}
	return "", false
}
