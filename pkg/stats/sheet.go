package stats

import (
	"runtime"
	"sync/atomic"
)

// Kind is what a row counts for.
type Kind uint8

// Kinds of rows. There is one row of kind Own in a sheet, number 0.
const (
	Frontend Kind = iota
	Backend
	Pool
	Own
	numKinds
)

var widths = [numKinds]int{FrontendWidth, BackendWidth, PoolWidth, WorkerWidth}

// Sheet is one worker's counters.
type Sheet struct {
	seq   atomic.Uint32 // odd while the owner publishes
	rows  [numKinds]atomic.Pointer[[]*Row]
	dirty []*Row
}

// NewSheet makes an empty sheet with the worker's own row.
func NewSheet() *Sheet {
	s := &Sheet{}
	for k := range s.rows {
		s.rows[k].Store(&[]*Row{})
	}
	s.Grow(Own, 1)
	return s
}

// Grow makes sure that rows 0 to n-1 of a kind exist. Only the owner calls it, when it adopts a snapshot.
func (s *Sheet) Grow(k Kind, n int) {
	old := *s.rows[k].Load()
	if len(old) >= n {
		return
	}
	rows := append(make([]*Row, 0, n), old...)
	for len(rows) < n {
		rows = append(rows, &Row{v: make([]uint64, widths[k]), seen: make([]atomic.Uint64, widths[k]), sheet: s})
	}
	s.dirty = append(make([]*Row, 0, cap(s.dirty)+n), s.dirty...) // room for all, so that touch never allocates
	s.rows[k].Store(&rows)
}

// Row is the row of a number that Grow has made.
func (s *Sheet) Row(k Kind, number int) *Row { return (*s.rows[k].Load())[number] }

// Publish makes everything counted since the last call visible, as one step.
func (s *Sheet) Publish() {
	if len(s.dirty) == 0 {
		return
	}
	s.seq.Add(1)
	for _, r := range s.dirty {
		r.publish()
	}
	s.seq.Add(1)
	s.dirty = s.dirty[:0]
}

// Seen is one published counter, for who needs no more than that.
func (s *Sheet) Seen(k Kind, number, counter int) uint64 {
	return s.Row(k, number).seen[counter].Load()
}

// Copy is one moment of a sheet: rows by kind and number.
type Copy [numKinds][][]uint64

// AddTo adds one consistent moment of the sheet to sum, growing it as needed.
func (s *Sheet) AddTo(sum *Copy) {
	var c Copy
	for {
		before := s.seq.Load()
		if before&1 == 0 {
			s.read(&c)
			if s.seq.Load() == before {
				break
			}
		}
		runtime.Gosched()
	}
	for k := range c {
		for n, row := range c[k] {
			for len(sum[k]) <= n {
				sum[k] = append(sum[k], make([]uint64, widths[k]))
			}
			for i, v := range row {
				sum[k][n][i] += v
			}
		}
	}
}

func (s *Sheet) read(c *Copy) {
	for k := range s.rows {
		rows := *s.rows[k].Load()
		c[k] = c[k][:0]
		for _, r := range rows {
			v := make([]uint64, len(r.seen))
			for i := range v {
				v[i] = r.seen[i].Load()
			}
			c[k] = append(c[k], v)
		}
	}
}

// Value is a counter of a copy; 0 where there is no such row.
func (c *Copy) Value(k Kind, number, counter int) uint64 {
	if number >= len(c[k]) {
		return 0
	}
	return c[k][number][counter]
}

// BackendRow is a copy's row of a backend; nil if it has none.
func (c *Copy) BackendRow(number int) []uint64 {
	if number >= len(c[Backend]) {
		return nil
	}
	return c[Backend][number]
}
