package timer

// due is the list of timers that are to fire.
const due = levels * slots

// node is the timer of one id, in doubly linked lists made of numbers: the garbage collector has nothing to follow.
// A link is 0 for none, else id + 1. prev is 0 while the timer is not armed; the first node of a list has
// isFirst | list there, so that unlinking needs no second look-up.
type node struct {
	next, prev uint32
	tick       int64
}

const isFirst = 1 << 31

// chunk is the unit in which nodes are allocated. Chunks never move, so a *node stays valid.
type chunk [chunkSize]node

const chunkSize = 1024

// node returns the node of an id that has been armed before.
func (w *Wheel) node(id uint32) *node {
	return &w.chunks[id/chunkSize][id%chunkSize]
}

// link makes n, which is in no list, the first of list.
func (w *Wheel) link(n *node, id, list uint32) {
	n.prev = isFirst | list
	n.next = w.heads[list]
	if n.next != 0 {
		w.node(n.next - 1).prev = id + 1
	}
	w.heads[list] = id + 1
}

// unlink takes n out of its list and marks it as not armed.
func (w *Wheel) unlink(n *node) {
	if n.next != 0 {
		w.node(n.next - 1).prev = n.prev
	}
	if n.prev&isFirst == 0 {
		w.node(n.prev - 1).next = n.next
	} else {
		w.setHead(n.prev&^isFirst, n.next)
	}
	n.prev = 0
}

// setHead replaces the first node of list and keeps its level's bitmap true.
func (w *Wheel) setHead(list, link uint32) {
	w.heads[list] = link
	if link == 0 && list != due {
		w.occupied[list/slots] &^= 1 << (list % slots)
	}
}
