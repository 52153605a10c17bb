package runner

import "testing"

// TestPortsAreGivenOnce: what one server holds is given to no other, until it is let go.
func TestPortsAreGivenOnce(t *testing.T) {
	node := []*rank{{host: "spark1", node: portNode{}}}
	given := map[int]bool{}
	servers := [2]server{}
	for i := range 100 {
		first, err := servers[i%2].freePorts(t.Context(), node, 10)
		if err != nil {
			t.Fatal(err)
		}
		for port := first; port < first+10; port++ {
			if given[port] || port < firstPort || port > lastPort {
				t.Fatalf("port %d is given again, or is none of ours", port)
			}
			given[port] = true
		}
	}
	for i := range servers {
		servers[i].letGo()
	}
	for port := range given {
		held, err := hold(port, 1)
		if err != nil {
			t.Errorf("it was let go: %v", err)
		}
		held.Close()
	}
}
