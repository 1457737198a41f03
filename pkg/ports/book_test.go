package ports

import (
	"net/netip"
	"testing"

	"github.com/longsplice/longsplice/pkg/sys"
)

var (
	one, two = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::2")
	here     = sys.Addr{IP: [16]byte{15: 1}, Port: 80}
	there    = sys.Addr{IP: [16]byte{15: 1}, Port: 81}
	own      = Range{2000, 2003}
)

func TestABookHasOnePairForEachSourceAndBackend(t *testing.T) {
	b := NewBook()
	first := b.Pair(one, here, own)
	if first.Number == 0 || first.Source != one || first.From.Family() != sys.AF_INET || !first.Own() {
		t.Errorf("pair %d of %v, family %d, own ports %v", first.Number, first.Source, first.From.Family(), first.Own())
	}
	if b.Pair(one, here, own) != first {
		t.Error("two pairs for the same source and backend")
	}
	numbers := map[Number]bool{first.Number: true}
	for _, p := range []*Pair{b.Pair(two, here, own), b.Pair(one, there, own), b.Pair(one, here, Range{})} {
		if numbers[p.Number] || b.All()[p.Number] != p {
			t.Errorf("number %d stands for another pair", p.Number)
		}
		numbers[p.Number] = true
	}
}

func TestAPairOfTheKernelsPortsIsCrowdedAboveHalf(t *testing.T) {
	b := NewBook()
	p, ours := b.Pair(one, here, Range{}), b.Pair(one, here, own)
	take := func(p *Pair) { p.Take(0) }
	take(p)
	if _, crowded := p.Crowded(); crowded {
		t.Error("crowded among nobody knows how many")
	}
	kernel := Range{40000, 40003}
	b.SetKernel(kernel)
	take(p)
	if _, crowded := p.Crowded(); crowded {
		t.Error("crowded with 2 of 4")
	}
	take(p)
	if r, crowded := p.Crowded(); !crowded || r != kernel {
		t.Errorf("Crowded() = %v, %v with 3 of 4", r, crowded)
	}
	for range 4 {
		take(ours)
	}
	if _, crowded := ours.Crowded(); crowded {
		t.Error("ports of ours are nothing that the kernel searches")
	}
	if later := b.Pair(two, here, Range{}); later.kernel.Load() == 0 {
		t.Error("a later pair does not know the kernel's range")
	}
}

func TestABookForgetsPairsThatNobodyNeeds(t *testing.T) {
	b := NewBook()
	used, held, idle := b.Pair(one, here, own), b.Pair(one, there, own), b.Pair(two, here, own)
	held.Take(0)
	b.Keep(map[*Pair]bool{used: true})
	if all := b.All(); all[used.Number] != used || all[held.Number] != held || all[idle.Number] != nil {
		t.Errorf("kept %v", all)
	}
	if p := b.Pair(two, there, own); p.Number != idle.Number {
		t.Errorf("the free number %d is not used again, but %d", idle.Number, p.Number)
	}
	held.Give(2000)
	if b.Keep(map[*Pair]bool{used: true}); b.All()[held.Number] != nil {
		t.Error("a pair is kept whose last session has ended")
	}
}
