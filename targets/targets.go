package targets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
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
	// Outlive says that it is to go on without us. A node that is not this machine ends
	// other programs some minutes after our death.
	Outlive bool
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

// ErrKilled is how a program ends that is killed, by the kernel or by somebody.
var ErrKilled = errors.New("killed")

// ExitStatus is the error of a program that ended with a status, nil for 0. One above 128 is
// the word of the shell or container that it ran in for a signal.
func ExitStatus(code int) error {
	const bySignal, kill = 128, 9
	switch {
	case code == bySignal+kill:
		return fmt.Errorf("exit status %d: signal: %w", code, ErrKilled)
	case code > bySignal:
		return fmt.Errorf("exit status %d: signal %d", code, code-bySignal)
	case code != 0:
		return fmt.Errorf("exit status %d", code)
	}
	return nil
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
	OOMKills  uint64 // processes that the kernel has killed for want of memory since it started
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
	RDMA     bool   `json:"rdma"`   // /dev/infiniband is there
	MemTotal uint64 `json:"mem_total_bytes"`
	MemFree  uint64 `json:"mem_available_bytes"`
}

// UnifiedMemory reports whether the GPU's memory is the machine's own, as on a DGX Spark.
func (f Facts) UnifiedMemory() bool { return strings.Contains(f.GPU, "GB10") }

// The ways in which a node that is not this machine fails that are told apart.
var (
	ErrUnreachable = errors.New("the node does not answer")
	ErrHostKey     = errors.New("the host key is not trusted")
	ErrLogin       = errors.New("the node refused the login")
	ErrDiskFull    = errors.New("no space left on device")
)

// NodeError is an error of a node itself, not of what was asked of it.
type NodeError struct {
	Node string // its name
	Err  error
}

// Error is what went wrong.
func (e *NodeError) Error() string { return e.Err.Error() }

// Unwrap returns what went wrong.
func (e *NodeError) Unwrap() error { return e.Err }

// Remote is what a node that is not this machine has beyond Node.
type Remote interface {
	Node
	// Address is the literal address at which the node was found, for its servers' ports.
	Address() (string, error)
	// Folder is where a run's files are on the node: its own path means nothing there.
	Folder(ctx context.Context, run string) (string, error)
	// PutProgram brings this program's file to the node, unless it is there, and returns
	// its path.
	PutProgram(ctx context.Context, file string) (string, error)
	// Clean removes a run's folder, unless a program of it is running.
	Clean(ctx context.Context, run string) error
}

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

// LaunchInput is what a Launch is told beyond the server's block: of one replica.
type LaunchInput struct {
	Self string // path of this program, for the simulator
	Port int    // to listen on; 0 for a plan that does not know it yet
	// Keep says that the server is to outlive us.
	Keep  bool
	Dir   string     // folder where the Launch's files will be, where the node has none of its own
	Nodes []RankNode // by rank; none is this machine
	// FabricPort is the first of as many ports as there are ranks, free on all of their
	// nodes, for what ranks say to each other; 0 for a plan that does not know it yet.
	FabricPort int
	// Token is what ranks know each other by, where an engine starts programs through them.
	Token schema.Text
}

// RankNode is what a Launch is told of the node of a rank.
type RankNode struct {
	Name string
	Host string // "" for this machine
	// FabricIP is the node's address for other ranks, "" where nobody told it; Interface
	// its network interface, several with commas, "" unknown.
	FabricIP, Interface string
	// Tunnelled says that its servers are reached through its SSH connection.
	Tunnelled bool
	Env       map[string]schema.Text
	GPUs      bool // it has NVIDIA GPUs
	RDMA      bool // it has RDMA devices: /dev/infiniband is there
	// Dir is the folder on the node where the files of the rank's Launch will be, "" for
	// the LaunchInput's.
	Dir string
}

// NodeOf is a node of a plan, without what only the node itself can say.
func NodeOf(nodes []plan.Node, name string) RankNode {
	out := RankNode{Name: name}
	for _, n := range nodes {
		if n.Name != name {
			continue
		}
		out.Host, out.FabricIP, out.Interface = n.Host, n.Values.String("fabric_ip"), n.Values.String("interface")
		out.Env, _ = n.Values["env"].(map[string]schema.Text)
		out.Tunnelled = n.Values.String("access") == "ssh_tunnel"
		if _, err := netip.ParseAddr(n.Host); err == nil && out.FabricIP == "" {
			out.FabricIP = n.Host
		}
	}
	return out
}

// NodesOf are the nodes of a replica by rank.
func NodesOf(nodes []plan.Node, names []string) []RankNode {
	var out []RankNode
	for _, name := range names {
		out = append(out, NodeOf(nodes, name))
	}
	return out
}

// Local reports whether the node is this machine.
func (n RankNode) Local() bool { return n.Name == "" || n.Name == "local" }

// Listen is the address that a server on the node listens on, so that we reach it and, on
// this machine and through a tunnel, nobody else does.
func (n RankNode) Listen() string {
	if n.Local() || n.Tunnelled {
		return "127.0.0.1"
	}
	return "0.0.0.0"
}

// Ranks is how many there are.
func (in LaunchInput) Ranks() int { return max(1, len(in.Nodes)) }

// Node is the node of a rank.
func (in LaunchInput) Node(rank int) RankNode {
	if rank >= len(in.Nodes) {
		return RankNode{}
	}
	return in.Nodes[rank]
}

// PortText is the port as an argument, PORT where it is chosen later.
func (in LaunchInput) PortText() string {
	if in.Port == 0 {
		return "PORT"
	}
	return strconv.Itoa(in.Port)
}

// FabricPortText is a rank's port for the others, FABRIC_PORT and what is added to it
// where it is chosen later.
func (in LaunchInput) FabricPortText(rank int) string {
	switch {
	case in.FabricPort != 0:
		return strconv.Itoa(in.FabricPort + rank)
	case rank == 0:
		return "FABRIC_PORT"
	}
	return "FABRIC_PORT+" + strconv.Itoa(rank)
}

// ContainerDir is where a container has the Launch's files.
const ContainerDir = "/etc/sparkrun"

// Path is where a rank will find a file of its Launch.
func (in LaunchInput) Path(rank int, inContainer bool, name string) string {
	if inContainer {
		return ContainerDir + "/" + name
	}
	if dir := in.Node(rank).Dir; dir != "" {
		return filepath.Join(dir, name)
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
	Role     string // of the rank in a server of several: RoleHead or RoleWorker; "" alone
	Listens  int    // port that a worker listens on before the head can be started; 0: none
	// MemoryShare is the share of the GPU's whole memory that must be free for it to start.
	MemoryShare float64
	Files       []File
	Image       string // of the container that Argv runs in; "": it is a process of the node
	Container
}

// The roles of ranks: the head answers requests, and is started last.
const (
	RoleHead   = "head"
	RoleWorker = "worker"
)

// File is a file that a server needs, without secrets: it is kept with the results.
type File struct {
	Name    string
	Content []byte
}

// Container is how the container of a Launch is made, beyond what all have.
type Container struct {
	Mounts            []string // "source:target" or "source:target:ro"; "~/" is the user's home
	Devices           []string
	Capabilities      []string // of Linux, without CAP_
	Memory            string   // limit, as in "32g"; "": the node's
	ShmSize           string   // of its own /dev/shm, as in "32g"; "": it has the node's
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
	// Launch returns one Launch per rank of a replica, by rank: the head is the first. It
	// touches nothing.
	Launch(s plan.Server, in LaunchInput) ([]Launch, error)
	// Ready asks once whether the server can generate with the model; it returns the model id.
	Ready(ctx context.Context, c *http.Client, ep Endpoint) (model string, err error)
	// Identify asks a server that is ready what it is.
	Identify(ctx context.Context, c *http.Client, ep Endpoint) Identity
	// ResetCache empties the server's prefix cache, if the kind has a call for that; Refused
	// where it has none.
	ResetCache(ctx context.Context, c *http.Client, ep Endpoint) error
	// Counters are the counters and gauges that the engine shows on its /metrics, by the
	// names of metric.Samples; false where it shows none that are known.
	Counters(ctx context.Context, c *http.Client, ep Endpoint) (map[string]float64, bool)
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
	Key        bool // its key is missing or wrong
}

// Error is the reason.
func (r *Refused) Error() string { return r.Err.Error() }

// Unwrap returns the reason.
func (r *Refused) Unwrap() error { return r.Err }
