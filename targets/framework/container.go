package framework

import (
	"slices"
	"strings"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

// huggingFace is where images of engines keep models: the node's own cache is put there,
// so that a model is not downloaded anew for each container.
const huggingFace = "~/.cache/huggingface:/root/.cache/huggingface"

// programImages are repositories whose entrypoint is the engine itself, so that our argv
// has to replace it. In others it is a wrapper that sets the environment up.
var programImages = []string{"vllm/vllm-openai", "ghcr.io/ggml-org/llama.cpp", "ollama/ollama"}

// container is how the container of a server is made: the host's network and IPC, all
// GPUs with unlimited locked memory, as NVIDIA's own instructions for these images have it.
func container(s plan.Server, node targets.RankNode, ranks int) targets.Container {
	block, _ := s.Values["container"].(schema.Values)
	c := targets.Container{
		Memory: block.String("memory"), ShmSize: block.String("shm_size"), Privileged: block.Bool("privileged"), Devices: block.Strings("devices"),
		GPUs: node.GPUs, Mounts: s.Values.Strings("mounts"),
	}
	c.Entrypoint, c.ReplaceEntrypoint = block.Strings("entrypoint"), block.Has("entrypoint")
	for _, image := range programImages {
		if name := s.Values.String("image"); !c.ReplaceEntrypoint && (name == image || strings.HasPrefix(name, image+":") || strings.HasPrefix(name, image+"@")) {
			c.ReplaceEntrypoint = true
		}
	}
	mounted := false
	for _, m := range c.Mounts {
		mounted = mounted || strings.Contains(m, ":/root/.cache/huggingface")
	}
	if !mounted {
		c.Mounts = append([]string{huggingFace}, c.Mounts...)
	}
	if ranks > 1 && node.RDMA && !c.Privileged {
		// Else NCCL finds no RDMA device and takes TCP, 1.7 times slower, without an error.
		if !slices.Contains(c.Devices, rdmaDevices) {
			c.Devices = append(slices.Clone(c.Devices), rdmaDevices)
		}
		c.Capabilities = append(c.Capabilities, "IPC_LOCK")
	}
	return c
}

// rdmaDevices is where a node has its RDMA devices.
const rdmaDevices = "/dev/infiniband"
