package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"
)

// Type is what a line says.
type Type string

// The line types.
const (
	Run       Type = "run"
	Create    Type = "create"
	Created   Type = "created"
	Removed   Type = "removed"
	Keep      Type = "keep"
	Cell      Type = "cell"
	Interrupt Type = "interrupt"
	End       Type = "end"
)

// Line is one line. Which fields count depends on the type.
type Line struct {
	Seq  int64     `json:"seq"`
	Time time.Time `json:"time"`
	Type Type      `json:"type"`

	Version  string            `json:"version,omitempty"`
	Scenario string            `json:"scenario,omitempty"`
	Cells    map[string]string `json:"cells,omitempty"` // canonical address → digest

	Kind    string `json:"kind,omitempty"`
	Name    string `json:"name,omitempty"`
	Address string `json:"address,omitempty"`
	Pid     int    `json:"pid,omitempty"`
	Started uint64 `json:"started,omitempty"`
	Node    string `json:"node,omitempty"`
	Mark    string `json:"mark,omitempty"`
	Port    int    `json:"port,omitempty"`
	URL     string `json:"url,omitempty"`
	Image   string `json:"image,omitempty"`
	Caches  string `json:"caches,omitempty"`

	Canonical string `json:"canonical,omitempty"`
	Number    int    `json:"number,omitempty"`
	Digest    string `json:"digest,omitempty"`
	Outcome   string `json:"outcome,omitempty"`
	Cause     string `json:"cause,omitempty"`
	Model     string `json:"model,omitempty"`
	// Server is what the cell was measured on (result.Fingerprint).
	Server json.RawMessage `json:"server,omitempty"`
	// Load is what the engine knew of the cell beyond its rows (load.Outcome).
	Load json.RawMessage `json:"load,omitempty"`

	// Try is which of the run's tries wrote the line, from 1: each begins with a line of
	// type run. It is not in the file.
	Try int `json:"-"`

	Level int  `json:"level,omitempty"`
	Exit  *int `json:"exit,omitempty"`
}

// Journal is an open journal. It is safe for concurrent use.
type Journal struct {
	// OnAppend is called with every line just before it is written and again after it is
	// on the disk. Tests end the process there. May be nil.
	OnAppend func(l Line, written bool)

	mu   sync.Mutex
	file *os.File
	seq  int64
}

// ErrRunning says that the journal is another living process's.
var ErrRunning = errors.New("the run is still going on in another process")

// Open opens the journal for appending, making it if it is not there. What follows the
// last whole line is cut off. It is ours until we close it or die; ErrRunning if it is
// somebody else's.
func Open(path string) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if !lockSoon(file) {
		file.Close()
		return nil, fmt.Errorf("open journal %s: %w", path, ErrRunning)
	}
	lines, size, err := read(path)
	if err != nil {
		file.Close()
		return nil, err
	}
	if err := errors.Join(file.Truncate(size), seekEnd(file)); err != nil {
		file.Close()
		return nil, fmt.Errorf("open journal %s: %w", path, err)
	}
	return &Journal{file: file, seq: int64(len(lines))}, nil
}

func seekEnd(f *os.File) error {
	_, err := f.Seek(0, io.SeekEnd)
	return err
}

// Append writes a line and returns when it is on the disk. Seq and Time are filled in.
func (j *Journal) Append(l Line) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	l.Seq, l.Time = j.seq+1, time.Now().UTC()
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("journal %s line: %w", l.Type, err)
	}
	if j.OnAppend != nil {
		j.OnAppend(l, false)
	}
	if _, err := j.file.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("journal %s line: %w", l.Type, err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("journal %s line: %w", l.Type, err)
	}
	j.seq++
	if j.OnAppend != nil {
		j.OnAppend(l, true)
	}
	return nil
}

// Close closes the file; every line is on the disk already.
func (j *Journal) Close() error { return j.file.Close() }

// Read returns the whole lines of a journal.
func Read(path string) ([]Line, error) {
	lines, _, err := read(path)
	return lines, err
}

// read returns the whole lines and how many bytes they are.
func read(path string) (lines []Line, size int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("read journal: %w", err)
	}
	defer file.Close()
	lines, size = parse(file)
	return lines, size, nil
}

// parse reads lines until one is torn.
func parse(r io.Reader) (lines []Line, size int64) {
	in := bufio.NewReader(r)
	try := 0
	for {
		b, err := in.ReadBytes('\n')
		if err != nil {
			return lines, size
		}
		var l Line
		if json.Unmarshal(b, &l) != nil || l.Seq != int64(len(lines))+1 {
			return lines, size
		}
		if l.Type == Run {
			try++
		}
		l.Try = try
		lines = append(lines, l)
		size += int64(len(b))
	}
}

// Finished returns the cells that ended with the outcome "succeeded", the last line of
// each canonical address, by that address.
func Finished(lines []Line) map[string]Line {
	done := map[string]Line{}
	for _, l := range lines {
		if l.Type != Cell {
			continue
		}
		if l.Outcome == "succeeded" {
			done[l.Canonical] = l
		} else {
			delete(done, l.Canonical)
		}
	}
	return done
}

// lockWait is how long others may keep us from a journal of a dead run: every run on the machine
// looks whether it is locked, and one that sweeps what the run left has it until its servers
// have stopped, which they have five seconds for.
const lockWait = 8 * time.Second

// lockSoon locks the file, waiting for those who look whether it is locked, or sweep.
func lockSoon(f *os.File) bool {
	for deadline := time.Now().Add(lockWait); time.Now().Before(deadline); {
		if lock(f) {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}

// Running reports whether a living process has the journal open for appending.
func Running(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close() // and with it our lock
	return locked(file)
}

// Leftover returns what was announced or created and never stated as removed: for each
// the last of its lines, filled up from the ones before it.
func Leftover(lines []Line) []Line {
	var left []Line
	for _, l := range lines {
		i := slices.IndexFunc(left, func(o Line) bool { return o.Kind == l.Kind && o.Name == l.Name })
		switch {
		case l.Type == Create && i < 0:
			left = append(left, l)
		case l.Type == Create: // it was never seen to be gone
			left[i] = l
		case l.Type == Created && i >= 0:
			left[i].Type, left[i].Pid, left[i].Started = l.Type, l.Pid, l.Started
		case l.Type == Keep && i >= 0:
			left[i].Type, left[i].URL, left[i].Model, left[i].Digest = l.Type, l.URL, l.Model, l.Digest
		case l.Type == Removed && i >= 0:
			left = slices.Delete(left, i, i+1)
		}
	}
	return left
}

// Ended reports whether the run came to its end, and with which exit code.
func Ended(lines []Line) (code int, ok bool) {
	for i := len(lines) - 1; i >= 0; i-- {
		if lines[i].Type == End && lines[i].Exit != nil {
			return *lines[i].Exit, true
		}
		if lines[i].Type == Run {
			return 0, false
		}
	}
	return 0, false
}
