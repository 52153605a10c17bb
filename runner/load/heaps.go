package load

// slotHeap are free slots by the moment at which they became (or become) free.
type slotHeap []int64

func (h slotHeap) Len() int           { return len(h) }
func (h slotHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h slotHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *slotHeap) Push(x any)        { *h = append(*h, x.(int64)) }
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
