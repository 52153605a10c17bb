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
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("bring %s to %s: %w", file, n.opts.Name, err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("bring %s to %s: %w", file, n.opts.Name, err)
	}
	hash := hex.EncodeToString(sum.Sum(nil))
	there := path.Join(home, ".cache", "sparkrun", "bin", hash[:16], "sparkrun")
	out, err := n.Run(ctx, targets.Cmd{Argv: []string{"sha256sum", "--", there}})
	if err != nil {
		return "", err
	}
	if out.ExitCode == 0 && len(out.Stdout) >= len(hash) && string(out.Stdout[:len(hash)]) == hash {
		return there, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("bring %s to %s: %w", file, n.opts.Name, err)
	}
	return there, n.Put(ctx, there, f, 0o755)
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
