package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sparkrun/cmd/internal/starter"
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

// askFor is how long a server has: one that loads a model first takes its time.
const askFor = 2 * time.Minute

// check is about the call alone.
func (a asked) check(s starter.Scenario) error {
	if a.url == "" {
		if a.model != "" {
			return exit(exitUsage, "--model is a model of a running server: give --url too, or set model in the scenario")
		}
		return nil
	}
	if s.StartsServers() {
		return exit(exitUsage, "%s starts its servers itself and takes no --url: leave that out, or use another scenario: sparkrun init --url %s", s.Name, a.url)
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
func (a asked) ask(env *Env) (starter.Server, error) {
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
	s, err := identify(ctx, ep)
	key, set := env.Lookup(a.keyEnv)
	var refused *targets.Refused
	if set && key != "" && errors.As(err, &refused) && refused.Key {
		ep.Key = schema.Secret(key)
		s, err = identify(ctx, ep)
		s.KeyEnv = a.keyEnv
	}
	if err != nil {
		err = exit(exitRun, "%s", runner.Redacted(fmt.Sprintf("ask %s what it serves: %v: %s", ep.URL, err, a.remedy(err, s)), []string{key}))
	}
	cancel()
	<-done
	select {
	case <-interrupted:
		return s, &exitError{code: exitInterrupt}
	default:
		return s, err
	}
}

// remedy is what to do about a server that does not say what it is.
func (a asked) remedy(err error, s starter.Server) string {
	var refused *targets.Refused
	is := errors.As(err, &refused)
	switch {
	case is && refused.Key && s.KeyEnv != "":
		return "the key in " + s.KeyEnv + " is not one that it takes"
	case is && refused.Key:
		return fmt.Sprintf("it wants a key: export %s=…, or name the variable that has it with --api-key-env", a.keyEnv)
	case is && len(s.Others) > 0:
		return "name another of its models with --model: " + starter.Quoted(s.Others)
	case is && s.Model != "":
		return "is " + strconv.Quote(s.Model) + " a model that it has, and one that generates text? --model names another"
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
func identify(ctx context.Context, ep targets.Endpoint) (s starter.Server, err error) {
	s.URL, s.Framework = ep.URL, "openai"
	list, err := framework.Models(ctx, http.DefaultClient, ep)
	var refused *targets.Refused
	switch {
	case errors.As(err, &refused) && !refused.Key && ep.Model != "": // not every server lists
	case err != nil:
		return s, err
	case len(list) == 0 && ep.Model == "":
		return s, errNoModel
	case ep.Model == "":
		ep.Model = list[0].ID
	}
	s.Model = ep.Model
	for _, m := range list {
		s.Framework = m.Framework() // all have one owner
		if m.ID != s.Model {
			s.Others = append(s.Others, m.ID)
		}
	}
	if s.API, err = framework.Generates(ctx, http.DefaultClient, ep); err != nil {
		return s, err
	}
	fw, _ := framework.ByName(s.Framework)
	id := fw.Identify(ctx, http.DefaultClient, ep)
	s.Version = id.Version
	s.Tokens = firstNumber(id.Says, "max_model_len", "n_ctx")
	s.Slots = firstNumber(id.Says, "total_slots", "max_running_requests")
	return s, nil
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
