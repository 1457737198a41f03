package matrix

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// shiftDate makes the program alone see another date than the rest of the machine: as far off as the returned function is
// told. A time namespace cannot do that (it has no CLOCK_REALTIME, time_namespaces(7)). But a program asks for the date in
// the vDSO, code that the kernel maps into every process, and a parent may change that through /proc/PID/mem: the first
// instruction of __vdso_clock_gettime becomes a jump to dateCode, in the unused end of the mapping.
func shiftDate(t *testing.T, p *program) func(time.Duration) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		testkit.Missing(t, "amd64, whose machine code the shift of the date is written in")
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", p.pid()), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() })
	start, image := vdso(t, p.pid(), mem)
	entry, room := start+clockSymbol(t, image), start+int64(len(image)-len(dateCode)-8)
	if !bytes.Equal(image[room-start:], make([]byte, len(dateCode)+8)) {
		testkit.Missing(t, "room at the end of the vDSO")
	}
	write := func(at int64, b []byte) {
		if _, err := mem.WriteAt(b, at); err != nil {
			t.Fatalf("change the vDSO: %v", err)
		}
	}
	shift := func(off time.Duration) {
		write(room+int64(len(dateCode)), binary.LittleEndian.AppendUint64(nil, uint64(off/time.Second)))
	}
	shift(0)
	write(room, dateCode)
	jump := binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(room-entry-5)) // jmp rel32, from its end
	p.stopOutside(entry, entry+int64(len(jump)))
	write(entry, jump)
	p.signal(syscall.SIGCONT)
	return shift
}

// dateCode is clock_gettime(edi: the clock, rsi: struct timespec). It makes the system call, which tells the truth, and adds
// to the date, CLOCK_REALTIME = 0, the seconds that stand behind it.
var dateCode = []byte{
	0xb8, 228, 0, 0, 0, // mov eax, SYS_clock_gettime
	0x0f, 0x05, // syscall
	0x85, 0xff, // test edi, edi
	0x75, 0x0a, // jnz over the next two
	0x48, 0x8b, 0x15, 4, 0, 0, 0, // mov rdx, [rip+4]: behind the code
	0x48, 0x01, 0x16, // add [rsi], rdx: tv_sec
	0xc3, // ret
}

// vdso finds and reads the mapping.
func vdso(t *testing.T, pid int, mem *os.File) (start int64, image []byte) {
	t.Helper()
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var end int64
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x", &start, &end); err != nil || !strings.HasSuffix(lines.Text(), "[vdso]") {
			continue
		}
		image = make([]byte, end-start)
		if _, err := mem.ReadAt(image, start); err != nil {
			t.Fatalf("read the vDSO: %v", err)
		}
		return start, image
	}
	testkit.Missing(t, "a vDSO")
	return 0, nil
}

func clockSymbol(t *testing.T, image []byte) int64 {
	t.Helper()
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatalf("read the vDSO: %v", err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		t.Fatalf("read the vDSO: %v", err)
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			return int64(s.Value)
		}
	}
	testkit.Missing(t, "__vdso_clock_gettime")
	return 0
}

// stopOutside stops the program while none of its threads is about to execute what lies from start to end.
func (p *program) stopOutside(start, end int64) {
	p.t.Helper()
	p.await("a stop outside of the code to be changed", func() bool {
		p.signal(syscall.SIGSTOP)
		p.await("every thread to stop", func() bool {
			return !slices.ContainsFunc(p.threads("stat"), func(stat string) bool { return !strings.Contains(stat, ") T ") })
		})
		for _, call := range p.threads("syscall") { // numbers, of which the last is the instruction pointer (proc(5))
			words := strings.Fields(call)
			pc, err := strconv.ParseInt(words[len(words)-1], 0, 64)
			if err != nil || start <= pc && pc < end {
				p.signal(syscall.SIGCONT)
				return false
			}
		}
		return true
	})
}

// threads reads a file of each thread of the program.
func (p *program) threads(file string) (texts []string) {
	p.t.Helper()
	paths, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/%s", p.pid(), file))
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			p.t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

func init() { roles["date"] = dateRole }

// shiftHostDate shifts the machine's date. The process that does so puts it back when its standard input ends, as it does
// when the test dies.
func shiftHostDate(t *testing.T) func(time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=date")
	cmd.Stderr = os.Stderr
	orders, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		orders.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("put the date back: %v", err)
		}
	})
	done := bufio.NewReader(answers)
	return func(off time.Duration) {
		fmt.Fprintln(orders, off)
		if _, err := done.ReadString('\n'); err != nil {
			t.Fatalf("shift the date: %v", err)
		}
	}
}

// dateRole reads how far off the date has to be, a duration a line. adjtimex(2) moves it by a difference, so that the way
// back is known whatever the date was.
func dateRole([]string) (err error) {
	now := time.Duration(0)
	move := func(to time.Duration) error {
		_, err := unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_SETOFFSET, Time: unix.NsecToTimeval(int64(to - now))})
		if err == nil {
			now = to
		}
		return err
	}
	defer func() { err = errors.Join(err, move(0)) }()
	for orders := bufio.NewScanner(os.Stdin); orders.Scan(); fmt.Println("done") {
		off, err := time.ParseDuration(orders.Text())
		if err == nil {
			err = move(off)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
