package generator

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/dist"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

// hello is who a worker is.
type hello struct {
	Protocol int    `json:"protocol"`
	Version  string `json:"version"`
	Token    string `json:"token"`
	Rank     int    `json:"rank"`
	Size     int    `json:"size"`
	Host     string `json:"host"`
	Pid      int    `json:"pid"`
}

// job is a worker's share of a load, with all that it needs to know.
type job struct {
	Share         load.Share         `json:"share"`
	API           string             `json:"api"`
	Stream        bool               `json:"stream"`
	Phases        []plan.Phase       `json:"phases"`
	ThinkTimes    []parameters       `json:"think_times"` // of the phases, whose JSON is for people
	Conversations plan.Conversations `json:"conversations"`
	Request       plan.Request       `json:"request"` // without headers
	KeepAnswers   bool               `json:"keep_answers"`
	Seed          uint64             `json:"seed"`
	First         int64              `json:"first"`
	IDPrefix      string             `json:"id_prefix"`
	Framework     string             `json:"framework"`
	URLs          []string           `json:"urls"` // of the server's replicas
	Balance       string             `json:"balance"`
	Model         string             `json:"model"`
	Key           string             `json:"key"`
	Headers       map[string]string  `json:"headers"`
}

// parameters are a distribution with everything that it is made of.
type parameters dist.Dist

// newJob is the load of a cell, without the part that is a rank's own.
func newJob(cfg *load.Config, t Target) job {
	j := job{
		API: t.Cell.API, Stream: t.Cell.Stream, Phases: cfg.Phases, Conversations: cfg.Conversations, Request: cfg.Request,
		KeepAnswers: cfg.KeepAnswers, Seed: cfg.Seed, First: cfg.First, Framework: t.Framework, Balance: t.Balance,
		Headers: map[string]string{},
	}
	for _, ep := range t.Endpoints {
		j.URLs, j.Model, j.Key = append(j.URLs, ep.URL), ep.Model, ep.Key.Reveal()
		for k, v := range ep.Headers {
			j.Headers[k] = v.Reveal()
		}
	}
	for i := range cfg.Phases {
		j.ThinkTimes = append(j.ThinkTimes, parameters(cfg.Phases[i].ThinkTime))
	}
	for k, v := range cfg.Request.Headers {
		j.Headers[k] = v.Reveal()
	}
	j.Request.Headers = nil
	return j
}

// readJob checks what a worker could not do.
func readJob(b []byte) (*job, error) {
	var j job
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber() // numbers of request bodies go out as they were written
	if err := dec.Decode(&j); err != nil {
		return nil, fmt.Errorf("job: %w", err)
	}
	if len(j.Phases) == 0 || len(j.ThinkTimes) != len(j.Phases) || j.Share.Size < 1 || j.Share.Rank < 0 || j.Share.Rank >= j.Share.Size || j.First < 0 {
		return nil, fmt.Errorf("job: %d phases with %d think times for rank %d of %d", len(j.Phases), len(j.ThinkTimes), j.Share.Rank, j.Share.Size)
	}
	if len(j.URLs) == 0 {
		return nil, errors.New("job: no server")
	}
	for i := range j.Phases {
		p := &j.Phases[i]
		if p.Replay || (p.Rate == nil) == (p.Concurrency == nil) {
			return nil, fmt.Errorf("job: phase %s has no load that a worker can make", p.Name)
		}
		p.ThinkTime = dist.Dist(j.ThinkTimes[i])
	}
	return &j, nil
}

// cell is what the wire client and the dataset want to know of a job.
func (j *job) cell() *plan.Cell {
	c := &plan.Cell{API: j.API, Stream: j.Stream, Seed: j.Seed, Conversations: j.Conversations, Request: j.Request}
	for _, p := range j.Phases {
		if p.Concurrency != nil { // connections for the slots that are ours
			p.Concurrency = &plan.Curve{From: j.slots(p.Concurrency.From), To: j.slots(p.Concurrency.To)}
		}
		c.Phases = append(c.Phases, p)
	}
	return c
}

func (j *job) slots(all float64) float64 { return float64(int(all)/j.Share.Size + 1) }

// endpoint is a replica of the server that a job is for.
func (j *job) endpoint(replica int) targets.Endpoint {
	ep := targets.Endpoint{URL: j.URLs[replica], Model: j.Model, Key: schema.Secret(j.Key), Headers: map[string]schema.Text{}}
	for k, v := range j.Headers {
		ep.Headers[k] = schema.Secret(v)
	}
	return ep
}

// start is when a phase begins, on the worker's clock.
type start struct {
	Phase int   `json:"phase"`
	At    int64 `json:"at"`
}

// end is the phase that is to end.
type end struct {
	Phase int `json:"phase"`
}

// stop ends a job: no more requests, or also none of those under way.
type stop struct {
	Cut bool `json:"cut"`
}

// over is a phase that has nothing more to send, on the worker's clock.
type over struct {
	Phase   int               `json:"phase"`
	Outcome load.PhaseOutcome `json:"outcome"`
}

// live is load.Live at a moment.
type live struct {
	InFlight int64 `json:"in_flight"`
	Sent     int64 `json:"sent"`
	OK       int64 `json:"ok"`
	Failed   int64 `json:"failed"`
	Tokens   int64 `json:"tokens"`
	TTFTSum  int64 `json:"ttft_sum"`
}

// done is what came of a job.
type done struct {
	Outcome load.Outcome `json:"outcome"`
	Error   string       `json:"error"`
}

// want is how many more conversations a worker can take.
type want struct {
	More int `json:"more"`
}

// message makes a frame of one of the messages above.
func message(k kind, m any) frame {
	b, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("generator: message of plain data: %v", err))
	}
	return frame{k, b}
}

// read decodes the message of a frame.
func read[T any](f frame) (m T, err error) {
	if err = json.Unmarshal(f.payload, &m); err != nil {
		err = fmt.Errorf("what came is not the protocol: a message of kind %q: %w", f.kind, err)
	}
	return m, err
}

var errMessage = errors.New("what came is not the protocol: a message is cut short")

// numbers makes a frame of whole numbers: pings and pongs.
func numbers(k kind, n ...int64) frame {
	var b []byte
	for _, x := range n {
		b = binary.LittleEndian.AppendUint64(b, uint64(x))
	}
	return frame{k, b}
}

// readNumbers reads the count numbers that a frame begins with, and the rest.
func readNumbers(f frame, count int) (n []int64, rest []byte, err error) {
	if len(f.payload) < 8*count {
		return nil, nil, errMessage
	}
	for i := range count {
		n = append(n, int64(binary.LittleEndian.Uint64(f.payload[8*i:])))
	}
	return n, f.payload[8*count:], nil
}

// deal is a conversation, or the dataset's end: number -1, with the reason if it is not
// that there are no more.
func deal(number int64, content []byte) frame {
	f := numbers(kindDeal, number)
	f.payload = append(f.payload, content...)
	return f
}

// readRecords reads a block of records of a load with so many phases.
func readRecords(f frame, phases int) ([]record.Record, error) {
	var all []record.Record
	for b := f.payload; len(b) > 0; {
		var rec record.Record
		var err error
		if b, err = rec.Read(b); err != nil {
			return nil, err
		}
		if rec.Phase >= phases {
			return nil, fmt.Errorf("a record is of phase %d, there are %d", rec.Phase, phases)
		}
		all = append(all, rec)
	}
	return all, nil
}
