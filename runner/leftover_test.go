package runner

import (
	"os"
	"path/filepath"
	"testing"

	"sparkrun/targets"
)

// TestStrays: what carries the name of a folder that never was a run's is nobody's leftover.
func TestStrays(t *testing.T) {
	top := absolute(t.TempDir())
	dead, gone, other := filepath.Join(top, "dead"), filepath.Join(top, "gone"), filepath.Join(top, "other")
	for _, dir := range []string{dead, other} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(journalOf(dead), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var on OnNode
	for i, dir := range []string{other, gone, dead} {
		on.Processes = append(on.Processes, targets.Process{Pid: i + 1, Mark: targets.Mark{Run: dir, Server: "server.a"}})
	}
	strays, err := Found{on}.strays()
	if err != nil || len(strays) != 2 || strays[0].Dir != dead || strays[1].Dir != gone {
		t.Errorf("%+v, %v", strays, err)
	}
}
