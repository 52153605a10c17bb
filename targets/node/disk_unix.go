//go:build unix

package node

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// DiskFree is how many bytes a user may still write below a folder of this machine.
func DiskFree(path string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, fmt.Errorf("ask for the free space of %s: %w", path, err)
	}
	return s.Bavail * uint64(s.Bsize), nil
}
