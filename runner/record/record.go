package record

import "time"

// Clock is the run's time: nanoseconds on the monotonic clock since the run's epoch.
// Every *At and *_ns in a Record is on it.
type Clock struct{ Epoch time.Time }

// NewClock starts a clock now. Its first reading is small but never 0, so that 0 can
// mean "did not happen".
func NewClock() Clock { return Clock{Epoch: time.Now().Add(-time.Microsecond)} }

// Now reads the clock.
func (c Clock) Now() int64 { return int64(time.Since(c.Epoch)) }

// Request is one request about to be sent. The engine owns it and reuses it.
type Request struct {
	ID             string // the X-Request-Id header
	Phase          int    // index of the phase it is sent in
	Worker         int32
	Conversation   int64 // index of the conversation in the source
	ConversationID string
	DatasetRow     int64 // -1: synthetic
	Turn           int32 // user turns from 0
	HistoryTokens  int32 // tokens of all earlier messages, -1 unknown
	AskedMin       int32 // -1: not asked
	AskedMax       int32 // -1: not asked
	Body           []byte
	System, Prompt string // the texts that are new in this turn
	Expected       string // what the answer should be; "": nobody asks
	LastTurn       bool   // the conversation ends with it
	KeepAnswer     bool   // Record.Answer must be filled

	Scheduled   int64 // Clock time at which the load model wants it to leave
	Timeout     time.Duration
	IdleTimeout time.Duration
}

// Answer is the text of a response, kept only where somebody needs it.
type Answer struct {
	Content   string
	Reasoning string
	ToolCalls string // JSON, "" if none
}

// Event is one token-bearing stream event.
type Event struct {
	At int64 // Clock time of its arrival
}

// Record is the outcome of one request. Times are Clock nanoseconds, 0 is "did not
// happen"; counts are -1 where unknown.
type Record struct {
	ID             string
	Phase          int
	SearchStep     int     // of a search, from 0
	SearchValue    float64 // the value that it tried, 0: no search
	Rank           int32   // of the generator's workers that sent it
	Worker         int32
	Conversation   int64
	ConversationID string
	DatasetRow     int64
	Turn           int32
	LastTurn       bool
	HistoryTokens  int32
	AskedMin       int32
	AskedMax       int32

	Scheduled  int64
	Sent       int64
	FirstEvent int64 // any event, a role chunk counts (TTFR)
	FirstToken int64 // TTFT
	FirstOut   int64 // first non-reasoning output (TTFO)
	LastToken  int64 // latency ends here
	LastBare   int64 // last event of a choice without a token: the finish reason's, mostly
	StreamEnd  int64 // last byte of the response
	Connect    int64 // duration of connection set-up; 0 where the connection had served a request before
	RoundTrip  int64 // of the connection as it was opened, by the kernel; 0 unknown
	Reconnects int32
	Replica    int32 // of a server with several, from 1, that it was sent to; 0: there is one
	Retries    int32 // sends that failed before this one

	InputTokens      int32
	OutputTokens     int32
	CachedTokens     int32
	ReasoningTokens  int32
	FirstEventTokens int32 // tokens in the first token event: 1 unless the server says more
	FirstOutTokens   int32 // the same of the first event that is not reasoning
	ReasoningEvents  int32 // token events that were reasoning alone
	BareEvents       int32 // events of a choice without a token: of the role, of the finish reason
	TokenSource      TokenSource
	Stamp            Stamp
	FinishReason     string

	Status Status
	Error  string // one sentence; "" where ok

	Events []Event // token events in order; owned by the record once Do has returned

	// Kept only where somebody needs them.
	System, Prompt string // the texts that were new in this turn
	Answer         Answer
	Matches        Match // the answer against the dataset's
}

// Match says whether an answer is the expected one.
type Match int8

// The matches.
const (
	NotCompared Match = iota
	Same
	Differs
)

// Start fills a record's identity from its request, as a Doer does first.
func (rec *Record) Start(r *Request) {
	*rec = Record{
		ID: r.ID, Phase: r.Phase, Worker: r.Worker,
		Conversation: r.Conversation, ConversationID: r.ConversationID, DatasetRow: r.DatasetRow,
		Turn: r.Turn, LastTurn: r.LastTurn, HistoryTokens: r.HistoryTokens, AskedMin: r.AskedMin, AskedMax: r.AskedMax,
		Scheduled:   r.Scheduled,
		InputTokens: -1, OutputTokens: -1, CachedTokens: -1, ReasoningTokens: -1, FirstEventTokens: -1, FirstOutTokens: -1,
	}
}

// Status is how a request ended. Values from 100 are the HTTP status that ended it.
type Status uint16

// The statuses of metrics.md, "One request".
const (
	OK Status = iota
	Timeout
	IdleTimeout
	ConnectError
	TLSError
	Reset
	StreamError
	Truncated
	Malformed
	Empty
	Cancelled
	Unsent
	Skipped
)

// TokenSource says where the token counts came from.
type TokenSource uint8

// The sources in order of trust.
const (
	TokensUnknown TokenSource = iota
	TokensUsage
	TokensTokenize
	TokensTokenizer
	TokensEvents
)

// Stamp says who stamped the arrivals.
type Stamp uint8

// Kernel stamps come with the bytes (SO_TIMESTAMPNS); user stamps are one clock reading
// per read.
const (
	StampUser Stamp = iota
	StampKernel
)
