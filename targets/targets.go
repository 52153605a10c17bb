package targets

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// Mark is what every process and container of a run carries, so that it is found and
// known as ours whatever became of the run: in the environment of processes, as labels
// of containers.
type Mark struct {
	Run    string // absolute path of the run's folder
	Server string // the session that it serves
}

// The names under which a process has its mark in its environment.
const (
	MarkRun    = "SPARKRUN_RUN"
	MarkServer = "SPARKRUN_SERVER"
)

// Cmd is a program to run on a node: argv, never a shell string.
type Cmd struct {
	Argv  []string
	Name  string                 // what the program sees as argv[0], "" for Argv[0]
	Env   map[string]schema.Text // over the node's own environment
	Dir   string
	Stdin io.Reader
	// Lifeline keeps standard input open for as long as we live: a program that exits
	// when it closes cannot be orphaned by our death.
	Lifeline bool
	Mark     Mark
	Output   io.Writer // standard output, and error too unless Stderr is set
	Stderr   io.Writer // nil: Output
	// Log is the file that gets the output instead of Output, with Secrets replaced. It
	// is written by a process of its own, so that the program can outlive us.
	Log     string
	Secrets []string
}

// Output is what a finished program said.
type Output struct {
	Stdout, Stderr []byte
	ExitCode       int
}

// Proc is a started program.
type Proc interface {
	Pid() int
	// Started is when it started, in the node's own count: with the pid it names the
	// process for good, as pids are used again. 0 where the node can't tell.
	Started() uint64
	Done() <-chan struct{} // closed when it has ended
	Err() error            // why it ended, once Done is closed
	// Logged is closed a moment after Done: its last words are in its log then.
	Logged() <-chan struct{}
	// Stop ends the program with everything that it started: SIGTERM, then SIGKILL after
	// grace. Idempotent; returns when all of it is gone. The processes that outlived the
	// program itself are returned.
	Stop(ctx context.Context, grace time.Duration) (survivors []Process, err error)
}

// Process is a process that carries a mark.
type Process struct {
	Pid     int
	Started uint64
	Name    string
	Mark    Mark
}

// Listener is who listens on a port.
type Listener struct {
	Pid  int // 0: the node does not say
	Name string
	Mark Mark // of the process, if it is ours
}

// Memory is a node's memory in bytes.
type Memory struct {
	Total     uint64
	Available uint64 // without swapping: MemAvailable
	Resident  uint64 // of all processes together, pages that they share counted in each
}

// Facts are what a node says of itself.
type Facts struct {
	Hostname string `json:"hostname"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
	Kernel   string `json:"kernel"`
	BootID   string `json:"boot_id"`
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	GPUs     bool   `json:"gpus"`   // NVIDIA ones, with their driver
	GPU      string `json:"gpu"`    // their model, "2 × …" for several
	Driver   string `json:"driver"` // its version
	MemTotal uint64 `json:"mem_total_bytes"`
	MemFree  uint64 `json:"mem_available_bytes"`
}

// UnifiedMemory reports whether the GPU's memory is the machine's own, as on a DGX Spark.
func (f Facts) UnifiedMemory() bool { return strings.Contains(f.GPU, "GB10") }

// Node is a machine on which servers run.
type Node interface {
	Run(ctx context.Context, c Cmd) (Output, error)
	Start(ctx context.Context, c Cmd) (Proc, error)
	// Processes are all that carry a mark, of any run.
	Processes(ctx context.Context) ([]Process, error)
	// End ends the processes that carry the mark, and those that began with leader if it
	// is still the process that it was, as Proc.Stop does. It returns them.
	End(ctx context.Context, m Mark, leader Process, grace time.Duration) ([]Process, error)
	// Listener is who listens on a TCP port, nil for nobody. It does not connect: a probe
	// that connects and says nothing kills some engines.
	Listener(ctx context.Context, port int) (*Listener, error)
	Memory(ctx context.Context) (Memory, error)
	Put(ctx context.Context, path string, r io.Reader, mode fs.FileMode) error
	Dial(ctx context.Context, network, address string) (net.Conn, error)
	Facts(ctx context.Context) (Facts, error)
	Close() error
}

// LaunchInput is what a Launch is told beyond the server's block.
type LaunchInput struct {
	Self string // path of this program, for the simulator
	Port int    // to listen on; 0 for a plan that does not know it yet
	// Keep says that the server is to outlive us.
	Keep bool
	GPUs bool   // the node has NVIDIA GPUs
	Dir  string // folder on the node where the Launch's files will be
}

// PortText is the port as an argument, PORT where it is chosen later.
func (in LaunchInput) PortText() string {
	if in.Port == 0 {
		return "PORT"
	}
	return strconv.Itoa(in.Port)
}

// ContainerDir is where a container has the Launch's files.
const ContainerDir = "/etc/sparkrun"

// Path is where the server will find a file of its Launch.
func (in LaunchInput) Path(inContainer bool, name string) string {
	if inContainer {
		return ContainerDir + "/" + name
	}
	return filepath.Join(in.Dir, name)
}

// Launch is how one rank of a server is started. A pure value: plan prints it.
type Launch struct {
	Argv     []string
	Program  string // the engine's among Argv, "" for Argv[0]
	Name     string // what the program sees as argv[0], "" for Argv[0]
	Env      map[string]schema.Text
	Port     int
	Lifeline bool
	// MemoryShare is the share of the GPU's whole memory that must be free for it to start.
	MemoryShare float64
	Files       []File
	Image       string // of the container that Argv runs in; "": it is a process of the node
	Container
}

// File is a file that a server needs, without secrets: it is kept with the results.
type File struct {
	Name    string
	Content []byte
}

// Container is how the container of a Launch is made, beyond what all have.
type Container struct {
	Mounts            []string // "source:target" or "source:target:ro"; "~/" is the user's home
	Devices           []string
	Memory            string // limit, as in "32g"; "": the node's
	ShmSize           string // of its own /dev/shm, as in "32g"; "": it has the node's
	Privileged        bool
	GPUs              bool
	Entrypoint        []string
	ReplaceEntrypoint bool // by Entrypoint; else the image's own runs Argv
}

// ContainerCmd is the container of a launch.
type ContainerCmd struct {
	Launch Launch
	Mark   Mark
	Dir    string // folder on the node with the launch's files
	Log    io.WriteCloser
}

// MarkedContainer is a container that carries a mark.
type MarkedContainer struct {
	ID, Name string
	Mark     Mark
	Running  bool
}

// The ways in which containers fail that are told apart.
var (
	ErrNoEngine    = errors.New("the container engine (Docker or podman) does not answer: is it running, and may you use it (group docker)?")
	ErrNameTaken   = errors.New("there is a container of that name that is not this run's")
	ErrOutOfMemory = errors.New("killed for want of memory")
)

// Containers is the container engine of a node.
type Containers interface {
	// Image makes sure that an image is there, pulling it, and returns its digest.
	Image(ctx context.Context, ref string, progress func(string)) (digest string, err error)
	// Digest is that of an image that is there, "" for one that is not.
	Digest(ctx context.Context, ref string) (string, error)
	Start(ctx context.Context, c ContainerCmd) (Proc, error)
	// Marked are the containers that carry a mark, of any run, running or not.
	Marked(ctx context.Context) ([]MarkedContainer, error)
	// Remove stops and removes the containers that carry the mark, verified.
	Remove(ctx context.Context, m Mark, grace time.Duration) ([]MarkedContainer, error)
	// Holder is the name of the container in which a process of the node runs.
	Holder(ctx context.Context, pid int) (name string, ok bool)
}

// Endpoint is a server that answers.
type Endpoint struct {
	URL     string // ends in /v1
	Model   string
	Key     schema.Text
	Headers map[string]schema.Text
}

// Framework knows one inference server.
type Framework interface {
	Kind() schema.Kind
	// Launch returns one Launch per rank; none where the server is attached to by URL.
	// It touches nothing.
	Launch(s plan.Server, in LaunchInput) ([]Launch, error)
	// Ready asks once whether the server can generate with the model; it returns the model id.
	Ready(ctx context.Context, c *http.Client, ep Endpoint) (model string, err error)
	// Identify asks a server that is ready what it is.
	Identify(ctx context.Context, c *http.Client, ep Endpoint) Identity
	// ResetCache empties the server's prefix cache, if the kind has a call for that; Refused
	// where it has none.
	ResetCache(ctx context.Context, c *http.Client, ep Endpoint) error
	// CacheHits is how many prompt tokens the server's counters say it has found in its
	// prefix cache; false where it does not say.
	CacheHits(ctx context.Context, c *http.Client, ep Endpoint) (tokens float64, ok bool)
}

// Identity is what a server says of itself; empty where it does not.
type Identity struct {
	Version string
	Says    map[string]string // limits, model, switches
}

// Refused is Ready's error where waiting longer cannot help: a wrong key, a model that
// is not served. Anything else is asked again.
type Refused struct {
	Err        error
	WrongModel bool // it serves, and something else
}

// Error is the reason.
func (r *Refused) Error() string { return r.Err.Error() }

// Unwrap returns the reason.
func (r *Refused) Unwrap() error { return r.Err }
