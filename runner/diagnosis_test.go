package runner

import (
	"bufio"
	"strings"
	"testing"
)

// TestDiagnose: the first failure in what engines really print, not the loudest.
func TestDiagnose(t *testing.T) {
	for name, c := range map[string]struct {
		log    string
		want   string // the line
		advice string // a part
		memory bool
	}{
		"nothing": {log: "INFO 11-25 12:00:00 [api_server.py:1] Started\nWARNING: CUDA graphs are off\n"},
		"vLLM at start": {
			log:  "(EngineCore_0 pid=7) ERROR 11-25 12:00:00 [core.py:842] Traceback (most recent call last):\n(EngineCore_0 pid=7) ERROR 11-25 12:00:00 [core.py:842]   File \"x.py\", line 1\n(EngineCore_0 pid=7) ERROR 11-25 12:00:00 [core.py:842] ValueError: Free memory on device cuda:0 (109.53/121.69 GiB) on startup is less than desired GPU memory utilization (0.95, 115.6 GiB).\nRuntimeError: Engine core initialization failed.\n",
			want: "ValueError: Free memory on device cuda:0 (109.53/121.69 GiB) on startup is less than desired GPU memory utilization (0.95, 115.6 GiB).", advice: "memory_fraction", memory: true,
		},
		"chained": {
			log:  "Traceback (most recent call last):\n  File \"a.py\", line 2, in f\n    raise KeyError('x')\nKeyError: 'x'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"b.py\", line 1\nRuntimeError: late\n",
			want: "KeyError: 'x'",
		},
		"SGLang": {
			log:  "[2026-11-25 12:00:01 TP0] Scheduler hit an exception: Traceback (most recent call last):\n  File \"s.py\", line 1\ntorch.OutOfMemoryError: CUDA out of memory.\n",
			want: "torch.OutOfMemoryError: CUDA out of memory.", advice: "memory_fraction", memory: true,
		},
		"TensorRT-LLM": {
			log:  "[11/25/2026-12:00:01] [TRT-LLM] [E] Failed to load\n[TensorRT-LLM][ERROR] x\nTraceback (most recent call last):\n  File \"c.py\", line 1\nhuggingface_hub.errors.GatedRepoError: 401 Client Error.\n",
			want: "huggingface_hub.errors.GatedRepoError: 401 Client Error.", advice: "HF_TOKEN",
		},
		"mpirun": {
			log:  "[1,1]<stdout>:[11/25/2026-12:00:01] [TRT-LLM] [I] rank 1\n[1,1]<stderr>:Traceback (most recent call last):\n[1,1]<stderr>:  File \"c.py\", line 1\n[1,1]<stderr>:RuntimeError: NCCL error\n[1,0]<stderr>:mpi4py: aborted\n",
			want: "RuntimeError: NCCL error",
		},
		"llama.cpp model": {
			log:  "0.00.123.456 I loading\n0.00.130.000 E llama_model_load: error loading model: tensor 'x' not found\n0.00.140.000 E exiting due to model loading error\n",
			want: "llama_model_load: error loading model: tensor 'x' not found",
		},
		"llama.cpp memory": {
			log:  "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9000.00 MiB on device 0: cudaMalloc failed: out of memory\nllama_model_load: error loading model: unable to allocate CUDA0 buffer\n",
			want: "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9000.00 MiB on device 0: cudaMalloc failed: out of memory", memory: true,
		},
		"llama.cpp flag": {log: "error: invalid argument: --no-such\n", want: "error: invalid argument: --no-such", advice: "does not know the flag"},
		"argparse":       {log: "usage: vllm serve\nvllm serve: error: unrecognized arguments: --x\n", want: "vllm serve: error: unrecognized arguments: --x", advice: "does not know the flag"},
		"processor":      {log: "exec /usr/bin/vllm: exec format error\n", want: "exec /usr/bin/vllm: exec format error", advice: "linux/arm64"},
		"architecture":   {log: "Traceback (most recent call last):\n  x\ntorch.AcceleratorError: CUDA error: no kernel image is available for execution on the device\n", want: "torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device", advice: "sm_121"},
		"port":           {log: "ERROR: [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use\n", want: "ERROR: [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use", advice: "another program has the port"},
		"Go":             {log: "panic: runtime error: index out of range\n\ngoroutine 1 [running]:\n", want: "panic: runtime error: index out of range"},
		"no newline":     {log: "Segmentation fault", want: "Segmentation fault"},
		"cut traceback":  {log: "Traceback (most recent call last):\n  File \"a.py\"\n"},
	} {
		d := diagnose(bufio.NewReader(strings.NewReader(c.log)))
		if d.line != c.want || d.memory != c.memory || !strings.Contains(d.advice, c.advice) {
			t.Errorf("%s: %+v, want %q, memory %v, advice with %q", name, d, c.want, c.memory, c.advice)
		}
	}
}

func FuzzDiagnose(f *testing.F) {
	f.Add("Traceback (most recent call last):\n  x\nE: y\n")
	f.Fuzz(func(t *testing.T, log string) {
		if d := diagnose(bufio.NewReader(strings.NewReader(log))); d.line != "" && !strings.Contains(log, d.line) {
			t.Errorf("%q is not in the log", d.line)
		}
	})
}
