// Package container implements targets.Containers over the API of Docker, which podman's
// socket speaks too: a server's image is pulled as a step of its own, its container carries
// the mark of its run as labels, and whatever carries a mark can be found and removed.
package container
