package sinks

import (
	"io"
	"os"
	"path/filepath"
	"strings"
)

// writable proves that a file can be made.
func writable(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// writableDir proves that files can be made in a folder.
func writableDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".sparkrun-*")
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(f.Name())
}

// beside is a file's name with more in it: answers-7.json of answers.json and 7.
func beside(path, more string) string {
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + "-" + more + ext
}

// replace writes a file as a whole or not at all.
func replace(path string, write func(w io.Writer) error) error {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	err = write(f)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}
