package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sparkrun/runner/journal"
	"sparkrun/runner/result"
)

// Find returns the run that arg names: its folder, its id or the unique beginning of one
// in the store dir, either after SCENARIO/ too, or SCENARIO/latest.
func Find(dir, arg string) (*Run, error) {
	if arg == "" {
		return nil, fmt.Errorf("name a run: an id, the beginning of one, a folder, or SCENARIO/latest")
	}
	if info, err := os.Stat(arg); err == nil && info.IsDir() {
		return Open(arg)
	}
	scenario, id, in := strings.Cut(arg, "/")
	if !in {
		scenario, id = "", arg
	}
	if in && id == "latest" && filepath.IsLocal(arg) {
		return Open(filepath.Join(dir, scenario, id))
	}
	var exact, begin []*Run
	for _, r := range List(dir) {
		switch {
		case in && filepath.Base(filepath.Dir(r.Dir)) != scenario:
		case r.ID == id:
			exact = append(exact, r)
		case id != "" && strings.HasPrefix(r.ID, id):
			begin = append(begin, r)
		}
	}
	if exact != nil {
		begin = exact
	}
	switch len(begin) {
	case 0:
		return nil, fmt.Errorf("no run %q in %s: it is neither a folder nor the beginning of a run's id; see: sparkrun runs", arg, dir)
	case 1:
		return begin[0], nil
	}
	var names []string
	for _, r := range begin {
		names = append(names, filepath.Base(filepath.Dir(r.Dir))+"/"+r.ID)
	}
	return nil, fmt.Errorf("%q is the beginning of %d runs: %s", arg, len(begin), strings.Join(names, ", "))
}

// Unfinished returns the newest run under dir that has not come to its end.
func Unfinished(dir string) (*Run, error) {
	for _, r := range List(dir) {
		lines, err := journal.Read(r.JournalPath())
		if err != nil {
			return nil, err
		}
		if code, ended := journal.Ended(lines); !ended || code == 130 {
			return r, nil
		}
	}
	return nil, fmt.Errorf("no unfinished run in %s: name one, as in: sparkrun resume results/SCENARIO/RUN", dir)
}

// List returns the runs under dir, the one that was last written to first.
func List(dir string) []*Run {
	journals, _ := filepath.Glob(filepath.Join(dir, "*", "*", "journal.jsonl")) // the pattern is right
	journals = slices.DeleteFunc(journals, func(p string) bool {
		return filepath.Base(filepath.Dir(p)) == "latest"
	})
	slices.SortStableFunc(journals, func(a, b string) int { return modified(b).Compare(modified(a)) })
	var runs []*Run
	for _, p := range journals {
		runs = append(runs, &Run{ID: filepath.Base(filepath.Dir(p)), Dir: filepath.Dir(p)})
	}
	return runs
}

func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// Summary reads the run's summary.json.
func (r *Run) Summary() (*result.Summary, error) { return readSummary(r.Path("summary.json")) }

// FindSummary reads the summary that arg names: a summary.json, or that of a run as Find
// finds it. The path is where it was read.
func FindSummary(dir, arg string) (s *result.Summary, path string, err error) {
	if info, err := os.Stat(arg); err == nil && !info.IsDir() {
		s, err = readSummary(arg)
		return s, arg, err
	}
	r, err := Find(dir, arg)
	if err != nil {
		return nil, "", err
	}
	s, err = r.Summary()
	return s, r.Path("summary.json"), err
}

func readSummary(path string) (*result.Summary, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: no cell of the run has ended", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read a summary: %w", err)
	}
	s, err := parseSummary(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w: is it the summary.json of a run?", path, err)
	}
	return s, nil
}

func parseSummary(b []byte) (*result.Summary, error) {
	var s result.Summary
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, err
	}
	if s.Schema != 1 {
		return nil, fmt.Errorf("its schema is %d, this version reads 1", s.Schema)
	}
	return &s, nil
}
