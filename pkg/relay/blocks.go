package relay

// Blocks is one worker's pool of buffers for copying. One block is the spare that every recv reads into; only when a
// sink takes less than was read does the block stay with its half, and another becomes the spare. At most max
// blocks exist: without a spare nobody reads, which is back-pressure and not loss.
type Blocks struct {
	size, max int
	blocks    [][]byte // by number - 1; nil: released
	free      []uint32
	unused    []uint32 // numbers without memory
	spare     uint32   // 0: none
}

// maxIdleBlocks is how many empty blocks are kept against the next burst; the rest goes back to the heap.
const maxIdleBlocks = 64

// NewBlocks makes a pool of at most limit blocks of size bytes.
func NewBlocks(size, limit int) Blocks { return Blocks{size: size, max: limit} }

// Spare is the block to read into; nil when all are in use.
func (b *Blocks) Spare() []byte {
	if b.spare == 0 {
		b.spare = b.get()
		if b.spare == 0 {
			return nil
		}
	}
	return b.blocks[b.spare-1]
}

// TakeSpare gives the spare block to a half.
func (b *Blocks) TakeSpare() uint32 {
	number := b.spare
	b.spare = 0
	return number
}

// Bytes is the memory of a block that is out.
func (b *Blocks) Bytes(number uint32) []byte { return b.blocks[number-1] }

// Put gives a block back.
func (b *Blocks) Put(number uint32) {
	if len(b.free) >= maxIdleBlocks {
		b.blocks[number-1] = nil
		b.unused = append(b.unused, number)
		return
	}
	b.free = append(b.free, number)
}

// Available tells whether a read would find a block.
func (b *Blocks) Available() bool {
	return b.spare != 0 || len(b.free) > 0 || len(b.blocks)-len(b.unused) < b.max
}

// Out is how many blocks are with a half.
func (b *Blocks) Out() int {
	n := len(b.blocks) - len(b.unused) - len(b.free)
	if b.spare != 0 {
		n--
	}
	return n
}

func (b *Blocks) get() uint32 {
	if n := len(b.free); n > 0 {
		number := b.free[n-1]
		b.free = b.free[:n-1]
		return number
	}
	if len(b.blocks)-len(b.unused) >= b.max {
		return 0
	}
	if n := len(b.unused); n > 0 {
		number := b.unused[n-1]
		b.unused = b.unused[:n-1]
		b.blocks[number-1] = make([]byte, b.size)
		return number
	}
	b.blocks = append(b.blocks, make([]byte, b.size))
	return uint32(len(b.blocks))
}
