package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sparkrun/runner/journal"
	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
	"sparkrun/targets"
)

// fingerprint is what a server that is ready runs on and with.
func (r *run) fingerprint(ctx context.Context, srv *server) *result.Fingerprint {
	s := srv.plan
	f := &result.Fingerprint{Server: s.Address, Framework: s.Framework, Model: srv.endpoints[0].Model}
	program := ""
	if srv.launched() {
		head := srv.ranks[0]
		f.Image, f.ImageDigest = head.launch.Image, head.image
		for _, k := range srv.ranks {
			f.Argv = append(f.Argv, r.argv(ctx, srv.plan, k)...)
		}
		if f.Image == "" {
			program = head.launch.Argv[0]
			if head.launch.Program != "" {
				program = head.launch.Program
			}
		}
	}
	r.onNode(ctx, s, program, f)
	said := srv.framework.Identify(ctx, probe, srv.endpoints[0])
	f.EngineVersion, f.Engine = said.Version, said.Says
	f.Sign()
	r.mu.Lock()
	r.info.AddServer(f)
	r.mu.Unlock()
	return f
}

// argv is the command line that runs, of a server of several programs with its place
// before it: a container's with its image's entrypoint. The run's folder and ports that
// were just free are not the server's own.
func (r *run) argv(ctx context.Context, s *plan.Server, k *rank) []string {
	argv := k.launch.Argv
	if c, ok := k.proc.(interface {
		Argv(context.Context) []string
	}); ok {
		argv = c.Argv(ctx)
	}
	ports := map[string]string{}
	if s.Port == 0 && k.port != 0 {
		ports[strconv.Itoa(k.port)] = "PORT"
	}
	if k.fabricPort != 0 {
		for i := range len(s.Group(k.replica)) {
			ports[strconv.Itoa(k.fabricPort+i)] = fmt.Sprintf("FABRIC_PORT+%d", i)
		}
	}
	var out []string
	if k.place != "" {
		out = append(out, "#"+k.place)
	}
	for _, arg := range argv {
		arg = strings.ReplaceAll(arg, r.dir, "RUN")
		if k.dir != "" { // its folder on another node
			arg = strings.ReplaceAll(arg, k.dir, "RUN/servers/"+fileName(k.name))
		}
		out = append(out, number.ReplaceAllStringFunc(arg, func(n string) string {
			if name := ports[n]; name != "" {
				return name
			}
			return n
		}))
	}
	return out
}

// number is a whole number in an argument.
var number = regexp.MustCompile(`\b\d+\b`)

// onNode fills in what the server's node says: of itself, of the program's file and of the
// model's. Of a server at a url nothing is known but where it is this machine.
func (r *run) onNode(ctx context.Context, s *plan.Server, program string, f *result.Fingerprint) {
	names := distinct(s.Nodes)
	if s.URL != "" {
		if !loopback(s.URL) {
			return
		}
		names = []string{"local"}
	}
	for _, name := range names {
		node, err := r.Tools.Node(name)
		if err != nil {
			continue
		}
		if facts, err := node.Facts(ctx); err == nil {
			for _, of := range []struct {
				all  *string
				this string
			}{
				{&f.Hostname, facts.Hostname}, {&f.OS, facts.OS}, {&f.Arch, facts.Arch}, {&f.CPU, facts.CPU}, {&f.Kernel, facts.Kernel},
				{&f.BootID, facts.BootID}, {&f.GPU, facts.GPU}, {&f.Driver, facts.Driver},
			} {
				with(of.all, of.this)
			}
		}
		if s.URL == "" {
			path, file, revision := files(ctx, node, s, program)
			with(&f.Program, path)
			with(&f.ProgramFile, file)
			with(&f.Revision, revision)
		}
	}
}

// distinct are the names without repetition, in their order.
func distinct(names []string) []string {
	var out []string
	for _, n := range names {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// with adds what another node says, where it is not what those before it said.
func with(all *string, this string) {
	switch {
	case this == "" || slices.Contains(strings.Split(*all, ", "), this):
	case *all == "":
		*all = this
	default:
		*all += ", " + this
	}
}

func loopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || (err == nil && ip.IsLoopback())
}

// filesScript prints three lines: the path of program $1, its size and time, and of model $2
// the commit that the cache of Hugging Face has for revision $4 (in folder $3), or a file's
// size and time.
const filesScript = `p=; [ -n "$1" ] && p=$(command -v -- "$1") && p=$(readlink -f -- "$p")
echo "$p"
if [ -n "$p" ]; then stat -Lc '%s bytes, modified %Y' -- "$p" || echo; else echo; fi
ref="${HF_HUB_CACHE:-${HF_HOME:-$HOME/.cache/huggingface}/hub}/$3/refs/$4"
if [ -n "$3" ] && [ -f "$ref" ]; then cat -- "$ref"
elif [ -f "$2" ]; then stat -Lc '%s bytes, modified %Y' -- "$2"
fi`

// files asks a node about the files of a server's program and model.
func files(ctx context.Context, node targets.Node, s *plan.Server, program string) (path, file, revision string) {
	folder := ""
	if s.Model != "" && !strings.HasPrefix(s.Model, "/") && !strings.HasPrefix(s.Model, ".") && strings.Count(s.Model, "/") == 1 {
		folder = "models--" + strings.ReplaceAll(s.Model, "/", "--")
	}
	wanted := s.Values.String("revision")
	ref := wanted
	if ref == "" {
		ref = "main"
	}
	out, err := node.Run(ctx, targets.Cmd{Argv: []string{"sh", "-c", filesScript, "sparkrun-files", program, s.Model, folder, ref}})
	lines := strings.Split(string(out.Stdout), "\n")
	if err != nil || len(lines) < 3 {
		return "", "", wanted
	}
	if revision = strings.TrimSpace(lines[2]); revision == "" {
		revision = wanted
	}
	return strings.TrimSpace(lines[0]), strings.TrimSpace(lines[1]), revision
}

// measuredOn is what a finished cell was measured on; nil where its line does not say.
func measuredOn(line journal.Line) *result.Fingerprint {
	var f result.Fingerprint
	if line.Server == nil || json.Unmarshal(line.Server, &f) != nil || f.ID == "" {
		return nil
	}
	return &f
}

// moved says what is no more as it was when a cell was measured, as far as can be told
// without starting its server: the image under the same name, the program's and the model's
// files, the machine, and of a server at a url what it says.
func (r *run) moved(c *plan.Cell, line journal.Line) string {
	before := measuredOn(line)
	if before == nil {
		return ""
	}
	ctx, s := r.Control.soft, r.server(c.Server)
	now := &result.Fingerprint{Server: before.Server}
	r.onNode(ctx, s, before.Program, now)
	if before.Image != "" {
		if engine, err := r.Tools.Containers(s.Nodes[0]); err == nil {
			now.ImageDigest, _ = engine.Digest(ctx, before.Image)
		}
	}
	if fw, ok := r.Tools.Framework(s.Framework); ok && s.URL != "" {
		said := fw.Identify(ctx, probe, targets.Endpoint{URL: s.URL, Model: before.Model, Key: s.APIKey, Headers: s.Headers})
		now.EngineVersion, now.Engine = said.Version, said.Says
	}
	return strings.Join(before.Changed(now), "; ")
}
