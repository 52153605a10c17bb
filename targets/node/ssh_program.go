package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sync"

	"sparkrun/targets"
)

// PutProgram brings this program's file to the node and returns its path there. The path has
// the hash of the content, so that a program that is there is not sent again, and another
// version never takes its place while it runs.
func (n *SSH) PutProgram(ctx context.Context, file string) (string, error) {
	home, err := n.Home(ctx)
	if err != nil {
		return "", err
	}
	hash, err := hashOfFile(file)
	if err != nil {
		return "", fmt.Errorf("bring %s to %s: %w", file, n.opts.Name, err)
	}
	there := path.Join(home, ".cache", "sparkrun", "bin", hash, "sparkrun")
	// What is there by that name is whole: Put gives a file its name last.
	out, err := n.Run(ctx, targets.Cmd{Argv: []string{"test", "-x", there}})
	if err != nil || out.ExitCode == 0 {
		return there, err
	}
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("bring %s to %s: %w", file, n.opts.Name, err)
	}
	defer f.Close()
	return there, n.Put(ctx, there, f, 0o755)
}

// hashes are the hashes of the files that were asked for: a program is large, and does not
// change while it runs.
var hashes sync.Map // path → string

func hashOfFile(path string) (string, error) {
	if known, ok := hashes.Load(path); ok {
		return known.(string), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	hash := hex.EncodeToString(sum.Sum(nil)[:16])
	hashes.Store(path, hash)
	return hash, nil
}

// Clean removes a run's folder, unless a program of it is running.
func (n *SSH) Clean(ctx context.Context, run string) error {
	folder, err := n.Folder(ctx, run)
	if err != nil {
		return err
	}
	all, err := n.Processes(ctx)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.Mark.Run == run {
			return nil
		}
	}
	out, err := n.Run(ctx, targets.Cmd{Argv: []string{"rm", "-rf", "--", folder}})
	if err == nil && out.ExitCode != 0 {
		err = errors.New(string(out.Stderr))
	}
	if err != nil {
		return fmt.Errorf("remove %s on %s: %w", folder, n.opts.Name, err)
	}
	return nil
}
