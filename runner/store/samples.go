package store

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/runner/table"
	"sparkrun/scenario/plan"
)

// Samples writes the telemetry of one cell as it comes, and makes it into a Parquet file.
// Its methods may be called from several goroutines.
type Samples struct {
	run  *Run
	info *result.Run
	cell *plan.Cell

	mu   sync.Mutex
	file *os.File // nil: nothing came yet
	all  []record.Sample
	err  error // the first
}

// CreateSamples makes the telemetry of a cell, without what an earlier try left.
func (r *Run) CreateSamples(info *result.Run, c *plan.Cell) (*Samples, error) {
	s := &Samples{run: r, info: info, cell: c}
	for _, path := range []string{s.path(".jsonl"), s.path(".parquet")} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("remove the telemetry of an earlier try: %w", err)
		}
	}
	return s, nil
}

func (s *Samples) path(suffix string) string {
	return s.run.Path("telemetry", strconv.Itoa(s.cell.Number)+suffix)
}

// sampleColumns are those of samples, after those of the cell; gpu is null where a sample
// is not of one. A sample outside all phases has no phase.
var sampleColumns = []table.Column{
	{Name: "at_ns", Type: table.Whole, Filled: true},
	{Name: "source", Type: table.Text, Few: true, Filled: true},
	{Name: "gpu", Type: table.Whole, Few: true},
	{Name: "name", Type: table.Text, Few: true, Filled: true},
	{Name: "value", Type: table.Real, Filled: true},
}

// sampleValues are a sample's under sampleColumns.
func sampleValues(row []table.Value, s *record.Sample) []table.Value {
	gpu := table.Value{}
	if s.GPU >= 0 {
		gpu = table.WholeOf(int64(s.GPU))
	}
	return append(row, table.WholeOf(s.At), table.TextOf(s.From), gpu, table.TextOf(s.Name), table.RealOf(s.Value))
}

// Take keeps samples and writes them as JSON lines.
func (s *Samples) Take(samples []record.Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, samples...)
	if s.file == nil && s.err == nil {
		if s.err = os.MkdirAll(filepath.Dir(s.path("")), 0o755); s.err == nil {
			s.file, s.err = os.Create(s.path(".jsonl"))
		}
	}
	if s.err != nil {
		return
	}
	x := newContext(s.info, s.cell)
	var lines []byte
	var row []table.Value
	for i := range samples {
		lines = append(lines, x.json()...)
		row = sampleValues(row[:0], &samples[i])
		for k, c := range sampleColumns {
			lines = append(lines, ',')
			lines = append(appendString(lines, c.Name), ':')
			lines = row[k].AppendJSON(lines, c.Type, appendString)
		}
		lines = append(lines, '}', '\n')
	}
	_, s.err = s.file.Write(lines)
}

// All are the samples until now.
func (s *Samples) All() []record.Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[:len(s.all):len(s.all)]
}

// Keep makes the JSON lines into a Parquet file and removes them. After an error they stay.
func (s *Samples) Keep(phases []load.PhaseOutcome) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return s.wrong(s.err)
	}
	err := errors.Join(s.err, s.file.Close())
	if err != nil {
		return s.wrong(err)
	}
	x := newContext(s.info, s.cell)
	columns := append([]table.Column{}, x.columns...)
	for i := range columns[len(columns)-2:] {
		columns[len(columns)-2+i].Filled = false
	}
	w, err := table.Create(s.path(".parquet"), append(columns, sampleColumns...), map[string]string{"sparkrun.schema": schemaVersion, "sparkrun.run": s.info.ID, metaCell: s.cell.Name})
	if err != nil {
		return s.wrong(err)
	}
	var row []table.Value
	for i := range s.all {
		row = append(row[:0], x.values...)
		for _, p := range phases {
			if at := s.all[i].At; at >= p.Start && at < p.End {
				row[len(row)-2], row[len(row)-1] = table.TextOf(p.Name), table.FlagOf(p.Measure)
			}
		}
		w.Row(sampleValues(row, &s.all[i]))
	}
	if err := w.Close(); err != nil {
		return s.wrong(err)
	}
	return s.wrong(os.Remove(s.path(".jsonl")))
}

func (s *Samples) wrong(err error) error {
	if err != nil {
		err = fmt.Errorf("keep the telemetry of %s: %w", s.cell.Name, err)
	}
	return err
}

// ReadSamples reads the telemetry of cell n back: from its Parquet file, or from its JSON lines
// where it has not been closed, to the last whole one; none where nothing was sampled.
func (r *Run) ReadSamples(n int) ([]record.Sample, error) {
	name := strconv.Itoa(n)
	var all []record.Sample
	err := eachRow(r.Path("telemetry", name+".parquet"), func(row named) error {
		s := record.Sample{At: row.value("at_ns", table.Whole).Whole(), From: row.value("source", table.Text).Text(), GPU: -1, Name: row.value("name", table.Text).Text(), Value: row.value("value", table.Real).Real()}
		if gpu := row.value("gpu", table.Whole); !gpu.Null() {
			s.GPU = int32(gpu.Whole())
		}
		all = append(all, s)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		var lines *os.File
		if lines, err = os.Open(r.Path("telemetry", name+".jsonl")); err == nil {
			defer lines.Close()
			all, err = readSamples(lines)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the telemetry of cell %d: %w", n, err)
	}
	return all, nil
}

func readSamples(in io.Reader) (all []record.Sample, err error) {
	lines := bufio.NewReader(in)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return all, nil // a line without its end is a torn write
		}
		var s struct {
			At    int64   `json:"at_ns"`
			From  string  `json:"source"`
			GPU   *int32  `json:"gpu"`
			Name  string  `json:"name"`
			Value float64 `json:"value"`
		}
		if err == nil {
			err = json.Unmarshal(line, &s)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		gpu := int32(-1)
		if s.GPU != nil {
			gpu = *s.GPU
		}
		all = append(all, record.Sample{At: s.At, From: s.From, GPU: gpu, Name: s.Name, Value: s.Value})
	}
}
