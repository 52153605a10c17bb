package runner

import (
	"bufio"
	"regexp"
	"strings"
)

// diagnosis is what a server's output says of its failure: the first thing that went
// wrong. The loudest comes later: an engine whose first rank has no memory ends in pages
// of its other ranks' complaints.
type diagnosis struct {
	line   string
	advice string
	memory bool // it asked for more memory than there was
}

// String is the line with what to do about it.
func (d diagnosis) String() string {
	if d.advice == "" {
		return d.line
	}
	return d.line + " (" + d.advice + ")"
}

// symptoms are what engines print when they fail. The advice of the first that matches a
// line is given.
var symptoms = []struct {
	pattern *regexp.Regexp
	advice  string
	memory  bool
	// alone says that the line is the failure by itself; the others only explain the last
	// line of a traceback, as their words also stand in harmless warnings.
	alone bool
}{
	{regexp.MustCompile(`Free memory on device .* is less than desired`), "lower memory_fraction, or end what holds the memory", true, true},
	{regexp.MustCompile(`(?i)CUDA(?: error:)? out of memory|OutOfMemoryError|cudaErrorMemoryAllocation|NV_ERR_NO_MEMORY`), "lower memory_fraction or max_model_len, or end what holds the memory", true, true},
	{regexp.MustCompile(`(?i)ggml.*(?:failed to allocate|cudaMalloc failed)|alloc_tensor_range: failed|failed to allocate (?:compute|CUDA|CPU|buffer)`), "lower max_model_len or offload less", true, true},
	{regexp.MustCompile(`No available memory for the cache blocks|larger than the available KV cache memory|larger than the maximum number of tokens that can be stored in KV cache`), "raise memory_fraction or lower max_model_len", true, true},
	{regexp.MustCompile(`exec format error`), "it is built for another processor: a DGX Spark needs linux/arm64", false, true},
	{regexp.MustCompile(`no kernel image is available|ptxas.*(?:fatal|sm_12)`), "it is built without this GPU's architecture (sm_121 on a DGX Spark): take another image", false, true},
	{regexp.MustCompile(`(?i)address already in use`), "another program has the port", false, true},
	{regexp.MustCompile(`(?i)gated repo|GatedRepoError|401 Client Error|Repository Not Found`), "the model can't be read: check its name, and that HF_TOKEN may", false, true},
	{regexp.MustCompile(`(?i)no space left on device`), "the disk is full", false, true},
	{regexp.MustCompile(`ModuleNotFoundError|No module named`), "the environment lacks a package", false, false},
	{regexp.MustCompile(`error: (?:unrecognized arguments|argument |invalid argument|the following arguments)|unknown argument|unrecognized option|flag provided but not defined`), "this version of the engine does not know the flag", false, true},
	{regexp.MustCompile(`^(?:E |error:|Error:|\S*: error:)|error loading model|failed to load model|GGML_ASSERT|GGML_ABORT`), "", false, true},
	{regexp.MustCompile(`^(?:panic:|fatal error:|terminate called|Segmentation fault|Fatal Python error)`), "", false, true},
}

// prefix is what engines put before a line: "[1,0]<stderr>:" of mpirun, "(EngineCore_0 pid=7) ERROR 11-25 12:00:01
// [core.py:842] " of vLLM, "[2026-11-25 12:00:01 TP0] " of SGLang, "[11/25/2026-12:00:01]
// [TRT-LLM] [E] " of TensorRT-LLM, "0.00.123.456 E " of llama.cpp.
var prefix = regexp.MustCompile(`^(?:\[\d+,\d+\]<std(?:out|err)>:\s?)?(?:\x1b\[[0-9;]*m)*(?:\([^()]*pid=\d+\)\s?)?(?:\x1b\[[0-9;]*m)*(?:(?:ERROR|CRITICAL|WARNING|INFO) \d\d-\d\d [\d:.]+ (?:\[[^\]]*\] ?)?|\[[\d/:. \-]+[^\]]*\] (?:\[TRT-LLM\] )?(?:\[\w\] ?)?|[\d.]+ [EWIF] )?`)

// exception is the last line of a Python traceback: a dotted name and what it says.
var exception = regexp.MustCompile(`^[A-Za-z_][\w.]*(?::\s.*|)$`)

const traceback = "Traceback (most recent call last):"

// diagnose finds the first failure in a server's output.
func diagnose(r *bufio.Reader) diagnosis {
	inTraceback := false
	for {
		raw, err := r.ReadString('\n')
		indented := prefix.ReplaceAllString(strings.TrimRight(raw, "\r\n"), "")
		line := strings.TrimSpace(indented)
		switch {
		case line == "":
		case strings.HasPrefix(line, traceback):
			inTraceback = true
		case inTraceback && indented == line && exception.MatchString(line):
			return explain(line)
		case !inTraceback:
			if d := explain(line); d.line != "" && d.alone() {
				return d
			}
		}
		if err != nil {
			return diagnosis{}
		}
	}
}

// explain looks a line up among the symptoms.
func explain(line string) diagnosis {
	for _, s := range symptoms {
		if s.pattern.MatchString(line) {
			return diagnosis{line: line, advice: s.advice, memory: s.memory}
		}
	}
	return diagnosis{line: line}
}

// alone reports whether the line is a failure by itself.
func (d diagnosis) alone() bool {
	for _, s := range symptoms {
		if s.alone && s.pattern.MatchString(d.line) {
			return true
		}
	}
	return false
}
