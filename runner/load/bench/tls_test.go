package bench

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// tlsServer streams so many frames, one a gap, over TLS, and says like server.c when it
// handed each to the TLS layer. It prints its port, and writes the trace at SIGTERM.
func tlsServer(chunks int, gap time.Duration, trace string) error {
	var mu sync.Mutex
	times := map[string][]int64{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		out := http.NewResponseController(w)
		w.Header().Set("Content-Type", "text/event-stream")
		at := make([]int64, chunks)
		next := time.Now().Add(time.Duration(rand.Int64N(int64(gap))))
		for i := range at {
			time.Sleep(time.Until(next))
			next = next.Add(gap)
			at[i] = time.Now().UnixNano()
			_, _ = io.WriteString(w, `data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}]}`+"\n\n")
			_ = out.Flush()
		}
		mu.Lock()
		times[r.Header.Get("X-Request-Id")] = at
		mu.Unlock()
		fmt.Fprintf(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":%d}}\n\ndata: [DONE]\n\n", chunks)
	}))
	s.StartTLS()
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	fmt.Println(s.Listener.Addr().String()[strings.LastIndexByte(s.Listener.Addr().String(), ':')+1:])
	<-end
	mu.Lock()
	defer mu.Unlock()
	file, err := os.Create(trace)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(file)
	for id, at := range times {
		var name [32]byte
		copy(name[:], id)
		_, _ = out.Write(name[:])
		_ = binary.Write(out, binary.NativeEndian, append([]int64{int64(len(at))}, at...))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return file.Close()
}
