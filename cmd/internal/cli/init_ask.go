package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sparkrun/runner"
	"sparkrun/scenario"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
	"sparkrun/targets/framework"
)

// asked is a server that init is to ask what it is.
type asked struct {
	url, model string
	keyEnv     string // variable of the environment with its key, if it wants one
}

// found is what it said.
type found struct {
	url, model string
	api        string // "chat" or "completions"
	framework  string
	version    string   // "" where it does not say
	others     []string // models that it lists too
	tokens     int64    // of a prompt and its answer together; 0 where it does not say
	slots      int64    // requests that it works on at once; 0 where it does not say
	keyEnv     string   // where its key is, "" where it wants none
}

// askFor is how long a server has: one that loads a model first takes its time.
const askFor = 2 * time.Minute

// check is about the call alone.
func (a asked) check(s starter) error {
	if a.url == "" {
		if a.model != "" {
			return exit(exitUsage, "--model is a model of a running server: give --url too, or set model in the scenario")
		}
		return nil
	}
	if s.url == "" {
		return exit(exitUsage, "%s starts its servers itself and takes no --url: leave that out, or use another scenario: sparkrun init --url %s", s.name, a.url)
	}
	u, err := url.Parse(a.url)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.RawQuery != "", u.Fragment != "":
		return exit(exitUsage, "--url is %q: write it as http://HOST:PORT, with or without /v1", a.url)
	case u.User != nil:
		return exit(exitUsage, "--url has a name or password, which would stand in the file: leave them out; a key comes from the variable that --api-key-env names")
	}
	return nil
}

// ask asks the server, first without a key, so that none goes where none is wanted.
func (a asked) ask(env *Env) (found, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), askFor, fmt.Errorf("no answer within %s", askFor))
	interrupted, done := make(chan bool, 1), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-env.Signals:
			interrupted <- true
			cancel()
		case <-ctx.Done():
		}
	}()
	ep := targets.Endpoint{URL: scenario.NormalURL(a.url), Model: a.model}
	fmt.Fprintf(env.Stderr, "Asking %s …\n", ep.URL)
	f, err := identify(ctx, ep)
	key, set := env.Lookup(a.keyEnv)
	var refused *targets.Refused
	if set && key != "" && errors.As(err, &refused) && refused.Key {
		ep.Key = schema.Secret(key)
		f, err = identify(ctx, ep)
		f.keyEnv = a.keyEnv
	}
	if err != nil {
		err = exit(exitRun, "%s", runner.Redacted(fmt.Sprintf("ask %s what it serves: %v: %s", ep.URL, err, a.remedy(err, f)), []string{key}))
	}
	cancel()
	<-done
	select {
	case <-interrupted:
		return f, &exitError{code: exitInterrupt}
	default:
		return f, err
	}
}

// remedy is what to do about a server that does not say what it is.
func (a asked) remedy(err error, f found) string {
	var refused *targets.Refused
	is := errors.As(err, &refused)
	switch {
	case is && refused.Key && f.keyEnv != "":
		return "the key in " + f.keyEnv + " is not one that it takes"
	case is && refused.Key:
		return fmt.Sprintf("it wants a key: export %s=…, or name the variable that has it with --api-key-env", a.keyEnv)
	case is && len(f.others) > 0:
		return "name another of its models with --model: " + quoted(f.others)
	case is && f.model != "":
		return "is " + strconv.Quote(f.model) + " a model that it has, and one that generates text? --model names another"
	case is:
		return "is this the address of an OpenAI API? A server that does not list its models wants --model"
	case errors.Is(err, errNoModel):
		return "load one and try again, or name one with --model"
	case errors.As(err, new(*url.Error)):
		return "is it running, does it listen at that address, and is no firewall between?"
	}
	return "try again when it is ready"
}

var errNoModel = errors.New("it lists no model")

// identify asks for the models, for one token, and for what else the engine says of itself.
func identify(ctx context.Context, ep targets.Endpoint) (f found, err error) {
	f.url, f.framework = ep.URL, "openai"
	list, err := framework.Models(ctx, http.DefaultClient, ep)
	var refused *targets.Refused
	switch {
	case errors.As(err, &refused) && !refused.Key && ep.Model != "": // not every server lists
	case err != nil:
		return f, err
	case len(list) == 0 && ep.Model == "":
		return f, errNoModel
	case ep.Model == "":
		ep.Model = list[0].ID
	}
	f.model = ep.Model
	for _, m := range list {
		f.framework = m.Framework() // all have one owner
		if m.ID != f.model {
			f.others = append(f.others, m.ID)
		}
	}
	if f.api, err = framework.Generates(ctx, http.DefaultClient, ep); err != nil {
		return f, err
	}
	fw, _ := framework.ByName(f.framework)
	id := fw.Identify(ctx, http.DefaultClient, ep)
	f.version = id.Version
	f.tokens = firstNumber(id.Says, "max_model_len", "n_ctx")
	f.slots = firstNumber(id.Says, "total_slots", "max_running_requests")
	return f, nil
}

// firstNumber is the first of these that is one.
func firstNumber(says map[string]string, names ...string) int64 {
	for _, name := range names {
		if n, err := strconv.ParseInt(says[name], 10, 64); err == nil && n > 0 {
			return n
		}
	}
	return 0
}

// quoted names models of a server, whatever is in their names.
func quoted(models []string) string {
	const most, longest = 6, 100
	var names []string
	for _, m := range models[:min(most, len(models))] {
		names = append(names, strconv.Quote(m[:min(longest, len(m))]))
	}
	if len(models) > most {
		names = append(names, fmt.Sprintf("%d more", len(models)-most))
	}
	return strings.Join(names, ", ")
}
