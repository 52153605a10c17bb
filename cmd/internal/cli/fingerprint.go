package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sparkrun/runner/result"
	"sparkrun/scenario/schema"
)

// fingerprint is what a run ran on and with, flat: "server.a.options.itl" → "2ms". It is
// read from run.json as plain JSON, so that it has every attribute of every version.
type fingerprint map[string]string

// difference is a line of two fingerprints that is not the same.
type difference struct {
	What string `json:"what"`
	Base string `json:"base"` // "–" where there is none
	New  string `json:"new"`
}

// workloadPrefix begins what of a fingerprint is the workload: not the servers'.
const workloadPrefix = "workload "

// fingerprintOf is that of the run whose summary lies at path: from run.json beside it where
// there is one, else what the summary has.
func fingerprintOf(s *result.Summary, path string) fingerprint {
	f := fingerprint{}
	f.add("", map[string]any{
		"version": s.Run.Version, "host": s.Run.Host, "os": s.Run.OS, "arch": s.Run.Arch, "cpu": s.Run.CPU, "cores": s.Run.Cores, "simulated": s.Run.Simulated,
	})
	for i := range s.Cells {
		e := &s.Cells[i]
		f.add(e.Server+".", map[string]any{"framework": e.Framework, "served_model": e.Model})
	}
	for i := range s.Run.Servers {
		found := &s.Run.Servers[i]
		for name, v := range found.Lines() {
			f.found(found.Server+" found "+name, v)
		}
	}
	b, err := os.ReadFile(filepath.Join(filepath.Dir(path), "run.json"))
	if err != nil {
		return f
	}
	var file struct {
		Plan struct {
			Nodes    []map[string]any `json:"nodes"`
			Servers  []map[string]any `json:"servers"`
			Datasets []map[string]any `json:"datasets"`
			Cells    []map[string]any `json:"cells"`
		} `json:"plan"`
	}
	if json.Unmarshal(b, &file) != nil {
		return f
	}
	frameworks := registry().Frameworks
	for _, n := range file.Plan.Nodes {
		f.add(fmt.Sprintf("node.%v.", n["name"]), without(n, "name"))
	}
	for _, v := range file.Plan.Servers {
		readable(v, frameworks)
		f.add(fmt.Sprintf("%v.", v["address"]), without(v, "address", "name", "digest", "launches"))
	}
	datasets := map[any]map[string]any{}
	for _, d := range file.Plan.Datasets {
		datasets[d["address"]] = without(d, "address", "name")
	}
	for _, c := range file.Plan.Cells {
		cell := result.WithoutRepeat(fmt.Sprint(c["address"]))
		prefix := workloadPrefix + cell + " "
		f.add(prefix, map[string]any{"dataset": datasets[c["dataset"]], "api": c["api"], "stream": c["stream"], "phases": c["phases"], "request": c["request"], "conversations": c["conversations"]})
	}
	return f
}

// found adds what a server was found to be, beside another that a later start had.
func (f fingerprint) found(name, v string) {
	if before := f[name]; before != "" && !slices.Contains(strings.Split(before, " and "), v) {
		v = before + " and " + v
	}
	f[name] = v
}

// readable turns the durations of a server, nanoseconds in JSON, into what a scenario has.
func readable(server map[string]any, frameworks []schema.Kind) {
	i := slices.IndexFunc(frameworks, func(k schema.Kind) bool { return k.Name == server["framework"] })
	if i < 0 {
		return
	}
	for name, attrs := range map[string][]schema.Attr{"attributes": frameworks[i].Attrs, "options": frameworks[i].Options} {
		values, _ := server[name].(map[string]any)
		for _, a := range attrs {
			if ns, ok := values[a.Name].(float64); ok && a.Type == schema.Duration {
				values[a.Name] = time.Duration(ns).String()
			}
		}
	}
}

// without is an object without some of its keys.
func without(object map[string]any, names ...string) map[string]any {
	out := maps.Clone(object)
	for _, n := range names {
		delete(out, n)
	}
	return out
}

// add adds a value under a name, an object's fields each by itself. Items of a list that
// have names go by them.
func (f fingerprint) add(name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			f.add(strings.TrimSuffix(name, ".")+dot(name)+k, x)
		}
		return
	case []any:
		for i, x := range v {
			item, ok := x.(map[string]any)
			if !ok {
				break
			}
			if n, has := item["name"]; has {
				f.add(fmt.Sprintf("%s.%v", name, n), without(item, "name"))
			} else {
				f.add(fmt.Sprintf("%s.%d", name, i), item)
			}
			if i == len(v)-1 {
				return
			}
		}
	case nil:
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		return // never: it came from JSON
	}
	f[name] = string(b)
}

// dot is what goes between a name and a field's.
func dot(name string) string {
	if name == "" || strings.HasSuffix(name, " ") {
		return ""
	}
	return "."
}

// workload is what a cell (its address without the repeat, and its phase) sends.
func (f fingerprint) workload(cellPhase string) fingerprint {
	cell := cellPhase[:max(0, strings.LastIndexByte(cellPhase, ' '))]
	out := fingerprint{}
	for name, v := range f {
		if rest, ok := strings.CutPrefix(name, workloadPrefix+cell+" "); ok {
			out[rest] = v
		}
	}
	return out
}

// differences are the lines that are not the same, workloads left out.
func (f fingerprint) differences(other fingerprint) []difference {
	names := map[string]bool{}
	for n := range f {
		names[n] = true
	}
	for n := range other {
		names[n] = true
	}
	out := []difference{}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		if f[n] == other[n] || strings.HasPrefix(n, workloadPrefix) {
			continue
		}
		d := difference{n, f[n], other[n]}
		for _, side := range []*string{&d.Base, &d.New} {
			if *side == "" {
				*side = "–"
			}
		}
		out = append(out, d)
	}
	return out
}
