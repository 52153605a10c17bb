package node

import (
	"os"
	"path/filepath"
	"testing"
)

func TestDriverVersion(t *testing.T) {
	for line, want := range map[string]string{
		"NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  580.95.05  Release Build  (dvs-builder@U22)  Tue Sep 23": "580.95.05",
		"NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024":                          "535.183.01",
		"NVRM version: NVIDIA UNIX x86_64 Kernel Module  590.44  Mon":                                                       "590.44",
		"": "",
	} {
		if got := DriverVersion(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestGPUModel(t *testing.T) {
	dir := t.TempDir()
	for i, want := range []string{"NVIDIA GB10", "2 × NVIDIA GB10"} {
		gpu := filepath.Join(dir, "gpus", []string{"000f:01:00.0", "000f:02:00.0"}[i])
		if err := os.MkdirAll(gpu, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(gpu, "information"), []byte("Model: \t\t NVIDIA GB10\nIRQ:   \t\t 1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := gpuModel(dir); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := gpuModel(t.TempDir()); got != "" {
		t.Errorf("without a driver: %q", got)
	}
}
