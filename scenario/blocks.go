package scenario

import (
	"fmt"
	"time"

	"github.com/agext/levenshtein"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// BlockType is a line of the language reference: a block and its attributes.
type BlockType struct {
	Name  string
	Doc   string
	Label bool
	Attrs []schema.Attr
	// Free says that there are attributes beyond Attrs: any name (locals, matrix), or
	// those of the block's kind.
	Free   string
	Blocks []BlockType // inside it
}

func (t BlockType) example() string {
	if t.Label {
		return fmt.Sprintf("%s \"name\" { … }", t.Name)
	}
	return t.Name + " { … }"
}

// Blocks are the blocks of the language.
func Blocks() []BlockType { return topBlocks }

// NodeAttrs are the attributes of a node block.
func NodeAttrs() []schema.Attr { return blockType(topBlocks, "node").Attrs }

const none = "none"

func attr(name string, t schema.Type, def any, doc string) schema.Attr {
	return schema.Attr{Name: name, Type: t, Default: def, Binding: schema.Cell, Doc: doc}
}

// bare is an attribute without a default value; doc says what its absence means.
func bare(name string, t schema.Type, absent, doc string) schema.Attr {
	return schema.Attr{Name: name, Type: t, DefaultDoc: absent, Binding: schema.Cell, Doc: doc}
}

func atLoad(a schema.Attr) schema.Attr { a.Binding = schema.Load; return a }

func oneOf(a schema.Attr, values ...string) schema.Attr { a.Values = values; return a }

func must(a schema.Attr) schema.Attr { a.Required = true; return a }

var phaseAttrs = []schema.Attr{
	bare("duration", schema.Duration, "no limit", "Stop after so long."),
	bare("requests", schema.Int, "no limit", "Stop after so many requests."),
	bare("conversations", schema.Int, "no limit", "Begin no more than so many conversations."),
	attr("min_requests", schema.Int, int64(0), "Go on past duration until so many have ended."),
	bare("max_duration", schema.Duration, "no limit", "Hard end, also of min_requests."),
	bare("concurrency", schema.Level, "none; this or rate", "Closed loop: requests in flight."),
	bare("rate", schema.Level, "none; this or concurrency", "Open loop: arrivals a second."),
	oneOf(bare("arrival", schema.String, "poisson", "How arrivals of an open loop are spaced: gamma takes burstiness."), "poisson", "constant", "gamma"),
	bare("burstiness", schema.Float, "1, which is Poisson", "Shape of gamma arrivals: below 1 they come in bursts, above 1 more evenly."),
	bare("replay", schema.Bool, "false", "Open loop at the times that the dataset, a trace, was recorded with."),
	bare("speed", schema.Float, "1", "Speed of the replay: 2 sends in half the time."),
	bare("max_concurrency", schema.Int, "no limit", "Open loop: what arrives while so many are in flight is recorded as unsent."),
	oneOf(bare("rate_of", schema.String, "requests", "What arrives in an open loop."), "requests", "conversations"),
	bare("think_time", schema.TimeDist, "0", "Pause of a slot before it sends again."),
	bare("drain", schema.Duration, "30s, after the last phase only", "How long requests may finish when the phase is over."),
	bare("measure", schema.Bool, "false for warmup, ramp and cooldown, else true", "Whether results are made of it."),
	bare("until_stable", schema.Bool, "false", "End when the requests take as long as those before them: medians of TPOT within 5 % and of TTFT within 10 %, over 10 or concurrency requests each. The other limits still hold."),
	bare("first_turn_only", schema.Bool, "false", "Send the first turn of conversations only; later phases go on with them, in the order in which those turns ended."),
	bare("early_stop", schema.Bool, "false", "End as soon as a conversation ends and there is none to take its place, as vLLM's multi-turn benchmark does; conversations under way are dropped."),
}

var conversationsAttrs = []schema.Attr{
	bare("active", schema.Int, "as many as requests in flight", "Conversations open at a time; a slot takes the next turn of any of them."),
	oneOf(attr("sampling", schema.String, schema.Plain("round_robin"), "Which open conversation goes on."), "round_robin", "random"),
	bare("max_turns", schema.Int, "all", "User turns of a conversation that are played."),
	oneOf(attr("answers", schema.String, schema.Plain("actual"), "Whose answers the history has: the model's own, or the dataset's."), "actual", "dataset"),
	oneOf(bare("start", schema.String, "staggered where a measured phase has a duration, else first_turn", "Where the first conversations begin: all at their first turn, or each at a random one with the dataset's answers before it, as in the midst of a long run."), "staggered", "first_turn"),
	attr("keep_reasoning", schema.Bool, false, "Keep the reasoning of the model's answers in the history, as reasoning_content."),
	attr("verify", schema.Bool, false, "Compare every answer with the dataset's: answer_matches in the rows, mark answers_differ."),
}

var requestAttrs = []schema.Attr{
	attr("timeout", schema.Duration, 10*time.Minute, "Longest time of a request."),
	bare("idle_timeout", schema.Duration, "no limit", "Longest time without a byte."),
	attr("retries", schema.Int, int64(0), "Sends after a failed one, a second after it, then two, four …; latencies are those of the last."),
	attr("spare_connections", schema.Bool, true, "Connections are opened ahead of their requests, so that none waits for one. false: each with its request; for servers that end when a connection closes without one (dllama-api)."),
	bare("temperature", schema.Float, "the server's", "Sampling temperature."),
	bare("seed", schema.Int, "the server's", "Sampling seed."),
	bare("stop", schema.StringList, none, "Stop strings."),
	oneOf(bare("output", schema.String, "forced; natural for a server with url", "forced: answers have exactly the dataset's length. natural: they end by themselves, and that is the limit. dataset: only the limits that its rows set count (max_tokens, min_tokens)."), "forced", "natural", "dataset"),
	bare("min_tokens", schema.Int, none, "Least length that is asked for."),
	bare("max_tokens", schema.Int, none, "Most length that is asked for."),
	oneOf(attr("max_tokens_field", schema.String, schema.Plain("max_tokens"), "Name of the length limit in requests."), "max_tokens", "max_completion_tokens"),
	bare("headers", schema.StringMap, none, "Headers of every request."),
	bare("body", schema.Object, none, "Fields of every request, merged over sparkrun's; null removes one."),
}

var recordAttrs = []schema.Attr{
	attr("events", schema.Bool, true, "Keep the arrival of every stream event."),
	attr("content", schema.Bool, false, "Keep the answers."),
}

var telemetryAttrs = []schema.Attr{
	attr("enabled", schema.Bool, true, "Sample the server's nodes and the server while a cell is measured."),
	attr("interval", schema.Duration, time.Second, "Time between samples, at least 100ms."),
	attr("sources", schema.StringList, []schema.Text{schema.Plain(plan.SourceGPU), schema.Plain(plan.SourceNode), schema.Plain(plan.SourceServer)}, "What is sampled. gpu: nvidia-smi on the server's nodes. node: their processors and memory. server: the engine's /metrics, whose counters are also held against what was sent and came."),
}

var abortAttrs = []schema.Attr{
	attr("error_rate", schema.Float, 0.5, "End the cell where a greater share of the last requests failed."),
	attr("of_last", schema.Int, int64(50), "How many requests are the last."),
}

var searchAttrs = []schema.Attr{
	must(oneOf(bare("vary", schema.String, none, "What goes up and down: phases use it as search.value."), "rate", "concurrency")),
	must(bare("between", schema.Object, none, "Lowest and highest value, as in [1, 64].")),
	must(bare("goal", schema.Object, none, "What must hold: slo.NAME with attain, or a condition over result.*, of the last measured phase.")),
	attr("attain", schema.Float, 0.95, "Share of the scheduled requests that must meet the slo."),
	attr("precision", schema.Float, 0.05, "How near the found value comes to the highest that meets the goal, as a share of it."),
	attr("max_steps", schema.Int, int64(30), "Measurements at most, confirmations included."),
	attr("confirm", schema.Int, int64(2), "Times the found value is measured again; it stands if the goal is met more often than not."),
}

var skipAboveAttrs = []schema.Attr{
	must(bare("axis", schema.String, none, "Axis whose cells are measured from its lowest value up.")),
	must(bare("when", schema.Bool, none, "Condition over result.*: where a cell meets it, those with a greater value of the axis are skipped.")),
}

var metricAttrs = []schema.Attr{
	must(bare("value", schema.String, none, "Expression over request.*, one value a request.")),
	attr("unit", schema.String, schema.Plain("1"), "Unit of the value."),
}

var sloAttrs = []schema.Attr{must(bare("condition", schema.String, none, "Condition over request.*, met or not by each request."))}

var serverAttrs = []schema.Attr{
	bare("framework", schema.String, "the label", "The inference server: openai, sim, vllm, sglang, trtllm, llamacpp, ollama or command."),
	bare("nodes", schema.Object, "node.local", "Nodes it runs on, a rank on each, as in [node.spark1, node.spark2], or node.lab for those of a hostfile. Of a server with a url: where it runs, for telemetry."),
	bare("model", schema.String, "the one that is served", "Model id."),
	bare("url", schema.String, "sparkrun starts the server", "Attach to a running server, with or without /v1."),
	bare("port", schema.Int, "a free one", "Port to listen on."),
	bare("api_key", schema.String, none, "Sent as a bearer token."),
	bare("headers", schema.StringMap, none, "Headers of every request."),
	bare("options", schema.Object, none, "The engine's own flags."),
}

// engineAttrs are those of servers that sparkrun starts, other than the simulator.
var engineAttrs = []schema.Attr{
	bare("image", schema.String, none, "Container image."),
	bare("revision", schema.String, none, "Revision of the model."),
	bare("served_name", schema.String, "model", "Name that the server gives the model."),
	bare("tokenizer", schema.String, "the model's", "Tokenizer."),
	bare("launcher", schema.String, "the framework's", "How ranks on several nodes are started: mp or ray for vllm."),
	bare("parallel", schema.Object, "1 each", "tensor, pipeline, expert, data."),
	bare("replicas", schema.Int, "1", "Copies of the server, each on its own share of the nodes; requests are spread among them."),
	oneOf(bare("balance", schema.String, "least_busy", "How requests are spread among replicas. least_busy: a conversation goes to the replica with the fewest requests in flight and stays there, where its prefix is cached. round_robin: each request goes to the next replica, as a proxy without affinity has it. Each worker of a generator goes by its own requests."), "least_busy", "round_robin"),
	bare("memory_fraction", schema.Float, "the engine's", "Share of the memory that it takes."),
	bare("max_model_len", schema.Int, "the model's", "Longest context."),
	bare("max_num_seqs", schema.Int, "the engine's", "Sequences in a batch."),
	bare("max_batched_tokens", schema.Int, "the engine's", "Tokens in a step."),
	bare("kv_cache_dtype", schema.String, "the engine's", "Type of the KV cache."),
	bare("quantization", schema.String, "the model's", "Quantization."),
	bare("prefix_caching", schema.Bool, "the engine's", "Whether a known prefix is reused."),
	bare("args", schema.StringList, none, "Arguments passed as they are."),
	bare("config", schema.Object, none, "The engine's configuration file."),
	bare("env", schema.StringMap, none, "Environment. null leaves a name out, as in try(env(\"HF_TOKEN\"), null); \"\" sets it, to nothing."),
	bare("mounts", schema.StringList, none, "Folders mounted into the container."),
	bare("setup", schema.StringList, none, "Commands before the start."),
}

var readyAttrs = []schema.Attr{
	attr("deadline", schema.Duration, time.Hour, "Longest time from its start to its first token."),
	attr("stall", schema.Duration, 10*time.Minute, "Longest time in which it says nothing new and the memory does not move."),
}

var stopAttrs = []schema.Attr{attr("grace", schema.Duration, 30*time.Second, "Time between asking it to end and killing it.")}

var containerAttrs = []schema.Attr{
	bare("shm_size", schema.String, "the node's /dev/shm", "Size of a /dev/shm of its own, as in \"32g\"; the container then has its own IPC too."),
	bare("memory", schema.String, "the node's", "Limit of its memory, as in \"64g\"; what the GPU driver allocates does not count."),
	attr("privileged", schema.Bool, false, "Whether it may do everything."),
	bare("devices", schema.StringList, none, "Devices of the node, as in [\"/dev/infiniband\"]."),
	bare("entrypoint", schema.StringList, "the image's; none for images that run their engine", "Program that runs the command; [] for the command itself."),
}

var serverBlocks = []BlockType{
	{Name: "container", Doc: "How the container of a server with an image is made.", Attrs: containerAttrs},
	{Name: "matrix", Doc: "Axes of its own: a server for each combination of their values, as in server=vllm(max_num_seqs=256). Its other lines may use matrix.AXIS.", Attrs: []schema.Attr{atLoad(bare("exclude", schema.Object, none, "Combinations to leave out: [{…}].")), atLoad(bare("include", schema.Object, none, "Combinations to add or extend, as in GitHub Actions: [{…}]."))}, Free: "AXIS = [values]"},
	{Name: "ready", Doc: "How long the start may take.", Attrs: readyAttrs},
	{Name: "stop", Doc: "How it is stopped.", Attrs: stopAttrs},
}

var topBlocks = []BlockType{
	{Name: "variable", Label: true, Doc: "An input, set with --var, --var-file or SPARKRUN_VAR_name.", Attrs: []schema.Attr{
		atLoad(bare("type", schema.String, "any", "Type, as in list(number).")), atLoad(bare("default", schema.Object, "must be set", "Value where nobody sets it.")),
		atLoad(bare("description", schema.String, none, "What it is.")), atLoad(attr("sensitive", schema.Bool, false, "Kept out of everything that is shown or written.")),
	}, Blocks: []BlockType{{Name: "validation", Doc: "A condition the value must meet.", Attrs: []schema.Attr{
		must(atLoad(bare("condition", schema.Bool, none, "Over var.name."))), must(atLoad(bare("error_message", schema.String, none, "Printed where it is not met."))),
	}}}},
	{Name: "locals", Doc: "Named values: local.name.", Free: "any name"},
	{Name: "node", Label: true, Doc: "A machine, or the machines of a hostfile. node.local is this one; a block of that name tells its fabric.", Attrs: []schema.Attr{
		bare("host", schema.String, "must be set, unless hostfile is", "Address, or an alias of ~/.ssh/config."), bare("hostfile", schema.Path, none, "Hostfile of Open MPI: the block is a group then, and its other attributes those of each of its hosts."), bare("port", schema.Int, "the SSH client's", "SSH port."), bare("user", schema.String, "the SSH client's", "SSH user."),
		bare("identity_file", schema.Path, "the SSH client's", "Key."), bare("jump", schema.String, "the SSH client's", "Hosts to go through, as [user@]host[:port],…; \"none\" for none."), bare("fabric_ip", schema.String, "host, where that is an address", "Address for traffic between the ranks of a server."),
		bare("interface", schema.String, "the one with fabric_ip, by `ip addr`", "Network interface of that address; several with commas, as in \"enp1s0f1np1,enP2p1s0f1np1\"."), bare("env", schema.StringMap, none, "Environment of what runs there; a server's own goes before it."), bare("labels", schema.StringMap, none, "Words about it."),
		bare("price_per_hour", schema.Float, none, "What an hour costs, in any currency: cost_per_million_output_tokens follows from it."),
		oneOf(attr("access", schema.String, schema.Plain("direct"), "The way to the ports of its servers: their own address, or through the SSH connection, which is measured along (mark tunnelled); the server then listens to its node alone."), "direct", "ssh_tunnel"),
		attr("drop_caches", schema.Bool, false, "Empty the page cache before each server start, with sudo -n where the user is not root; it is recorded whether that could be done."),
	}},
	{Name: "server", Label: true, Doc: "An inference server.", Attrs: append(append([]schema.Attr{}, serverAttrs...), engineAttrs...), Free: "those of the framework (sparkrun help NAME)", Blocks: serverBlocks},
	{Name: "dataset", Label: true, Doc: "What is sent.", Attrs: []schema.Attr{bare("type", schema.String, "the label", "Its type; sparkrun dataset --help lists them.")}, Free: "those of the type (sparkrun help NAME)"},
	{Name: "phase", Label: true, Doc: "A stretch of load with its stop rules.", Attrs: phaseAttrs},
	{Name: "benchmark", Label: true, Doc: "Which cells are measured.", Attrs: []schema.Attr{
		must(bare("server", schema.Object, none, "server.NAME, or matrix.server.")), must(bare("dataset", schema.Object, none, "dataset.NAME.")),
		bare("phases", schema.Object, "the phase blocks inside", "Top-level phases, as in [phase.warmup, phase.steady]."),
		oneOf(attr("api", schema.String, schema.Plain("chat"), "Endpoint."), "chat", "completions"), attr("stream", schema.Bool, true, "Streamed answers."),
		oneOf(attr("cache", schema.String, schema.Plain(plan.CacheCold), "State of the server's prefix cache as a cell begins, checked by the engine's hit counters (mark cache_state). cold: emptied by the engine's reset call, else prompts begin with a salt, else the server is started anew. primed: the first turn of each conversation is sent once before. as_is: nothing is done."), plan.CacheCold, plan.CachePrimed, plan.CacheAsIs),
		atLoad(attr("repeat", schema.Int, int64(1), "Times each cell is measured.")), atLoad(oneOf(attr("order", schema.String, schema.Plain("grouped"), "Order of the cells."), "grouped", "interleaved", "file")),
		atLoad(oneOf(attr("restart", schema.String, schema.Plain("never"), "When a launched server is started anew: never between cells, before each cell, or before each repeat (whose cells then follow each other)."), "never", "cell", "repeat")),
		atLoad(attr("seed", schema.Int, int64(1), "Seed of the order and of what is sent.")),
	}, Blocks: []BlockType{
		{Name: "matrix", Doc: "Axes: a cell for each combination of their values.", Attrs: []schema.Attr{atLoad(bare("exclude", schema.Object, none, "Combinations to leave out: [{…}].")), atLoad(bare("include", schema.Object, none, "Combinations to add or extend, as in GitHub Actions: [{…}]."))}, Free: "AXIS = [values]"},
		{Name: "phase", Label: true, Doc: "A phase of this benchmark alone.", Attrs: phaseAttrs},
		{Name: "conversations", Doc: "How dialogues of several turns go on.", Attrs: conversationsAttrs},
		{Name: "request", Doc: "What every request has.", Attrs: requestAttrs},
		{Name: "record", Doc: "What is kept of each request.", Attrs: recordAttrs},
		{Name: "telemetry", Doc: "What nodes and servers say of themselves meanwhile.", Attrs: telemetryAttrs},
		{Name: "abort", Doc: "When a cell is given up.", Attrs: abortAttrs},
		{Name: "skip_above", Doc: "Leaves out what lies above a cell whose results are bad enough.", Attrs: skipAboveAttrs},
		{Name: "search", Label: true, Doc: "Looks for the highest rate or concurrency that meets a goal.", Attrs: searchAttrs},
		{Name: "metric", Label: true, Doc: "A number of your own, per request.", Attrs: metricAttrs},
		{Name: "slo", Label: true, Doc: "A condition that requests should meet; goodput counts them.", Attrs: sloAttrs},
	}},
	{Name: "generator", Doc: "Where the load comes from, if not from the one process that runs the benchmark: other processes (workers), on this machine or on others.", Attrs: generatorAttrs},
	{Name: "metric", Label: true, Doc: "A number of your own, for all benchmarks.", Attrs: metricAttrs},
	{Name: "slo", Label: true, Doc: "A condition that requests should meet, for all benchmarks.", Attrs: sloAttrs},
	{Name: "threshold", Label: true, Doc: "A condition on results; exit code 4 where it is not met.", Attrs: []schema.Attr{
		must(bare("condition", schema.Bool, none, "Over result.*, the paths of a cell in summary.json; baseline.*, the same cell of --baseline; peer({ AXIS = value }).*, this cell with that axis changed.")), must(bare("error_message", schema.String, none, "Printed where it is not met.")),
		bare("where", schema.Object, "all cells", "Axis values of the cells that are meant."), bare("phase", schema.String, "the measured one", "Phase that is meant."),
		oneOf(attr("over", schema.String, schema.Plain("median"), "Judge the median of the repeats, or each."), "median", "each"),
	}},
	{Name: "sink", Label: true, Doc: "Where results go.", Attrs: []schema.Attr{bare("type", schema.String, "the label", "console, excel, html, json, jsonl, csv, parquet, sqlite, prometheus, conversations, junit, markdown or llama-benchy.")}, Free: "those of the type (sparkrun help NAME)"},
}

func blockType(in []BlockType, name string) BlockType {
	for _, b := range in {
		if b.Name == name {
			return b
		}
	}
	panic("scenario: no block type " + name)
}

// didYouMean is a sentence that names the nearest of the names, or all if there are few.
func didYouMean(got string, names []string) string {
	best, nearest := 3, ""
	if len(got) <= 3 {
		best = 2
	}
	for _, n := range names {
		d := levenshtein.Distance(got, n, nil)
		if len(n) > len(got) && n[:len(got)] == got {
			d = 1
		}
		if d < best {
			best, nearest = d, n
		}
	}
	switch {
	case nearest != "":
		return fmt.Sprintf(" Did you mean %q?", nearest)
	case len(names) == 0 || len(names) > 30:
		return ""
	}
	return fmt.Sprintf(" There is: %s.", list(names))
}

func list(names []string) string {
	s := ""
	for i, n := range names {
		if i > 0 {
			s += ", "
		}
		s += n
	}
	return s
}
