package record

// Sample is one number that a node or a server said of itself while it was measured.
type Sample struct {
	At    int64   // Clock
	From  string  // the node's name, or the server's address, with #REPLICA where it has several
	GPU   int32   // its index on the node; -1: it is not of a GPU
	Name  string  // what was sampled, with its unit: metric.Samples has all
	Value float64 // a counter's since the start of its engine
}
