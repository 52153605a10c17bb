package store

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// Run is the folder of one run.
type Run struct {
	ID  string
	Dir string // results/<scenario>/<run-id>
}

var runID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// NewID makes a run id: the time and six random hex digits.
func NewID(now time.Time) string {
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return now.Format("20060102-150405-") + hex.EncodeToString(b[:])
}

// Create makes the folder of a new run under dir/scenario and proves that it can be
// written. It is an error if the run is there already.
func Create(dir, scenario, id string) (*Run, error) {
	if !runID.MatchString(id) || id == "latest" {
		return nil, fmt.Errorf("run id %q: use letters, digits, '.', '_' and '-'", id)
	}
	parent := filepath.Join(dir, scenario)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, fmt.Errorf("make the results folder: %w: set --out to a folder that can be written", err)
	}
	r := &Run{ID: id, Dir: filepath.Join(parent, id)}
	err := os.Mkdir(r.Dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("run %s is there already (%s): choose another --run-id, or go on with it: sparkrun resume %s", id, r.Dir, r.Dir)
	}
	if err == nil {
		err = errors.Join(os.Mkdir(r.Path("rows"), 0o755), os.Mkdir(r.Path("logs"), 0o755))
	}
	if err != nil {
		return nil, fmt.Errorf("make the run's folder: %w: set --out to a folder that can be written", err)
	}
	if err := link(parent, id); err != nil {
		return nil, err
	}
	return r, nil
}

// link points parent/latest at the run, in one step.
func link(parent, id string) error {
	latest := filepath.Join(parent, "latest")
	tmp := latest + "." + id
	if err := os.Symlink(id, tmp); err != nil {
		return fmt.Errorf("point %s at the run: %w", latest, err)
	}
	if err := os.Rename(tmp, latest); err != nil {
		os.Remove(tmp)
		return fmt.Errorf("point %s at the run: %w", latest, err)
	}
	return nil
}

// Open opens the folder of a run that is there.
func Open(dir string) (*Run, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("open run: %w", err)
	}
	r := &Run{ID: filepath.Base(dir), Dir: dir}
	if _, err := os.Stat(r.JournalPath()); err != nil {
		return nil, fmt.Errorf("open run: %s has no journal: is it a run's folder (results/<scenario>/<run-id>)?", dir)
	}
	return r, nil
}

// Path is a path inside the run's folder.
func (r *Run) Path(elem ...string) string {
	return filepath.Join(append([]string{r.Dir}, elem...)...)
}

// JournalPath is where the run's journal is.
func (r *Run) JournalPath() string { return r.Path("journal.jsonl") }

// RowsPath is where the raw rows of cell n are.
func (r *Run) RowsPath(n int) string { return r.Path("rows", fmt.Sprintf("%d.jsonl", n)) }

// WriteJSON writes v as an indented JSON file into the run's folder, atomically.
func (r *Run) WriteJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	tmp := r.Path("." + name)
	err = os.WriteFile(tmp, append(b, '\n'), 0o644)
	if err == nil {
		err = os.Rename(tmp, r.Path(name))
	}
	if err != nil {
		os.Remove(tmp)
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// ReadJSON reads a JSON file of the run's folder into v.
func (r *Run) ReadJSON(name string, v any) error {
	b, err := os.ReadFile(r.Path(name))
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return fmt.Errorf("read %s of run %s: %w", name, r.ID, err)
	}
	return nil
}
