package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"sparkrun/runner/journal"
	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
	"sparkrun/targets"
)

// fingerprint is what a server that is ready runs on and with.
func (r *run) fingerprint(ctx context.Context, srv *server) *result.Fingerprint {
	s := srv.plan
	f := &result.Fingerprint{Server: s.Address, Framework: s.Framework, Model: srv.endpoint.Model}
	program := ""
	if srv.proc != nil {
		f.Image, f.ImageDigest = srv.launched.Image, srv.image
		f.Argv = r.running(ctx, srv)
		if f.Image == "" {
			program = srv.launched.Argv[0]
			if srv.launched.Program != "" {
				program = srv.launched.Program
			}
		}
	}
	r.onNode(ctx, s, program, f)
	said := srv.framework.Identify(ctx, probe, srv.endpoint)
	f.EngineVersion, f.Engine = said.Version, said.Says
	f.Sign()
	r.mu.Lock()
	r.info.AddServer(f)
	r.mu.Unlock()
	return f
}

// running is the command line that runs: a container's with its image's entrypoint. The
// run's folder and a port that was just free are not the server's own.
func (r *run) running(ctx context.Context, srv *server) []string {
	argv := srv.launched.Argv
	if c, ok := srv.proc.(interface {
		Argv(context.Context) []string
	}); ok {
		argv = c.Argv(ctx)
	}
	port := regexp.MustCompile(fmt.Sprintf(`\b%d\b`, srv.port))
	var out []string
	for _, arg := range argv {
		arg = strings.ReplaceAll(arg, r.dir, "RUN")
		if srv.plan.Port == 0 {
			arg = port.ReplaceAllString(arg, "PORT")
		}
		out = append(out, arg)
	}
	return out
}

// onNode fills in what the server's node says: of itself, of the program's file and of the
// model's. Of a server at a url nothing is known but where it is this machine.
func (r *run) onNode(ctx context.Context, s *plan.Server, program string, f *result.Fingerprint) {
	name := s.Nodes[0]
	if s.URL != "" {
		if !loopback(s.URL) {
			return
		}
		name = "local"
	}
	node, err := r.Tools.Node(name)
	if err != nil {
		return
	}
	if facts, err := node.Facts(ctx); err == nil {
		f.Hostname, f.OS, f.Arch, f.CPU, f.Kernel, f.BootID = facts.Hostname, facts.OS, facts.Arch, facts.CPU, facts.Kernel, facts.BootID
		f.GPU, f.Driver = facts.GPU, facts.Driver
	}
	if s.URL == "" {
		f.Program, f.ProgramFile, f.Revision = files(ctx, node, s, program)
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
