package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"sparkrun/targets"
)

// failed is the exit status with which a script of ours says on its standard error why it
// could not do what it was to.
const failed = 91

// output is what a session said.
type said struct {
	stdout, stderr bytes.Buffer
	code           int
}

// run runs a script to its end.
func (n *SSH) run(ctx context.Context, s *script, stdin io.Reader) (*said, error) {
	out, err := n.runScript(ctx, s, stdin)
	return out, n.fault(err)
}

func (n *SSH) runScript(ctx context.Context, s *script, stdin io.Reader) (*said, error) {
	cmd, l, end, err := n.session(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	out := &said{}
	cmd.Stdout, cmd.Stderr = &afterBegins{to: &out.stdout}, &out.stderr
	cmd.Stdin = strings.NewReader(s.framed())
	if stdin != nil {
		cmd.Stdin = io.MultiReader(cmd.Stdin, stdin)
	}
	ended := make(chan error, 1)
	l.ended.Go(func() { ended <- cmd.Session.Run(cmd.Path) })
	select {
	case err = <-ended:
	case <-ctx.Done():
		// The buffers are still the session's: it ends at the latest with the connection.
		return &said{}, context.Cause(ctx)
	}
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return out, nil
	case errors.As(err, &exit):
		if out.code = exit.ExitStatus(); exit.Signal() != "" {
			out.code = 128
		}
		return out, nil
	}
	return out, n.broken(ctx, l, err)
}

// broken is the error of a session that ended without saying how.
func (n *SSH) broken(ctx context.Context, l *link, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-l.dead:
		return &brokenOff{l.why}
	case <-time.After(time.Second): // the connection's end is known a moment later
	}
	return &brokenOff{fmt.Errorf("%w: %w", targets.ErrUnreachable, err)}
}

// brokenOff is why a session ended whose answer has not come. What it was to do may have been done.
type brokenOff struct{ error }

func (b *brokenOff) Unwrap() error { return b.error }

// again runs a script that may run twice until it has answered: where a connection breaks, the
// node may be there nevertheless. If it is not, that is said by who opens the next connection.
func (n *SSH) again(ctx context.Context, s *script) (*said, error) {
	for {
		out, err := n.run(ctx, s, nil)
		if broke := (*brokenOff)(nil); !errors.As(err, &broke) {
			return out, err
		}
	}
}

// ask runs a script of ours that may run twice and returns what it printed.
func (n *SSH) ask(ctx context.Context, what string, s *script) (string, error) {
	return n.answer(ctx, what, s, n.again)
}

// do runs a script of ours that may not, and returns what it printed.
func (n *SSH) do(ctx context.Context, what string, s *script) (string, error) {
	return n.answer(ctx, what, s, func(ctx context.Context, s *script) (*said, error) { return n.run(ctx, s, nil) })
}

func (n *SSH) answer(ctx context.Context, what string, s *script, run func(context.Context, *script) (*said, error)) (string, error) {
	limited, cancel := context.WithTimeoutCause(ctx, callLimit, fmt.Errorf("%w: no answer within %s", targets.ErrUnreachable, callLimit))
	defer cancel()
	out, err := run(limited, s)
	if err == nil && out.code != 0 {
		err = n.fault(scriptError(out))
	}
	if err != nil {
		return "", fmt.Errorf("%s on %s: %w", what, n.opts.Name, err)
	}
	return out.stdout.String(), nil
}

// scriptError is why a script of ours failed.
func scriptError(out *said) error {
	text := strings.TrimSpace(out.stderr.String())
	if strings.Contains(text, "No space left on device") {
		return fmt.Errorf("%w: %s", targets.ErrDiskFull, text)
	}
	if out.code == failed && text != "" {
		return errors.New(text)
	}
	return fmt.Errorf("exit status %d: %s (it needs a POSIX sh, /proc, the coreutils, grep and sed)", out.code, text)
}

// Run runs a program to its end. A non-zero exit is in Output, not an error.
func (n *SSH) Run(ctx context.Context, c targets.Cmd) (targets.Output, error) {
	call := "run-" + rand.Text()
	program, err := n.program(c, call)
	if err != nil {
		return targets.Output{}, err
	}
	limited, cancel := context.WithTimeoutCause(ctx, runLimit, fmt.Errorf("it did not end within %s", runLimit))
	defer cancel()
	s := &script{}
	s.WriteString(program + "(environment; command -v -- \"$argv0\") >/dev/null || { echo 'there is no such program' >&2; exit " + strconv.Itoa(failed) + "; }\nprogram\n")
	out, err := n.run(limited, s, c.Stdin)
	switch {
	case err != nil && limited.Err() != nil:
		// It may be going on there.
		_, _, endErr := n.end(context.WithoutCancel(ctx), call, targets.Process{}, 0, 0, "")
		return targets.Output{}, fmt.Errorf("run %s on %s: %w", c.Argv[0], n.opts.Name, errors.Join(err, endErr))
	case err == nil && out.code == failed && strings.Contains(out.stderr.String(), "there is no such program"):
		err = scriptError(out)
	}
	if err != nil {
		return targets.Output{}, fmt.Errorf("run %s on %s: %w", c.Argv[0], n.opts.Name, err)
	}
	return targets.Output{Stdout: out.stdout.Bytes(), Stderr: out.stderr.Bytes(), ExitCode: out.code}, nil
}

// Put writes a file with the mode, atomically, and the folders above it. A connection that
// breaks in its midst leaves the old file.
func (n *SSH) Put(ctx context.Context, name string, r io.Reader, mode fs.FileMode) error {
	ctx, cancel := context.WithTimeoutCause(ctx, runLimit, fmt.Errorf("it took more than %s", runLimit))
	defer cancel()
	failed := func(err error) error { return fmt.Errorf("write %s on %s: %w", name, n.opts.Name, err) }
	in := &counted{r: r}
	where := map[string]string{"dir": path.Dir(name), "base": path.Base(name)}
	out, err := n.run(ctx, ours("put", where), in)
	if err == nil && out.code != 0 {
		err = n.fault(scriptError(out))
	}
	if err != nil {
		return failed(err)
	}
	// Its own name may have spaces; the size is the last word.
	line := strings.TrimSpace(out.stdout.String())
	at := strings.LastIndexByte(line, ' ')
	if in.err != nil || at < 0 || line[at+1:] != strconv.FormatInt(in.n, 10) {
		if at > 0 {
			_, _ = n.ask(ctx, "remove a file", ours("remove", map[string]string{"dir": where["dir"], "new": line[:at]}))
		}
		return failed(errors.Join(in.err, fmt.Errorf("%d bytes were sent, and %q is what arrived", in.n, line)))
	}
	where["new"], where["mode"] = line[:at], fmt.Sprintf("%04o", mode.Perm())
	if _, err := n.do(ctx, "name a file", ours("place", where)); err != nil {
		return failed(err)
	}
	return nil
}

// counted counts what is read.
type counted struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
