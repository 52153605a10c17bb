package sinks

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"sparkrun/runner/result"
)

//go:embed html/live.js
var liveJS string

// Watch serves the report of a run while it goes on: the page of sink html with the cells that
// have ended, and above it how the running ones are. It ends with the run.
type Watch struct {
	board
	page html
	site *site
	url  string

	mu      sync.Mutex // of what follows
	version int        // of the page: it goes up with every cell
	shown   []byte     // the page of that version, made before the next cell loads
	over    bool       // the run has ended: the last version
	changed chan struct{}

	watching int           // browsers that are told how the run is
	owed     int           // browsers that load the page again and will be back
	left     chan struct{} // a browser has left

	patience time.Duration // for browsers that have yet to see the end
}

// endPatience is how long the end of a run waits for the browsers that are there: one on a busy
// machine takes seconds to load the page again. It is spent only where one does not come back.
const endPatience = 10 * time.Second

// NewWatch serves on a listener, which it closes.
func NewWatch(l net.Listener) *Watch {
	return &Watch{url: "http://" + l.Addr().String() + "/", changed: make(chan struct{}), left: make(chan struct{}, 1), patience: endPatience, site: &site{listener: l}}
}

// URL is where the page is.
func (w *Watch) URL() string { return w.url }

// Begin serves the page of a run without a cell.
func (w *Watch) Begin(_ context.Context, r *result.Run) error {
	w.begin(r)
	w.page.begin(r)
	if err := w.draw(nil, false); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", w.servePage)
	mux.HandleFunc("GET /events", w.serveEvents)
	mux.HandleFunc("GET /metrics", w.metrics)
	w.site.serve(mux)
	return nil
}

// Cell puts a finished cell on the page.
func (w *Watch) Cell(ctx context.Context, c *result.Cell) error {
	w.cell(c)
	if err := w.page.Cell(ctx, c); err != nil {
		return err
	}
	return w.draw(nil, false)
}

// Live shows how a running cell is.
func (w *Watch) Live(l Live) { w.live(l) }

// draw makes the page anew: here, and not when a browser asks, so that nothing costs time
// while a cell is measured. thresholds are known at the end.
func (w *Watch) draw(thresholds []result.ThresholdResult, last bool) error {
	info, entries, _, _, _, _ := w.now()
	w.page.data.results(&info, entries, thresholds)
	w.mu.Lock()
	version := w.version + 1
	w.mu.Unlock()
	var out bytes.Buffer
	if err := w.page.data.write(&out, "const version = "+strconv.Itoa(version)+";\n"+liveJS); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.version, w.shown, w.over = version, out.Bytes(), last
	close(w.changed)
	w.changed = make(chan struct{})
	return nil
}

func (w *Watch) servePage(out http.ResponseWriter, _ *http.Request) {
	w.mu.Lock()
	page := w.shown
	w.mu.Unlock()
	out.Header().Set("Content-Type", "text/html; charset=utf-8")
	out.Header().Set("Cache-Control", "no-store")
	_, _ = out.Write(page)
}

// state is an event of the stream: how the run is.
type state struct {
	Version   int     `json:"version"` // of the page
	Over      bool    `json:"over"`
	Done      int     `json:"done"` // cells
	Cells     int     `json:"cells"`
	Remaining float64 `json:"remaining_s"` // -1 unknown
	Running   []Live  `json:"running"`
}

// stateEvery is how often browsers hear how the running cells are.
const stateEvery = 500 * time.Millisecond

// serveEvents is a stream of states (server-sent events). A browser whose page is of another
// version loads it again and comes back.
func (w *Watch) serveEvents(out http.ResponseWriter, r *http.Request) {
	out.Header().Set("Content-Type", "text/event-stream")
	out.Header().Set("Cache-Control", "no-store")
	has, _ := strconv.Atoi(r.URL.Query().Get("version"))
	w.count(1, func() { w.owed = max(0, w.owed-1) })
	defer w.count(-1, nil)
	tick := time.NewTicker(stateEvery)
	defer tick.Stop()
	for {
		s, changed := w.state()
		b, err := json.Marshal(s)
		if err == nil {
			_, err = fmt.Fprintf(out, "data: %s\n\n", b)
		}
		if err == nil {
			err = http.NewResponseController(out).Flush()
		}
		if err != nil {
			return
		}
		if s.Version != has {
			w.count(0, func() { w.owed++ })
			return
		}
		if s.Over {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		case <-tick.C:
		}
	}
}

// count counts a browser that has come or left.
func (w *Watch) count(more int, and func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watching += more
	if and != nil {
		and()
	}
	select {
	case w.left <- struct{}{}:
	default:
	}
}

func (w *Watch) state() (state, chan struct{}) {
	_, _, running, done, total, remaining := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if running == nil {
		running = []Live{}
	}
	return state{w.version, w.over, done, total, remaining, running}, w.changed
}

// End shows the run's end to the browsers that are there, and closes.
func (w *Watch) End(ctx context.Context, r *result.Run) error {
	w.board.mu.Lock()
	w.info, w.entries, w.running = r, r.Entries, nil
	w.board.mu.Unlock()
	if err := w.draw(r.Thresholds, true); err != nil {
		return err
	}
	for late := time.After(w.patience); w.watched(); {
		select {
		case <-w.left:
			continue
		case <-late:
		case <-ctx.Done():
		}
		break
	}
	return w.site.close()
}

// watched reports whether a browser has yet to see the end.
func (w *Watch) watched() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.watching+w.owed > 0
}

// Close closes what a run that did not begin has left open.
func (w *Watch) Close() error { return w.site.close() }

// Path is none: nothing is written.
func (w *Watch) Path() string { return "" }
