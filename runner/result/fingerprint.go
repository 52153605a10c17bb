package result

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Fingerprint is what a server ran on and with, as it was found: not as it was asked for.
// What could not be found is empty.
type Fingerprint struct {
	ID        string `json:"id"` // hex, over all of it but the boot id
	Server    string `json:"server"`
	Framework string `json:"framework"`

	Image         string `json:"image,omitempty"`
	ImageDigest   string `json:"image_digest,omitempty"`
	EngineVersion string `json:"engine_version,omitempty"`
	// Engine is what the engine says of itself: limits, model, switches.
	Engine map[string]string `json:"engine,omitempty"`
	// Program is the path of a process's program, ProgramFile that file's size and time.
	Program     string `json:"program,omitempty"`
	ProgramFile string `json:"program_file,omitempty"`
	// Argv is what runs, with PORT for a port that was free and RUN for the run's folder.
	Argv     []string `json:"argv,omitempty"`
	Model    string   `json:"model,omitempty"`    // as it is served
	Revision string   `json:"revision,omitempty"` // of the model: the commit in the cache, or a file's size and time

	Hostname string `json:"hostname,omitempty"` // of the node, as all that follows
	OS       string `json:"os,omitempty"`
	Arch     string `json:"arch,omitempty"`
	CPU      string `json:"cpu,omitempty"`
	GPU      string `json:"gpu,omitempty"`
	Driver   string `json:"driver,omitempty"` // of the GPU
	Kernel   string `json:"kernel,omitempty"`
	BootID   string `json:"boot_id,omitempty"`
}

// Sign fills in the ID.
func (f *Fingerprint) Sign() {
	plain := *f
	plain.ID, plain.BootID = "", ""
	b, err := json.Marshal(plain)
	if err != nil {
		panic(err) // strings
	}
	sum := sha256.Sum256(b)
	f.ID = hex.EncodeToString(sum[:8])
}

// Lines are its parts by name, those that are not empty: "image_digest" → "sha256:…".
func (f *Fingerprint) Lines() map[string]string {
	lines := map[string]string{}
	for name, v := range map[string]string{
		"image": f.Image, "image_digest": f.ImageDigest, "engine_version": f.EngineVersion, "program": f.Program, "program_file": f.ProgramFile,
		"argv": strings.Join(f.Argv, " "), "model": f.Model, "revision": f.Revision, "hostname": f.Hostname, "os": f.OS,
		"arch": f.Arch, "cpu": f.CPU, "gpu": f.GPU, "driver": f.Driver, "kernel": f.Kernel, "boot_id": f.BootID,
	} {
		if v != "" {
			lines[name] = v
		}
	}
	for name, v := range f.Engine {
		lines["engine."+name] = v
	}
	return lines
}

// Changed says what differs between two fingerprints of a server, as far as both know it:
// "engine_version was 0.11.0 and is 0.11.1". A reboot alone is no change.
func (f *Fingerprint) Changed(now *Fingerprint) []string {
	var out []string
	before, after := f.Lines(), now.Lines()
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if b, known := after[name]; known && b != before[name] && name != "boot_id" {
			out = append(out, fmt.Sprintf("%s was %s and is %s", name, before[name], b))
		}
	}
	return out
}

// Text is it in one line, for people: what it ran with, then on what.
func (f *Fingerprint) Text() string {
	var parts []string
	lines := f.Lines()
	for _, name := range []string{"image", "image_digest", "engine_version", "program", "program_file", "argv", "revision"} {
		if v := lines[name]; v != "" {
			parts = append(parts, strings.ReplaceAll(name, "_", " ")+" "+v)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Engine)) {
		parts = append(parts, name+" "+f.Engine[name])
	}
	for _, name := range []string{"hostname", "cpu", "gpu", "driver", "kernel"} {
		if v := lines[name]; v != "" {
			parts = append(parts, name+" "+v)
		}
	}
	return strings.Join(parts, ", ")
}

// AddServer keeps a fingerprint, once.
func (r *Run) AddServer(f *Fingerprint) {
	if !slices.ContainsFunc(r.Servers, func(o Fingerprint) bool { return o.ID == f.ID && o.BootID == f.BootID }) {
		r.Servers = append(r.Servers, *f)
	}
}
