package load

// slot is a place for a request in flight, and the worker that it is in the rows.
type slot struct {
	free   int64 // when it became, or becomes, free
	worker int32
}

// slotHeap are free slots, the one that is free first in front.
type slotHeap []slot

func (h slotHeap) Len() int           { return len(h) }
func (h slotHeap) Less(i, j int) bool { return h[i].free < h[j].free }
func (h slotHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *slotHeap) Push(x any)        { *h = append(*h, x.(slot)) }
func (h *slotHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// dialogueHeap are conversations that think, by when their next turn is due.
type dialogueHeap []*dialogue

func (h dialogueHeap) Len() int           { return len(h) }
func (h dialogueHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h dialogueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dialogueHeap) Push(x any)        { *h = append(*h, x.(*dialogue)) }
func (h *dialogueHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
