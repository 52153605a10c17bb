package generator

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"sparkrun/targets"
)

// bring brings the workers' program to the nodes of a generator that starts each of them,
// once to each node, and returns its path there by the node's name.
func bring(ctx context.Context, o Options) (map[string]string, error) {
	paths, errs := map[string]string{}, []error{}
	var mu sync.Mutex
	var brings sync.WaitGroup
	for _, name := range slices.Compact(slices.Sorted(slices.Values(o.Generator.Nodes))) {
		brings.Go(func() {
			path, err := bringTo(ctx, o, name)
			mu.Lock()
			defer mu.Unlock()
			if paths[name] = path; err != nil {
				errs = append(errs, fmt.Errorf("bring the workers' program to %s: %w", name, err))
			}
		})
	}
	brings.Wait()
	return paths, errors.Join(errs...)
}

// bringTo brings this program to a node of this machine's kind, and to another one that
// which the user has for it.
func bringTo(ctx context.Context, o Options, name string) (string, error) {
	node, err := o.Node(name)
	if err != nil {
		return "", err
	}
	remote, ok := node.(targets.Remote)
	if !ok {
		return o.Self, nil
	}
	facts, err := remote.Facts(ctx)
	if err != nil {
		return "", err
	}
	file := o.Self
	if facts.OS != runtime.GOOS || facts.Arch != runtime.GOARCH {
		if file = o.Binary; file == "" {
			return "", fmt.Errorf("it is %s/%s, and this sparkrun is for %s/%s: give the file of sparkrun %s for %s/%s with --worker-binary", facts.OS, facts.Arch, runtime.GOOS, runtime.GOARCH, o.Version, facts.OS, facts.Arch)
		}
	}
	return remote.PutProgram(ctx, file)
}
