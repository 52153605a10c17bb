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
	"sync/atomic"
	"syscall"
	"time"
)

// faultserver is an OpenAI-compatible server whose every second streamed request goes
// wrong in the way that -mode names; the others, and what is not streamed, are answered.
// It writes its URL to the file -url and runs until it is killed.
func faultserver() {
	mode := flag.String("mode", "", "how every second streamed request fails")
	urlFile := flag.String("url", "", "file that gets the URL")
	flag.Parse()
	if *mode == "bind" {
		hold(*urlFile)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	var streamed atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"object":"list","data":[{"id":"m","object":"model"}]}`)
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
		case streamed.Add(1)%2 == 0:
			faults[*mode](w, req)
		default:
			stream(w, 3, true)
		}
	})
	if err := os.WriteFile(*urlFile, []byte("http://"+l.Addr().String()+"/v1"), 0o644); err != nil {
		panic(err)
	}
	panic(http.Serve(l, mux))
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
