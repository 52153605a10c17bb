package selftest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Result is selftest.json.
type Result struct {
	Schema  int       `json:"schema"` // 1
	Version string    `json:"version"`
	Time    time.Time `json:"time"`
	Machine Machine   `json:"machine"`
	Quick   bool      `json:"quick"`
	Levels  []Level   `json:"levels"`
	Limit   Limit     `json:"limit"`
}

// Machine is what a result holds for: another one, or other cores, need their own.
type Machine struct {
	Host  string `json:"host"`
	OS    string `json:"os"`
	Arch  string `json:"arch"`
	CPU   string `json:"cpu"`
	Cores int    `json:"cores"`
}

// Level is one load: so many streams with a token every 30 ms.
type Level struct {
	Streams          int     `json:"streams"`
	Together         bool    `json:"together"` // all tokens leave at once, as an engine's step sends them
	Held             int     `json:"streams_held"`
	Failed           int     `json:"failed"`
	Events           int64   `json:"events"`
	EventsPerS       float64 `json:"events_per_s"`
	EventsPerCPUS    float64 `json:"events_per_cpu_s"` // of one core
	TTFTErrorMS      Spread  `json:"ttft_error_ms"`    // reported − true, without sign
	ITLErrorMS       Spread  `json:"itl_error_ms"`
	SendLagMS        Spread  `json:"send_lag_ms"`
	ServerLateMS     Spread  `json:"server_late_ms"` // the simulator against its own schedule: not in the errors
	GCShare          float64 `json:"gc_cpu_share"`
	KernelStampShare float64 `json:"kernel_stamp_share"`
}

// Spread is the middle and the end of a distribution.
type Spread struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Limit is the largest load that was measured with an error under 1 ms at p99, evenly
// spread and together; 0 where even the smallest was not.
type Limit struct {
	Streams    int       `json:"streams"`
	EventsPerS float64   `json:"events_per_s"`
	Time       time.Time `json:"time"` // of the selftest
}

// ErrorLimitMS is the p99 error up to which a load counts as measured well.
const ErrorLimitMS = 1.0

// limit finds the largest load of which every level is good.
func limit(levels []Level) Limit {
	var l Limit
	for i := range levels {
		n := levels[i].Streams
		good, events := true, 0.0
		for _, other := range levels {
			if other.Streams == n {
				good = good && other.Good()
				events = max(events, other.EventsPerS)
			}
		}
		if good && n > l.Streams {
			l.Streams, l.EventsPerS = n, events
		}
	}
	return l
}

// Good reports whether the level was held and measured well.
func (l *Level) Good() bool {
	return l.Failed == 0 && l.Held == l.Streams && l.TTFTErrorMS.P99 < ErrorLimitMS && l.ITLErrorMS.P99 < ErrorLimitMS
}

// Save keeps a result in the user's cache folder, in the place of the one before.
func Save(dir string, r *Result) (path string, err error) {
	path = file(dir)
	if err = os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("save the selftest: %w", err)
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", fmt.Errorf("save the selftest: %w", err)
	}
	tmp := path + ".new"
	if err = os.WriteFile(tmp, append(b, '\n'), 0o644); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
		return "", fmt.Errorf("save the selftest: %w", err)
	}
	return path, nil
}

func file(dir string) string { return filepath.Join(dir, "sparkrun", "selftest.json") }

// Newest is the limit of the result that is kept for this machine, nil where there is none.
func Newest(dir string, m Machine) (*Limit, error) {
	b, err := os.ReadFile(file(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var r Result
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return nil, fmt.Errorf("read the selftest: %w: run sparkrun selftest again", err)
	}
	if r.Machine != m {
		return nil, nil
	}
	r.Limit.Time = r.Time
	return &r.Limit, nil
}
