package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sparkrun/scenario/schema"
	"sparkrun/targets/sim"
)

func newSimCommand(env *Env) *cobra.Command {
	var (
		host, model, key, trace string
		port                    int
		onStdin                 bool
		values                  = schema.Values{}
	)
	c := &cobra.Command{
		Use:   "sim",
		Short: "Run the simulator alone: an OpenAI-compatible server without a model",
		Long: `Runs an OpenAI-compatible server that does no inference and answers with the timing of an
engine with continuous batching, or on a fixed schedule (--ttft, --itl). Ctrl-C ends it.

With --trace FILE it writes one JSON line a request: its X-Request-Id, when it was accepted
and when each token went to the socket (wall clock, ns).

Presets and where their numbers come from:
` + presets(),
		Example: "  sparkrun sim --port 8000 --ttft 50ms --itl 5ms\n  sparkrun sim --port 8000 --preset spark-gpt-oss-20b-llamacpp",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := sim.NewConfig(values)
			if err != nil {
				return exit(exitUsage, "%v", err)
			}
			cfg.Model, cfg.APIKey, cfg.Trace = model, key, trace
			if err := serveSim(env, cfg, net.JoinHostPort(host, fmt.Sprint(port)), onStdin); err != nil {
				return exit(exitRun, "%v", err)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&host, "host", "127.0.0.1", "address to listen on")
	f.IntVar(&port, "port", 8000, "port to listen on, 0 for a free one")
	f.StringVar(&model, "model", "sim", "name of the model it serves")
	f.StringVar(&key, "api-key", "", "key that requests must have")
	f.StringVar(&trace, "trace", "", "write the true times of every request to this file")
	f.BoolVar(&onStdin, "exit-on-stdin-close", false, "end when standard input closes")
	_ = f.MarkHidden("exit-on-stdin-close") // the flag is there
	for _, o := range sim.Options() {
		f.Var(&simFlag{o, values}, strings.ReplaceAll(o.Name, "_", "-"), o.Doc+" Default: "+defaultOf(o)+".")
	}
	return c
}

func presets() string {
	var b strings.Builder
	for _, p := range sim.Presets() {
		fmt.Fprintf(&b, "  %-30s %s\n", p.Name, p.Source)
	}
	return b.String()
}

// defaultOf is an attribute's default as help prints it.
func defaultOf(a schema.Attr) string {
	if a.Default == nil {
		if a.DefaultDoc == "" {
			return "none"
		}
		return a.DefaultDoc
	}
	return fmt.Sprint(a.Default)
}

// simFlag sets an option of the simulator from the command line.
type simFlag struct {
	attr schema.Attr
	into schema.Values
}

func (s *simFlag) String() string { return "" }

func (s *simFlag) Type() string { return s.attr.Type.String() }

func (s *simFlag) Set(text string) error {
	var err error
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	switch s.attr.Type {
	case schema.Duration:
		v := set.Duration("v", 0, "")
		err = set.Set("v", text)
		s.into[s.attr.Name] = *v
	case schema.Int:
		v := set.Int64("v", 0, "")
		err = set.Set("v", text)
		s.into[s.attr.Name] = *v
	case schema.Float:
		v := set.Float64("v", 0, "")
		err = set.Set("v", text)
		s.into[s.attr.Name] = *v
	case schema.Bool:
		v := set.Bool("v", false, "")
		err = set.Set("v", text)
		s.into[s.attr.Name] = *v
	default:
		s.into[s.attr.Name] = schema.Plain(text)
	}
	return err
}

// serveSim serves until a signal, or until standard input closes.
func serveSim(env *Env, cfg sim.Config, address string, onStdin bool) error {
	s, err := sim.New(cfg)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w: another program has the port, or choose --port 0", address, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	closed := make(chan struct{})
	if onStdin {
		go func() {
			_, _ = io.Copy(io.Discard, env.Stdin)
			close(closed)
		}()
	}
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, ConnContext: sim.ConnContext}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	engine := make(chan error, 1)
	go func() { engine <- s.Run(ctx) }()
	fmt.Fprintf(env.Stderr, "Simulator at http://%s/v1, model %s. Not a real engine.\n", l.Addr(), cfg.Model)
	select {
	case err = <-served:
	case <-env.Signals:
	case <-closed:
	}
	cancel()
	_ = server.Close()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, <-engine)
}
