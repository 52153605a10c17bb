package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"sparkrun/targets"
)

// containerKind is the kind of a container's lines in the journal.
const containerKind = "container"

// pullEvery is how often the progress of a pull is told.
const pullEvery = 2 * time.Second

// image makes sure that a rank's image is there: a step of its own, so that a slow
// pull is not taken for a server that does not get ready.
func (r *run) image(ctx context.Context, k *rank, ref string) error {
	var err error
	if k.containers, err = r.Tools.Containers(k.host); err != nil {
		return &Error{HostDocker, err}
	}
	var told time.Time
	k.image, err = k.containers.Image(ctx, ref, func(what string) {
		if time.Since(told) > pullEvery {
			told = time.Now()
			r.emit(Event{Type: EventLog, Level: "info", Message: k.String() + ": " + what})
		}
	})
	if ctx.Err() != nil {
		return context.Cause(ctx) // interrupted: no fault of the image
	}
	return containerError(err, LaunchImage)
}

// containerError gives an error of the engine its reason.
func containerError(err error, otherwise Reason) error {
	switch {
	case err == nil:
		return nil
	case because(err, otherwise) != otherwise:
		return &Error{because(err, otherwise), err}
	case errors.Is(err, targets.ErrNoEngine):
		return &Error{HostDocker, err}
	case errors.Is(err, targets.ErrNameTaken):
		return &Error{LaunchNameTaken, err}
	}
	return &Error{otherwise, err}
}

func (r *run) startContainer(ctx context.Context, k *rank, l targets.Launch) error {
	file, err := os.OpenFile(k.log.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	k.proc, err = k.containers.Start(ctx, targets.ContainerCmd{
		Launch: l, Mark: r.mark(k.name), Dir: k.dir, Log: &redactedFile{Redact(file, r.Plan.Secrets), file},
	})
	if err != nil {
		return containerError(errors.Join(err, file.Close()), LaunchFailed)
	}
	return nil
}

// redactedFile is a log file without the secrets.
type redactedFile struct {
	*Redactor
	file *os.File
}

func (f *redactedFile) Close() error { return errors.Join(f.Flush(), f.file.Close()) }

// kind is what the rank is, for the journal.
func (k *rank) kind() string {
	if k.containers != nil {
		return containerKind
	}
	return processKind
}

// howToRemove is what a user does about a program that does not end.
func (k *rank) howToRemove() string {
	if k.containers != nil {
		return "once the engine answers: sparkrun down"
	}
	if k.host != "local" {
		return fmt.Sprintf("once %s answers: sparkrun down", k.host)
	}
	return fmt.Sprintf("end it yourself: kill -9 -- -%d", k.proc.Pid())
}

// containersOf are the containers of a node's engine that carry a mark; none where there is
// no engine.
func containersOf(ctx context.Context, t Tools, node string) ([]targets.MarkedContainer, error) {
	if t.Containers == nil {
		return nil, nil
	}
	engine, err := t.Containers(node)
	if err != nil {
		return nil, nil
	}
	all, err := engine.Marked(ctx)
	if errors.Is(err, targets.ErrNoEngine) {
		return nil, nil
	}
	return all, err
}

// holder names the container in which a process runs, for the error about its port.
func (r *run) holder(ctx context.Context, node string, pid int) string {
	if r.Tools.Containers == nil {
		return ""
	}
	engine, err := r.Tools.Containers(node)
	if err != nil {
		return ""
	}
	name, _ := engine.Holder(ctx, pid)
	return name
}

// removeContainers removes the containers of a leftover.
func (m Remain) removeContainers(ctx context.Context, t Tools) error {
	if m.Line.Kind != containerKind && len(m.Containers) == 0 {
		return nil
	}
	engine, err := t.Containers(m.Line.Node)
	if err == nil {
		_, err = engine.Remove(ctx, targets.Mark{Run: m.Line.Mark, Server: m.Line.Name}, leftoverGrace)
	}
	if err != nil {
		return containerError(fmt.Errorf("remove what is left of %s (run %s): %w", m.Line.Name, filepath.Base(m.Line.Mark), err), TeardownStillThere)
	}
	return nil
}
