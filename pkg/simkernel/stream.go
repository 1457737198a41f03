package simkernel

// urgent is the state of the receiver's urgent mark (tp->urg_data).
type urgent uint8

const (
	noUrgent   urgent = iota
	announced         // TCP_URG_NOTYET: the pointer came, the byte did not
	waiting           // TCP_URG_VALID
	urgentRead        // TCP_URG_READ: by MSG_OOB; the mark stays until an ordinary recv passes it
)

// stream is one direction of a connection. Positions count bytes from its start:
//
//	copied <= una <= write
//	  [copied, una)  in the receiver's queue
//	  [una, write)   in the sender's buffer: written, not acknowledged
type stream struct {
	from, to *socket
	tag      uint64 // names the stream's pattern

	buf    []byte // the bytes [copied, write), from head on
	head   int
	copied int64
	una    int64
	write  int64
	sndCap int
	rcvCap int
	segs   []int64 // where the received segments end, oldest first, from segHead on
	segHd  int
	frag   int // how many bytes of a segment share a page reference (a pipe slot)

	up      int64 // the position behind the last urgent byte written (tp->snd_up)
	urg     urgent
	urgSeq  int64 // the urgent byte's position, where urg is not noUrgent
	urgByte byte
	holes   []int64 // urgent bytes that nobody will ever read, see Swallowed
	lost    int     // of these, the ones a recv passed over

	fin     bool // queued behind the last byte
	finSeen bool // arrived, and so acknowledged
	rst     bool // on its way
}

func (d *stream) queued() int { return int(d.una - d.copied) } // in the receiver's queue
func (d *stream) unsent() int { return int(d.write - d.una) }  // in the sender's buffer
func (d *stream) room() int   { return d.sndCap - d.unsent() } // what a send would take
func (d *stream) window() int { return d.rcvCap - d.queued() } // what the receiver takes

// writable is __sk_stream_is_writeable: at least a third of the buffer is free.
func (d *stream) writable() bool { return d.room() > 0 && d.room() >= d.unsent()/2 }

// atMark is SIOCATMARK's answer; true also when the byte itself has not arrived.
func (d *stream) atMark() bool { return d.urg != noUrgent && d.urgSeq == d.copied }

// readable is how many bytes come before the end of the queue or the mark.
func (d *stream) readable() int {
	if d.urg != noUrgent && d.urgSeq < d.una {
		return int(d.urgSeq - d.copied)
	}
	return d.queued()
}

func (d *stream) append(p []byte) {
	if d.head > 4096 && d.head > len(d.buf)/2 {
		d.buf = d.buf[:copy(d.buf, d.buf[d.head:])]
		d.head = 0
	}
	d.buf = append(d.buf, p...)
	d.write += int64(len(p))
}

// peek is the next n bytes of the receiver's queue.
func (d *stream) peek(n int) []byte { return d.buf[d.head : d.head+n] }

// advance takes n bytes from the receiver's queue.
func (d *stream) advance(n int) {
	d.head += n
	d.copied += int64(n)
	if d.head == len(d.buf) {
		d.buf, d.head = d.buf[:0], 0
	}
	for d.segHd < len(d.segs) && d.segs[d.segHd] <= d.copied {
		d.segHd++
	}
	if d.segHd == len(d.segs) {
		d.segs, d.segHd = d.segs[:0], 0
	}
	if d.urg != noUrgent && d.urgSeq < d.copied {
		d.urg = noUrgent
	}
}

// truncate throws away what the sender has written but for the next keep bytes.
func (d *stream) truncate(keep int) {
	d.buf = d.buf[:len(d.buf)-(d.unsent()-keep)]
	d.write = d.una + int64(keep)
	d.fin = d.fin && d.finSeen
	d.up = min(d.up, d.write)
}

// hole notes that the urgent byte at the read position will never be read.
func (d *stream) hole() { d.holes = append(d.holes, d.copied) }

// checkUrgent is tcp_check_urg: the pointer that travels with every segment before the urgent byte. A second
// urgent byte makes the first ordinary data, except that one at the read position is passed over.
func (d *stream) checkUrgent() {
	at := d.up - 1
	if at < d.una || d.urg != noUrgent && at <= d.urgSeq {
		return
	}
	if d.atMark() && d.copied != d.una {
		if d.urg != urgentRead {
			d.hole()
		}
		d.advance(1)
	}
	d.urg, d.urgSeq = announced, at
}

// arrive moves n bytes into the receiver's queue as one segment (tcp_urg, tcp_data_queue); coalesce joins them
// to the last one (tcp_try_coalesce).
func (d *stream) arrive(n int, coalesce bool) {
	if d.up > d.una {
		d.checkUrgent()
	}
	d.una += int64(n)
	if d.urg == announced && d.urgSeq < d.una {
		d.urg = waiting
		d.urgByte = d.buf[d.head+int(d.urgSeq-d.copied)]
	}
	if coalesce && d.segHd < len(d.segs) {
		d.segs[len(d.segs)-1] = d.una
		return
	}
	d.segs = append(d.segs, d.una)
}

// reset makes a used stream new; memory is kept.
func (d *stream) reset(from, to *socket, tag uint64) {
	*d = stream{from: from, to: to, tag: tag, buf: d.buf[:0], segs: d.segs[:0], holes: d.holes[:0]}
}
