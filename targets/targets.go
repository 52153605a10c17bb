package targets

import (
	"context"
	"io"
	"io/fs"
	"net"
	"net/http"
	"time"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
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
	Output   io.Writer // standard output and error together
}

// Output is what a finished program said.
type Output struct {
	Stdout, Stderr []byte
	ExitCode       int
}

// Proc is a started program.
type Proc interface {
	Pid() int
	Done() <-chan struct{} // closed when it has ended
	Err() error            // why it ended, once Done is closed
	// Stop ends the whole process group: SIGTERM, then SIGKILL after grace. Idempotent;
	// returns when the process is gone.
	Stop(ctx context.Context, grace time.Duration) error
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
	MemTotal uint64 `json:"mem_total_bytes"`
	MemFree  uint64 `json:"mem_available_bytes"`
}

// Node is a machine on which servers run.
type Node interface {
	Run(ctx context.Context, c Cmd) (Output, error)
	Start(ctx context.Context, c Cmd) (Proc, error)
	Put(ctx context.Context, path string, r io.Reader, mode fs.FileMode) error
	Dial(ctx context.Context, network, address string) (net.Conn, error)
	Facts(ctx context.Context) (Facts, error)
	Close() error
}

// Launch is how one rank of a server is started. A pure value: plan prints it.
type Launch struct {
	Argv     []string
	Name     string // what the program sees as argv[0], "" for Argv[0]
	Env      map[string]schema.Text
	Port     int
	Lifeline bool
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
	// It touches nothing. self is the path of this program (for the simulator) and port
	// the one to listen on.
	Launch(s plan.Server, self string, port int) ([]Launch, error)
	// Ready asks once whether the server can generate with the model; it returns the model id.
	Ready(ctx context.Context, c *http.Client, ep Endpoint) (model string, err error)
}

// Refused is Ready's error where waiting longer cannot help: a wrong key, a model that
// is not served. Anything else is asked again.
type Refused struct{ Err error }

// Error is the reason.
func (r *Refused) Error() string { return r.Err.Error() }

// Unwrap returns the reason.
func (r *Refused) Unwrap() error { return r.Err }
