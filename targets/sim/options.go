package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sparkrun/scenario/schema"
)

// Config is how a simulated server behaves. With TTFT or ITL set it answers on a fixed
// schedule; else by the cost model of one step of a batch:
// DecodeStep + sequences × DecodeStepPerSeq + prefilled tokens / PrefillTokensPerS.
type Config struct {
	Model             string
	TTFT, ITL         time.Duration
	Together          bool // with ITL: all streams' tokens leave at once
	PrefillTokensPerS float64
	DecodeStep        time.Duration
	DecodeStepPerSeq  time.Duration
	MaxNumSeqs        int64
	KVTokens          int64
	MaxModelLen       int64
	PrefixCaching     bool
	KeepsCache        bool
	LoadTime          time.Duration
	ReasoningTokens   int64
	TokensPerEvent    int64
	ErrorRate         float64
	StallRate         float64
	DropRate          float64
	Jitter            float64
	WarmupSlowdown    float64
	Seed              int64
	APIKey            string
	Trace             string // file
}

// Preset is a machine and engine as somebody measured it.
type Preset struct {
	Name   string
	Source string
	values schema.Values
}

// The presets: the two ends (1 and 32 users) of a published table give the two numbers
// of the decode step.
var presets = []Preset{
	{"spark-gpt-oss-20b-llamacpp", "llama.cpp benches/dgx-spark.md (b6918): prefill 3783 tokens/s, decode 81 tokens/s at batch 1 and 615 at 32", costs(3783, 11000, 1280)},
	{"spark-gpt-oss-20b-vllm", "estimate, not a measurement: llama.cpp's table for this model times vLLM over llama.cpp for gpt-oss-120b", costs(3783, 10900, 1250)},
	{"spark-gpt-oss-20b-sglang", "assumption, not a measurement: no published table; 70 % of 273 GB/s for the active weights", costs(4200, 11800, 1100)},
	{"spark-gpt-oss-120b-llamacpp", "llama.cpp benches/dgx-spark.md: prefill 1938 tokens/s, decode 57 tokens/s at batch 1 and 313 at 32", costs(1938, 14800, 2730)},
	{"spark-gpt-oss-120b-vllm", "kubis' table for MXFP4, pp1024/tg128: decode 57.5 tokens/s at 1 and 319 at 32 users; prefill as llama.cpp's", costs(1938, 14720, 2670)},
	{"spark-llama-3.1-8b-fp8-sglang", "LMSYS review of the DGX Spark: prefill 7991 tokens/s, decode 20.5 tokens/s at batch 1 and 368 at 32", costs(7991, 47550, 1230)},
}

func costs(prefill float64, step, perSeq int64) schema.Values {
	return schema.Values{
		"prefill_tokens_per_s": prefill,
		"decode_step":          time.Duration(step) * time.Microsecond,
		"decode_step_per_seq":  time.Duration(perSeq) * time.Microsecond,
	}
}

// Presets are all presets with their sources.
func Presets() []Preset { return presets }

// Options are the keys of options = {} of a server "sim", and the flags of `sparkrun
// sim` with dashes for underscores.
func Options() []schema.Attr {
	var names []string
	for _, p := range presets {
		names = append(names, p.Name)
	}
	return []schema.Attr{
		{Name: "preset", Type: schema.String, Values: names, DefaultDoc: "none", Doc: "Costs of a measured machine; options given beside it win."},
		{Name: "ttft", Type: schema.Duration, DefaultDoc: "by the cost model", Doc: "Fixed time to the first token; with itl it replaces the cost model."},
		{Name: "itl", Type: schema.Duration, DefaultDoc: "by the cost model", Doc: "Fixed time between two tokens."},
		{Name: "together", Type: schema.Bool, Default: false, Doc: "With itl: the tokens of all streams leave at once, as an engine's step sends them."},
		{Name: "prefill_tokens_per_s", Type: schema.Float, Default: 10000.0, Doc: "Prompt tokens that a step takes in per second."},
		{Name: "decode_step", Type: schema.Duration, Default: 5 * time.Millisecond, Doc: "Time of a decode step, however many sequences it has."},
		{Name: "decode_step_per_seq", Type: schema.Duration, Default: 200 * time.Microsecond, Doc: "What each sequence adds to a step."},
		{Name: "max_num_seqs", Type: schema.Int, Default: int64(256), Doc: "Sequences in a batch; the rest queue."},
		{Name: "kv_tokens", Type: schema.Int, Default: int64(1 << 20), Doc: "Tokens of KV cache; a request waits until its prompt and answer fit."},
		{Name: "max_model_len", Type: schema.Int, Default: int64(131072), Doc: "Longest prompt and answer together."},
		{Name: "prefix_caching", Type: schema.Bool, Default: true, Doc: "Whether a prompt's known beginning costs no prefill."},
		{Name: "keeps_cache", Type: schema.Bool, Default: false, Doc: "POST /reset_prefix_cache answers 200 and empties nothing, as an engine may while requests hold parts of its cache."},
		{Name: "load_time", Type: schema.Duration, Default: time.Duration(0), Doc: "Answers 503 for so long after its start."},
		{Name: "reasoning_tokens", Type: schema.Int, Default: int64(0), Doc: "Tokens at the front of an answer that are reasoning."},
		{Name: "tokens_per_event", Type: schema.Int, Default: int64(1), Doc: "Tokens in a stream event, as with speculative decoding."},
		{Name: "error_rate", Type: schema.Float, Default: 0.0, Doc: "Share of requests answered with HTTP 500."},
		{Name: "stall_rate", Type: schema.Float, Default: 0.0, Doc: "Share of requests that stop for a second in the middle."},
		{Name: "drop_rate", Type: schema.Float, Default: 0.0, Doc: "Share of requests whose connection is cut in the middle."},
		{Name: "jitter", Type: schema.Float, Default: 0.0, Doc: "Standard deviation of every time, as a share of it."},
		{Name: "warmup_slowdown", Type: schema.Float, Default: 1.0, Doc: "Factor on every time of the first 10 requests."},
		{Name: "seed", Type: schema.Int, Default: int64(1), Doc: "Seed of everything random."},
	}
}

// NewConfig makes a Config from decoded options.
func NewConfig(v schema.Values) (Config, error) {
	all := schema.Values{}
	for _, o := range Options() {
		if o.Default != nil {
			all[o.Name] = o.Default
		}
	}
	if name := v.String("preset"); name != "" {
		i := slices.IndexFunc(presets, func(p Preset) bool { return p.Name == name })
		if i < 0 {
			var names []string
			for _, p := range presets {
				names = append(names, p.Name)
			}
			return Config{}, fmt.Errorf("preset %q is unknown: use one of %s", name, strings.Join(names, ", "))
		}
		for k, x := range presets[i].values {
			all[k] = x
		}
	}
	for k, x := range v {
		all[k] = x
	}
	c := Config{
		TTFT: all.Duration("ttft"), ITL: all.Duration("itl"), Together: all.Bool("together"),
		PrefillTokensPerS: all.Float("prefill_tokens_per_s"),
		DecodeStep:        all.Duration("decode_step"), DecodeStepPerSeq: all.Duration("decode_step_per_seq"),
		MaxNumSeqs: all.Int("max_num_seqs"), KVTokens: all.Int("kv_tokens"), MaxModelLen: all.Int("max_model_len"),
		PrefixCaching: all.Bool("prefix_caching"), KeepsCache: all.Bool("keeps_cache"), LoadTime: all.Duration("load_time"),
		ReasoningTokens: all.Int("reasoning_tokens"), TokensPerEvent: all.Int("tokens_per_event"),
		ErrorRate: all.Float("error_rate"), StallRate: all.Float("stall_rate"), DropRate: all.Float("drop_rate"),
		Jitter: all.Float("jitter"), WarmupSlowdown: all.Float("warmup_slowdown"), Seed: all.Int("seed"),
	}
	return c, c.check()
}

func (c *Config) check() error {
	for name, rate := range map[string]float64{"error_rate": c.ErrorRate, "stall_rate": c.StallRate, "drop_rate": c.DropRate} {
		if rate < 0 || rate > 1 {
			return fmt.Errorf("%s is %v: a share is from 0 to 1", name, rate)
		}
	}
	switch {
	case c.PrefillTokensPerS <= 0:
		return fmt.Errorf("prefill_tokens_per_s must be above 0")
	case c.MaxNumSeqs < 1 || c.TokensPerEvent < 1 || c.KVTokens < 1 || c.MaxModelLen < 1:
		return fmt.Errorf("max_num_seqs, tokens_per_event, kv_tokens and max_model_len must be at least 1")
	case c.Jitter < 0 || c.WarmupSlowdown <= 0:
		return fmt.Errorf("jitter must be at least 0 and warmup_slowdown above 0")
	}
	return nil
}

// Args are the flags of `sparkrun sim` that options come to, in a fixed order.
func Args(v schema.Values) []string {
	var args []string
	for _, o := range Options() {
		x, ok := v[o.Name]
		if !ok {
			continue
		}
		flag := "--" + strings.ReplaceAll(o.Name, "_", "-")
		args = append(args, fmt.Sprintf("%s=%v", flag, x))
	}
	return args
}
