package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sparkrun/runner/record"
	"sparkrun/targets/wire"
)

// The environment variable that makes this test binary one of the clients.
const asClient = "BENCH_CLIENT"

func TestMain(m *testing.M) {
	spec := os.Getenv(asClient)
	if spec == "" {
		os.Exit(m.Run())
	}
	f := strings.Fields(spec) // kind, port, streams, chunks, file
	if f[0] == "tlsserver" {
		chunks, _ := strconv.Atoi(f[1])
		gap, _ := strconv.Atoi(f[2])
		if err := tlsServer(chunks, time.Duration(gap)*time.Microsecond, f[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	streams, _ := strconv.Atoi(f[2])
	chunks, _ := strconv.Atoi(f[3])
	url := "http://127.0.0.1:" + f[1] + "/v1"
	var n int64
	var err error
	var times func(io.Writer)
	before := 0.0
	switch f[0] {
	case "json":
		before = cpu()
		n, err = stdClient(url, streams)
	default:
		n, before, times, err = ownClient(f[0], url, streams, chunks)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var ru syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	fmt.Printf("%d %.0f %d %.3f\n", n, cpu()-before, ru.Maxrss, mem.GCCPUFraction)
	if len(f) > 4 && times != nil {
		out, err := os.Create(f[4])
		if err != nil {
			panic(err)
		}
		w := bufio.NewWriter(out)
		times(w)
		_ = w.Flush()
		out.Close()
	}
	os.Exit(0)
}

// cpu is this process's own CPU time in µs, user and system.
func cpu() float64 {
	var ru syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return float64(ru.Utime.Nano()+ru.Stime.Nano()) / 1e3
}

var body = []byte(`{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true,"stream_options":{"include_usage":true}}`)

// ownClient is ours: read, stamp, classify, record; "user" hides the socket, "tls" encrypts.
func ownClient(kind, url string, streams, chunks int) (n int64, before float64, times func(io.Writer), err error) {
	clock := record.NewClock()
	o := wire.Options{BaseURL: url, API: "chat", Stream: true, Clock: clock, Connections: streams}
	if kind == "tls" {
		o.BaseURL, o.TLS = strings.Replace(url, "http:", "https:", 1), &tls.Config{InsecureSkipVerify: true}
	}
	if kind == "user" {
		o.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			return struct{ net.Conn }{conn}, err
		}
	}
	c, err := wire.New(o)
	if err != nil {
		return 0, 0, nil, err
	}
	defer c.Close()
	time.Sleep(time.Duration(streams)*200*time.Microsecond + 200*time.Millisecond) // spares are opened
	before = cpu()
	records := make([]record.Record, streams)
	var all sync.WaitGroup
	for i := range records {
		all.Go(func() {
			c.Do(context.Background(), &record.Request{ID: strconv.Itoa(i), Body: body, AskedMax: int32(chunks), IdleTimeout: time.Minute}, &records[i])
		})
		runtime.Gosched() // as the engine does
	}
	all.Wait()
	for i := range records {
		if records[i].Status != record.OK {
			return 0, 0, nil, fmt.Errorf("request %d: %s: %s", i, records[i].Status, records[i].Error)
		}
		n += int64(len(records[i].Events))
	}
	epoch := clock.Epoch.UnixNano()
	return n, before, func(w io.Writer) {
		for i := range records {
			var id [32]byte
			copy(id[:], records[i].ID)
			_, _ = w.Write(id[:])
			at := make([]int64, 0, len(records[i].Events)+1)
			at = append(at, int64(len(records[i].Events)))
			for _, e := range records[i].Events {
				at = append(at, epoch+e.At)
			}
			_ = binary.Write(w, binary.NativeEndian, at)
		}
	}, nil
}

// stdClient is net/http with encoding/json for every chunk.
func stdClient(url string, streams int) (n int64, err error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: streams, DisableCompression: true}}
	var all sync.WaitGroup
	counts := make([]int64, streams)
	errs := make([]error, streams)
	for i := range streams {
		all.Go(func() { counts[i], errs[i] = stdRequest(client, url) })
	}
	all.Wait()
	for i := range counts {
		n += counts[i]
		if errs[i] != nil {
			err = errs[i]
		}
	}
	return n, err
}

func stdRequest(client *http.Client, url string) (n int64, err error) {
	resp, err := client.Post(url+"/chat/completions", "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	var at []time.Time
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		data, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data: "))
		if !ok || string(data) == "[DONE]" {
			continue
		}
		now := time.Now()
		var chunk struct {
			ID      string `json:"id"`
			Object  string `json:"object"`
			Created int64  `json:"created"`
			Model   string `json:"model"`
			Choices []struct {
				Index int `json:"index"`
				Delta struct {
					Role    string `json:"role"`
					Content string `json:"content"`
				} `json:"delta"`
				FinishReason *string `json:"finish_reason"`
			} `json:"choices"`
			Usage *struct {
				CompletionTokens int `json:"completion_tokens"`
			} `json:"usage"`
		}
		if err := json.Unmarshal(data, &chunk); err != nil {
			return n, err
		}
		if len(chunk.Choices) > 0 && chunk.Choices[0].Delta.Content != "" {
			at = append(at, now)
			n++
		}
	}
}
