package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// rankserver is an engine on several nodes: the head (rank 0) answers requests once all
// workers have joined it at -meet, and hangs for ever once one of them has gone, as
// engines do. -life says what goes wrong with the workers.
func rankserver() {
	rank := flag.Int("rank", 0, "")
	size := flag.Int("size", 1, "")
	meet := flag.String("meet", "", "where the ranks meet")
	host := flag.String("host", "127.0.0.1", "address that the head listens on")
	port := flag.Int("port", 0, "port of the head")
	life := flag.String("life", "", "")
	flag.Parse()
	fmt.Printf("rank %d of %d starts, NCCL_DEBUG is %q, the interface %q\n", *rank, *size, os.Getenv("NCCL_DEBUG"), os.Getenv("NCCL_SOCKET_IFNAME"))
	if *rank > 0 {
		work(*meet, *life)
	}
	l, err := net.Listen("tcp", *meet)
	if err != nil {
		panic(err)
	}
	var gone atomic.Bool
	var workers []net.Conn
	for joined := 1; joined < *size; joined++ {
		fmt.Printf("%d/%d clients joined\n", joined, *size)
		conn, err := l.Accept()
		if err != nil {
			panic(err)
		}
		workers = append(workers, conn)
		go func() {
			_, _ = io.Copy(io.Discard, conn)
			gone.Store(true)
			fmt.Println("[rank0]: torch.distributed.DistBackendError: NCCL error: remote process exited or there was a network error")
		}()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"object":"list","data":[{"id":"m","object":"model"}]}`)
	})
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, req *http.Request) {
		var body struct {
			Stream bool `json:"stream"`
		}
		b, _ := io.ReadAll(req.Body)
		if err := json.Unmarshal(b, &body); err != nil || gone.Load() {
			<-req.Context().Done()
			return
		}
		if !body.Stream {
			fmt.Fprint(w, `{"choices":[{"message":{"role":"assistant","content":"a"},"finish_reason":"length"}],"usage":{"prompt_tokens":5,"completion_tokens":1}}`)
			return
		}
		for _, conn := range workers {
			_, _ = conn.Write([]byte{1})
		}
		stream(w, 3, true)
	})
	panic(http.ListenAndServe(fmt.Sprintf("%s:%d", *host, *port), mux))
}

// work is the life of a worker.
func work(meet, life string) {
	switch life {
	case "never_joins":
		fmt.Println("dialling 169.254.7.7, of the wrong network")
		time.Sleep(time.Hour)
	case "dies_early":
		fmt.Print("Traceback (most recent call last):\n  File \"worker.py\", line 1\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 60.00 GiB.\n")
		os.Exit(1)
	case "crashes_early":
		fmt.Print("Traceback (most recent call last):\n  File \"worker.py\", line 1\nRuntimeError: no RDMA device\n")
		os.Exit(1)
	}
	var conn net.Conn
	for {
		var err error
		if conn, err = net.Dial("tcp", meet); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println("joined")
	b := make([]byte, 1)
	for steps := 1; ; steps++ {
		if _, err := io.ReadFull(conn, b); err != nil {
			fmt.Println("the head has gone")
			time.Sleep(time.Hour) // as a worker that waits for its head again
		}
		if life == "dies_late" && steps == 6 {
			fmt.Print("Traceback (most recent call last):\n  File \"worker.py\", line 9\nValueError: the worker's own failure\n")
			os.Exit(4)
		}
	}
}
