package telemetry

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sparkrun/runner/record"
	"sparkrun/targets"
)

//go:embed node.sh
var nodeScript string

// NodeOptions say what of a node is sampled, and who gets it.
type NodeOptions struct {
	Name     string // of the node
	Interval time.Duration
	GPUs     bool // ask nvidia-smi, where there is one
	System   bool // processors and memory
	Mark     targets.Mark
	Clock    record.Clock
	Take     func([]record.Sample) // of one moment; from one goroutine
}

// Node samples a node until the returned function is called, which waits for the end of the
// program that does it there.
func Node(ctx context.Context, node targets.Node, o NodeOptions) (stop func(context.Context) error, err error) {
	word := func(wanted bool, word string) string {
		if wanted {
			return word
		}
		return "-"
	}
	p, err := node.Start(ctx, targets.Cmd{
		Argv: []string{
			"sh", "-c", nodeScript, "sparkrun-telemetry",
			strconv.FormatFloat(o.Interval.Seconds(), 'f', -1, 64), strconv.FormatInt(o.Interval.Milliseconds(), 10),
			word(o.GPUs, "gpu"), word(o.System, "node"),
		},
		Mark: o.Mark, Lifeline: true, Output: &nodeReader{o: o},
	})
	if err != nil {
		return nil, fmt.Errorf("sample node %s: %w", o.Name, err)
	}
	return func(ctx context.Context) error {
		if _, err := p.Stop(ctx, stopGrace); err != nil {
			return fmt.Errorf("stop sampling node %s: %w", o.Name, err)
		}
		return nil
	}, nil
}

// stopGrace is how long the program on the node may take to end by itself.
const stopGrace = 2 * time.Second

// longestLine bounds what is kept of a line that does not end: it is none of ours.
const longestLine = 64 << 10

// nodeReader reads what node.sh prints.
type nodeReader struct {
	o       NodeOptions
	partial []byte
	proc    procReader
	late    [2]delay // of /proc's ticks, of nvidia-smi's
}

// Write takes a part of the output.
func (r *nodeReader) Write(b []byte) (int, error) {
	now := r.o.Clock.Now()
	r.partial = append(r.partial, b...)
	for {
		line, rest, whole := bytes.Cut(r.partial, []byte{'\n'})
		if !whole {
			break
		}
		if samples := r.line(string(line), now); len(samples) > 0 {
			r.o.Take(samples)
		}
		r.partial = rest
	}
	if len(r.partial) > longestLine {
		r.partial = nil
	}
	return len(b), nil
}

func (r *nodeReader) line(line string, now int64) []record.Sample {
	var samples []record.Sample
	var said time.Duration
	var source int
	if tick, ok := strings.CutPrefix(line, "tick "); ok {
		samples, said = r.proc.tick(tick)
	} else if samples, said = gpuLine(line); samples != nil {
		source = 1
	}
	if samples == nil {
		return nil
	}
	at := r.late[source].at(said, now)
	for i := range samples {
		samples[i].At, samples[i].From = at, r.o.Name
	}
	return samples
}

// delay puts the times of a node's own clock on ours. The line that took least on its way
// says best what is between them; the others came late by what they are behind it.
type delay struct {
	least int64 // ns from the node's time to ours
	known bool
}

// tooLate is more than a line can be late: the node's clock has been set.
const tooLate = int64(5 * time.Second)

func (d *delay) at(said time.Duration, now int64) int64 {
	between := now - int64(said)
	if !d.known || between < d.least || between-d.least > tooLate {
		d.least, d.known = between, true
	}
	return int64(said) + d.least
}

// procReader makes samples of ticks. What is counted since the start of the machine is
// compared with the tick before.
type procReader struct {
	up         time.Duration
	busy, idle uint64            // jiffies of all processors
	energy     map[string]uint64 // µJ by file
}

// tick reads "UPTIME cpu USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL … WORD VALUE …".
func (p *procReader) tick(line string) ([]record.Sample, time.Duration) {
	f := strings.Fields(line)
	if len(f) < 10 || f[1] != "cpu" {
		return nil, 0
	}
	seconds, err := strconv.ParseFloat(f[0], 64)
	if err != nil || !(seconds >= 0 && seconds < 1e9) {
		return nil, 0
	}
	up := time.Duration(seconds * float64(time.Second))
	var busy, idle uint64
	rest := f[2:]
	for i := 0; len(rest) > 0; i++ {
		n, err := strconv.ParseUint(rest[0], 10, 64)
		if err != nil {
			break
		}
		switch {
		case i == 3 || i == 4: // idle, and waiting for a disk
			idle += n
		case i < 8: // those after are in the others already
			busy += n
		}
		rest = rest[1:]
	}
	memory, energy := map[string]float64{}, map[string]uint64{}
	for ; len(rest) > 1; rest = rest[2:] {
		n, err := strconv.ParseUint(rest[1], 10, 64)
		switch {
		case err != nil:
		case strings.HasPrefix(rest[0], "/"):
			energy[rest[0]] = n
		default:
			memory[strings.TrimSuffix(rest[0], ":")] = float64(n) * 1024
		}
	}
	var out []record.Sample
	add := func(name string, v float64) {
		out = append(out, record.Sample{GPU: -1, Name: name, Value: v})
	}
	if total := memory["MemTotal"]; total > 0 {
		add("memory_used_bytes", max(0, total-memory["MemAvailable"]))
		add("memory_free_bytes", memory["MemFree"])
		add("page_cache_bytes", memory["Cached"])
		add("swap_used_bytes", max(0, memory["SwapTotal"]-memory["SwapFree"]))
	}
	if since := (busy - p.busy) + (idle - p.idle); p.up > 0 && busy >= p.busy && idle >= p.idle && since > 0 {
		add("cpu_utilization_percent", 100*float64(busy-p.busy)/float64(since))
	}
	if watts, ok := p.watts(energy, up); ok {
		add("cpu_power_watts", watts)
	}
	p.up, p.busy, p.idle, p.energy = up, busy, idle, energy
	return out, up
}

// watts is the power of all packages since the tick before. A counter that went back has
// come to its end and begun anew: the next tick knows.
func (p *procReader) watts(energy map[string]uint64, up time.Duration) (watts float64, ok bool) {
	if up <= p.up || len(energy) == 0 || len(p.energy) != len(energy) {
		return 0, false
	}
	for file, now := range energy {
		before, had := p.energy[file]
		if !had || now < before {
			return 0, false
		}
		watts += float64(now-before) / 1e6 / (up - p.up).Seconds()
	}
	return watts, true
}

// gpuTime is how nvidia-smi writes its time; only differences of it are used.
const gpuTime = "2006/01/02 15:04:05.000"

// gpuLine reads a line of nvidia-smi: time, index, power, utilisation, temperature, clock,
// memory, reasons. What a GPU does not say is "[N/A]" or "[Not Supported]".
func gpuLine(line string) ([]record.Sample, time.Duration) {
	f := strings.Split(line, ", ")
	if len(f) != 8 {
		return nil, 0
	}
	at, err := time.Parse(gpuTime, f[0])
	index, indexErr := strconv.ParseInt(f[1], 10, 32)
	if err != nil || indexErr != nil || index < 0 {
		return nil, 0
	}
	var out []record.Sample
	add := func(name string, v float64) {
		out = append(out, record.Sample{GPU: int32(index), Name: name, Value: v})
	}
	for i, n := range []struct {
		name  string
		times float64
	}{{"gpu_power_watts", 1}, {"gpu_utilization_percent", 1}, {"gpu_temperature_c", 1}, {"gpu_clock_mhz", 1}, {"gpu_memory_used_bytes", 1 << 20}} {
		if v, err := strconv.ParseFloat(strings.TrimSpace(f[2+i]), 64); err == nil && v >= 0 && v < 1e9 {
			add(n.name, v*n.times)
		}
	}
	if bits, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(f[7]), "0x"), 16, 52); err == nil {
		add("gpu_clocks_event_reasons", float64(bits))
	}
	return out, time.Duration(at.UnixNano())
}
