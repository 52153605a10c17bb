package sinks

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sparkrun/runner/result"
)

func watch(t *testing.T) (*Watch, *result.Run, []*result.Cell) {
	t.Helper()
	l, err := Listen("0")
	if err != nil {
		t.Fatal(err)
	}
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		t.Errorf("a port alone listens on %s", l.Addr())
	}
	run, cells := sample()
	w := NewWatch(l)
	w.patience = 5 * time.Minute // a busy machine may take as long
	if err := w.Begin(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	return w, run, cells
}

func get(t *testing.T, address, host string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// states reads the stream of states as a browser does whose page has the version.
func states(t *testing.T, w *Watch, version string) (next func() (state, bool), leave func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.URL()+"events?version="+version, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	return func() (s state, more bool) {
			for lines.Scan() {
				if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
					if err := json.Unmarshal([]byte(data), &s); err != nil {
						t.Fatal(err)
					}
					return s, true
				}
			}
			return s, false
		}, func() {
			cancel()
			resp.Body.Close()
		}
}

// TestWatch: the page has the cells that have ended, the stream the running one; both say when
// the run is over, and then the port is free and nothing is left.
func TestWatch(t *testing.T) {
	defer goleak.VerifyNone(t)
	defer http.DefaultClient.CloseIdleConnections()
	w, run, cells := watch(t)
	if _, err := Listen(strings.TrimSuffix(strings.TrimPrefix(w.URL(), "http://"), "/")); err == nil || !strings.Contains(err.Error(), "give an address") {
		t.Errorf("a port that is taken: %v", err)
	}
	if status, _ := get(t, w.URL(), "evil.example"); status != http.StatusMisdirectedRequest {
		t.Errorf("under another host's name: %d", status)
	}
	if status, _ := get(t, w.URL()+"other", ""); status != http.StatusNotFound {
		t.Errorf("another path: %d", status)
	}
	w.Live(Live{Cell: cells[0].Plan.Name, Phase: "steady", InFlight: 3, OK: 7, Done: 0.5, RemainingSeconds: 61})
	next, leave := states(t, w, "1")
	s, _ := next()
	if s.Version != 1 || s.Cells != 4 || s.Done != 0 || s.Over || len(s.Running) != 1 || s.Running[0].InFlight != 3 || s.Remaining != 61 {
		t.Errorf("%+v", s)
	}
	for i, c := range cells {
		if err := w.Cell(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for s.Version < i+2 {
			var more bool
			if s, more = next(); !more { // it was told to load the page again
				leave()
				next, leave = states(t, w, strconv.Itoa(i+2))
			}
		}
	}
	leave()
	w.Live(Live{Cell: cells[0].Plan.Name}) // late: its cell has ended
	if s.Done != 4 || len(s.Running) != 0 {
		t.Errorf("%+v", s)
	}
	status, body := get(t, w.URL(), "localhost")
	if status != http.StatusOK || !strings.Contains(body, "LAUNCH_EXITED") || !strings.Contains(body, "const version = 5;") || !strings.Contains(body, "connect-src 'self'") {
		t.Errorf("%d, %d bytes", status, len(body))
	}
	if _, body := get(t, w.URL()+"metrics", ""); metricsOf(t, body)[`sparkrun_cells_done{run="one",scenario="sample"}`] != "4" {
		t.Errorf("%s", body)
	}
	next, leave = states(t, w, "5")
	s, _ = next()
	ended := make(chan error)
	go func() { ended <- w.End(context.Background(), run) }()
	for !s.Over { // the page of the end is another one: the browser loads it and comes back
		s, _ = next()
	}
	leave()
	if _, body := get(t, w.URL(), ""); !strings.Contains(body, "too slow") || !strings.Contains(body, "const version = 6;") {
		t.Error("the last page has no thresholds")
	}
	next, leave = states(t, w, "6")
	if s, _ := next(); !s.Over || s.Version != 6 {
		t.Errorf("%+v", s)
	}
	if _, more := next(); more {
		t.Error("the stream goes on after the end")
	}
	leave()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(w.URL(), "http://"), "/")); err == nil {
		t.Error("it still listens")
	}
	if err := w.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

// TestWatchUnused: a run that does not begin leaves no listener, and nobody is waited for.
func TestWatchUnused(t *testing.T) {
	defer goleak.VerifyNone(t)
	l, err := Listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	if err := NewWatch(l).Close(); err != nil {
		t.Error(err)
	}
	w, run, _ := watch(t)
	if err := w.End(t.Context(), run); err != nil {
		t.Error(err)
	}
}

// TestWatchInABrowser: a real one draws the page, loads the page anew when a cell has
// ended and when the run has, and says nothing on its console.
func TestWatchInABrowser(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed (apt-get install chromium)")
	}
	w, run, cells := watch(t)
	if err := w.Cell(t.Context(), cells[0]); err != nil {
		t.Fatal(err)
	}
	// Between the two stands a proxy that sees what the browser asks for.
	target, err := url.Parse(w.URL())
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 100)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.FlushInterval = -1
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) {} // a browser that leaves
	between := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		asked <- r.URL.RequestURI()
		proxy.ServeHTTP(out, r)
	}))
	defer between.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	start := func(more ...string) (*exec.Cmd, *strings.Builder) {
		args := append([]string{"--headless=new", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + t.TempDir(), "--enable-logging=stderr"}, more...)
		cmd, log := exec.CommandContext(ctx, browser, append(args, between.URL+"/")...), &strings.Builder{}
		cmd.Stderr = log
		return cmd, log
	}
	quiet := func(log *strings.Builder) {
		if m := regexp.MustCompile(`(?m)^.*CONSOLE.*$`).FindString(log.String()); m != "" {
			t.Errorf("the page says: %s", m)
		}
	}
	cmd, log := start("--dump-dom")
	dom, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	quiet(log)
	_, page, _ := strings.Cut(string(dom), `id="page"`)
	page, _, _ = strings.Cut(page, `id="data"`)
	if !strings.Contains(string(dom), `class="live"`) {
		t.Error("the page does not say that it is live")
	}
	if n := strings.Count(page, "<canvas"); n != 11 {
		t.Errorf("%d charts of a cell, want 11", n)
	}
	for len(asked) > 0 {
		<-asked
	}
	cmd, log = start("--remote-debugging-port=0") // which lets it stay
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		quiet(log)
	}()
	wait := func(want string) {
		t.Helper()
		for {
			select {
			case path := <-asked:
				if path == want {
					return
				}
			case <-ctx.Done():
				t.Fatalf("the browser did not ask for %s\n%s", want, log.String())
			}
		}
	}
	wait("/events?version=2")
	if err := w.Cell(t.Context(), cells[1]); err != nil {
		t.Fatal(err)
	}
	wait("/")
	wait("/events?version=3")
	for !w.watched() { // the proxy has yet to pass it on
		time.Sleep(time.Millisecond)
	}
	if err := w.End(t.Context(), run); err != nil {
		t.Error(err)
	}
	wait("/")
	wait("/events?version=4")
	if w.watched() {
		t.Error("the browser has not seen the end")
	}
}
