package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// faultserver is an OpenAI-compatible server whose every second streamed request goes
// wrong in the way that -mode names; the others, and what is not streamed, are answered.
// It writes its URL to the file -url and runs until it is killed.
func faultserver() {
	mode := flag.String("mode", "", "how every second streamed request fails")
	urlFile := flag.String("url", os.DevNull, "file that gets the URL")
	life := flag.String("life", "", "what goes wrong with the server as a whole")
	port := flag.Int("port", 0, "port to listen on")
	host := flag.String("host", "127.0.0.1", "address to listen on")
	version := flag.String("version", "", "file with the version that it tells")
	counts := flag.String("counters", "", "what its /metrics shows; none without")
	flag.Parse()
	if *mode == "bind" {
		hold(*urlFile)
	}
	fmt.Println("starting")
	if begin := lives[*life]; begin != nil {
		begin()
	}
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", *host, *port))
	if err != nil {
		panic(err)
	}
	if *life == "fragile" {
		l = fragile{l}
	}
	var streamed atomic.Int64
	mux := http.NewServeMux()
	if b, err := os.ReadFile(*version); err == nil {
		mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"version":%q}`, strings.TrimSpace(string(b)))
		})
	}
	if show := counters[*counts]; show != nil {
		var asked atomic.Int64
		mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			requests, tokens := show(streamed.Load(), asked.Add(1))
			fmt.Fprintf(w, "vllm:request_success_total{finished_reason=\"length\"} %d\nvllm:generation_tokens_total %d\n", requests, tokens)
		})
	}
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, req *http.Request) {
		switch *life {
		case "loading":
			httpError(503, "Loading model")(w, nil)
			fmt.Println(`INFO: 127.0.0.1:4711 - "GET /v1/models HTTP/1.1" 503`)
		case "echo":
			httpError(401, "who is "+req.Header.Get("Authorization")+"?")(w, nil)
		case "wrong_model":
			fmt.Fprint(w, `{"object":"list","data":[{"id":"other","object":"model"}]}`)
		default:
			fmt.Fprint(w, `{"object":"list","data":[{"id":"m","object":"model"}]}`)
		}
	})
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, req *http.Request) {
		var body struct {
			Stream bool `json:"stream"`
		}
		b, _ := io.ReadAll(req.Body)
		if err := json.Unmarshal(b, &body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		switch {
		case !body.Stream:
			fmt.Fprint(w, `{"choices":[{"message":{"role":"assistant","content":"a"},"finish_reason":"length"}],"usage":{"prompt_tokens":5,"completion_tokens":1}}`)
		case *life == "dies" && streamed.Load() >= 5:
			fmt.Println("panic: engine core is dead")
			os.Exit(3)
		case laterLives[*life] != nil && streamed.Load() == 5:
			streamed.Add(1)
			laterLives[*life]()
		case streamed.Add(1)%2 == 0 && *mode != "":
			faults[*mode](w, req)
		default:
			stream(w, streamTokens, true)
		}
	})
	if err := os.WriteFile(*urlFile, []byte("http://"+l.Addr().String()+"/v1"), 0o644); err != nil {
		panic(err)
	}
	panic(http.Serve(l, mux))
}

// streamTokens are those of a streamed answer.
const streamTokens = 3

// counters are what an engine counts, by how many answers it has streamed and how often it
// was asked.
var counters = map[string]func(streamed, asked int64) (requests, tokens int64){
	"true":   func(n, _ int64) (int64, int64) { return n, streamTokens * n },
	"double": func(n, _ int64) (int64, int64) { return n, 2 * streamTokens * n },
	"others": func(n, _ int64) (int64, int64) { return 2 * n, 2 * streamTokens * n },
	"anew":   func(n, _ int64) (int64, int64) { n = n % 50; return n, streamTokens * n },
	// Two servers behind one address.
	"two": func(n, asked int64) (int64, int64) { n += 1000 * (asked % 2); return n, streamTokens * n },
}

// fragile ends the server when a connection closes on which nothing was sent, as
// dllama-api does.
type fragile struct{ net.Listener }

func (l fragile) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &fragileConn{Conn: c}, err
}

type fragileConn struct {
	net.Conn
	said bool
}

func (c *fragileConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.said = c.said || n > 0
	if err == io.EOF && !c.said {
		fmt.Println("panic: a connection was closed that nothing was sent on")
		os.Exit(4)
	}
	return n, err
}

// lives are what a server does before it listens.
var lives = map[string]func(){
	// It never says anything and never listens.
	"silent": func() { time.Sleep(time.Hour) },
	// It says something all the time and never listens.
	"chatty": func() {
		for i := 0; ; i++ {
			fmt.Println("Loading weights, step", i)
			time.Sleep(20 * time.Millisecond)
		}
	},
	// The first rank has no memory, and the others complain about it at length.
	"cuda_oom": func() {
		fmt.Print(`(EngineCore_0 pid=7) ERROR 11-25 12:00:00 [core.py:842] Traceback (most recent call last):
(EngineCore_0 pid=7) ERROR 11-25 12:00:00 [core.py:842]   File "core.py", line 833, in run_engine_core
(EngineCore_0 pid=7) ERROR 11-25 12:00:00 [core.py:842]     engine_core = EngineCoreProc(*args)
(EngineCore_0 pid=7) ERROR 11-25 12:00:00 [core.py:842] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.
Traceback (most recent call last):
  File "api_server.py", line 1, in <module>
RuntimeError: Engine core initialization failed. See root cause above.
[rank1]: torch.distributed.DistBackendError: NCCL error: remote process exited
`)
		os.Exit(1)
	},
	"no_flag": func() {
		fmt.Fprintln(os.Stderr, "usage: vllm serve [options]\nvllm: error: unrecognized arguments: --no-such-flag")
		os.Exit(2)
	},
	// It has a child that left its group and session.
	"child": func() { spawn("silent") },
	// And this child does not end when asked.
	"stubborn_child": func() { spawn("orphan") },
	"orphan": func() {
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP)
		time.Sleep(time.Hour)
	},
	"secret": printSecret,
	// It prints both.
	"tell":   func() { printSecret(); printArguments() },
	"greedy": takeMemory,
	// Its child takes memory once it is asked to, and it does not live on without it.
	"greedy_child": func() {
		greedyChild = spawn("greedy_when_asked")
		go func() {
			_, _ = greedyChild.Process.Wait()
			os.Exit(1)
		}()
	},
	"greedy_when_asked": func() {
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGUSR1)
		<-asked
		takeMemory()
	},
	"args":     printArguments,
	"stubborn": func() { signal.Ignore(syscall.SIGTERM) },
}

var greedyChild *exec.Cmd

// laterLives are what a server does after its fifth streamed answer.
var laterLives = map[string]func(){
	"greedy_later": takeMemory,
	"greedy_child": func() {
		time.Sleep(time.Second) // it has been seen by then
		_ = greedyChild.Process.Signal(syscall.SIGUSR1)
		select {}
	},
	"suicide": func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) },
}

// takeMemory takes memory until it is killed for it.
func takeMemory() {
	var all [][]byte
	for {
		b := make([]byte, 4<<20)
		for i := range b {
			b[i] = 1
		}
		all = append(all, b)
		runtime.KeepAlive(all)
	}
}

// printSecret prints the secret, and whether a process list shows it.
func printSecret() {
	secret := os.Getenv("HF_TOKEN")
	fmt.Println("my token is", secret, "of length", len(secret))
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range paths {
		if b, err := os.ReadFile(p); err == nil && strings.Contains(string(b), secret) {
			fmt.Println("the process list shows it:", p)
		}
	}
}

// printArguments prints the arguments, and a part of the environment.
func printArguments() { fmt.Printf("arguments %q\nodd %q\n", flag.Args(), os.Getenv("ODD")) }

// spawn starts this program again in a session of its own, on the same output.
func spawn(life string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	child := &exec.Cmd{Path: self, Args: []string{"faultserver", "-life", life}, Stdout: os.Stdout, Stderr: os.Stderr, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if err := child.Start(); err != nil {
		panic(err)
	}
	fmt.Println("child", child.Process.Pid)
	return child
}

// hold takes a port without listening on it: nobody answers there, and nobody can serve.
func hold(urlFile string) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	var at syscall.Sockaddr
	if err == nil {
		at, err = syscall.Getsockname(fd)
	}
	if err == nil {
		err = os.WriteFile(urlFile, fmt.Appendf(nil, "http://127.0.0.1:%d/", at.(*syscall.SockaddrInet4).Port), 0o644)
	}
	if err != nil {
		panic(err)
	}
	time.Sleep(time.Hour)
}

// stream sends n content events, and the proper end if whole.
func stream(w http.ResponseWriter, n int, whole bool) {
	w.Header().Set("Content-Type", "text/event-stream")
	for range n {
		fmt.Fprint(w, `data: {"choices":[{"index":0,"delta":{"content":"a "},"finish_reason":null}]}`+"\n\n")
		w.(http.Flusher).Flush()
		time.Sleep(2 * time.Millisecond)
	}
	if whole {
		fmt.Fprint(w, `data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`+"\n\n")
		fmt.Fprintf(w, `data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":%d}}`+"\n\ndata: [DONE]\n\n", n)
	}
}

func httpError(code int, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"error":{"message":%q,"type":"error","code":%d}}`, message, code)
	}
}

var faults = map[string]http.HandlerFunc{
	"401": httpError(401, "invalid api key"),
	"echo": func(w http.ResponseWriter, req *http.Request) {
		httpError(401, "I do not know "+req.Header.Get("Authorization")+" and "+req.Header.Get("X-Other"))(w, req)
	},
	"404": httpError(404, "the model `m` does not exist"),
	"429": httpError(429, "rate limit reached"),
	"500": httpError(500, "engine core died"),
	"malformed": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"content\":\n\ndata: [DONE]\n\n")
	},
	"stream_error": func(w http.ResponseWriter, _ *http.Request) {
		stream(w, 2, false)
		fmt.Fprint(w, `data: {"error":{"code":500,"message":"context size has been exceeded","type":"server_error"}}`+"\n\n")
	},
	"cut": func(w http.ResponseWriter, _ *http.Request) {
		stream(w, 2, false)
		conn, buf, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = buf.Flush()
			conn.Close()
		}
	},
	"silent": func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() },
	"empty":  func(w http.ResponseWriter, _ *http.Request) { stream(w, 0, true) },
	"refuse": func(w http.ResponseWriter, _ *http.Request) {
		// Answers nothing and takes no further connection: the next ones are refused.
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = bufio.NewReader(conn).Discard(0)
			conn.Close()
		}
		os.Exit(0)
	},
}
