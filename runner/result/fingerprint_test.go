package result

import (
	"strings"
	"testing"
)

func TestFingerprint(t *testing.T) {
	before := Fingerprint{
		Server: "server.a", Framework: "vllm", ImageDigest: "sha256:1", EngineVersion: "0.11.0", Engine: map[string]string{"max_model_len": "4096"},
		Argv: []string{"vllm", "serve", "m"}, Kernel: "6.17", Driver: "580.95.05", BootID: "b1",
	}
	before.Sign()
	for name, c := range map[string]struct {
		change func(*Fingerprint)
		want   string // of Changed
		same   bool   // the id
	}{
		"nothing":              {func(*Fingerprint) {}, "", true},
		"a reboot":             {func(f *Fingerprint) { f.BootID = "b2" }, "", true},
		"an image":             {func(f *Fingerprint) { f.ImageDigest = "sha256:2" }, "image_digest was sha256:1 and is sha256:2", false},
		"a version":            {func(f *Fingerprint) { f.EngineVersion = "0.11.1" }, "engine_version was 0.11.0 and is 0.11.1", false},
		"a driver and a flag":  {func(f *Fingerprint) { f.Driver, f.Argv = "590.1", []string{"vllm", "serve", "m", "-x"} }, "argv was vllm serve m and is vllm serve m -x; driver was 580.95.05 and is 590.1", false},
		"what the engine says": {func(f *Fingerprint) { f.Engine = map[string]string{"max_model_len": "8192"} }, "engine.max_model_len was 4096 and is 8192", false},
		// Of a server that was not asked, or not started, nothing says that it is another one.
		"less is known": {func(f *Fingerprint) { f.EngineVersion, f.Argv = "", nil }, "", false},
		"more is known": {func(f *Fingerprint) { f.Revision = "abc" }, "", false},
	} {
		now := before
		c.change(&now)
		now.Sign()
		if got := strings.Join(before.Changed(&now), "; "); got != c.want || (now.ID == before.ID) != c.same {
			t.Errorf("%s: %q, want %q; same id %v", name, got, c.want, now.ID == before.ID)
		}
	}
	var r Run
	r.AddServer(&before)
	r.AddServer(&before)
	rebooted := before
	rebooted.BootID = "b2"
	r.AddServer(&rebooted)
	if len(r.Servers) != 2 {
		t.Errorf("%d servers, want the one and the one after the reboot", len(r.Servers))
	}
	if text := before.Text(); text != "image digest sha256:1, engine version 0.11.0, argv vllm serve m, max_model_len 4096, driver 580.95.05, kernel 6.17" {
		t.Errorf("%s", text)
	}
}
