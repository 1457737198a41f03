package simkernel

import "github.com/longsplice/longsplice/pkg/sys"

// scripts run on both kernels. a is the program's end, registered edge-triggered; b is the peer.
var scripts = []struct {
	name string
	run  func(x *script)
}{
	{"first readiness is an event, once", func(x *script) { x.events(); x.events() }},
	{"data is an edge each time it arrives", func(x *script) {
		x.events()
		x.send(x.b, "abc")
		x.events()
		x.events()
		x.send(x.b, "def")
		x.events()
		x.recv(x.a, 4)
		x.events()
		x.recv(x.a, 10)
		x.recv(x.a, 10)
	}},
	{"FIN after data", func(x *script) {
		x.events()
		x.send(x.b, "abc")
		x.shut(x.b)
		x.events()
		x.state(x.a)
		x.recv(x.a, 10)
		x.recv(x.a, 10)
		x.recv(x.a, 10)
		x.events()
		x.send(x.a, "answer")
		x.recv(x.b, 10)
	}},
	{"own shutdown wakes, both ways is HUP", func(x *script) {
		x.events()
		x.shut(x.a)
		x.events()
		x.send(x.a, "x")
		x.send(x.b, "late")
		x.events()
		x.shut(x.b)
		x.events()
		x.recv(x.a, 2)
		x.recv(x.a, 10)
		x.recv(x.a, 10)
		x.shut(x.a)
	}},
	{"FIN first, then own shutdown", func(x *script) {
		x.events()
		x.shut(x.b)
		x.events()
		x.shut(x.a)
		x.events()
		x.recv(x.a, 1)
		x.send(x.a, "x")
		x.shut(x.a)
		x.state(x.a)
		x.unsent(x.a)
	}},
	{"RST behind data: data, error once, then 0", func(x *script) {
		x.events()
		x.send(x.b, "abcdef")
		x.reset(x.b)
		x.events()
		x.state(x.a)
		x.recv(x.a, 4)
		x.recv(x.a, 4)
		x.recv(x.a, 4)
		x.recv(x.a, 4)
		x.events()
		x.send(x.a, "x")
	}},
	{"RST, send first: error once, then EPIPE", func(x *script) {
		x.send(x.b, "abc")
		x.reset(x.b)
		x.send(x.a, "x")
		x.send(x.a, "x")
		x.recv(x.a, 2)
		x.recv(x.a, 2)
		x.recv(x.a, 2)
		x.state(x.a)
	}},
	{"SO_ERROR takes the error", func(x *script) {
		x.reset(x.b)
		x.soError(x.a)
		x.soError(x.a)
		x.events()
		x.recv(x.a, 1)
		x.send(x.a, "x")
	}},
	{"RST behind a FIN is EPIPE, and recv still says 0", func(x *script) {
		x.events()
		x.shut(x.b)
		x.recv(x.a, 1)
		x.events()
		x.reset(x.b)
		x.events()
		x.recv(x.a, 1)
		x.recv(x.a, 1)
		x.send(x.a, "x")
		x.send(x.a, "x")
		x.soError(x.a)
	}},
	{"RST behind a FIN by late data", func(x *script) {
		x.close(x.b)
		x.events()
		x.send(x.a, "x")
		x.events()
		x.recv(x.a, 1)
		x.soError(x.a)
		x.send(x.a, "x")
		x.unsent(x.a)
	}},
	{"close with unread input is a RST", func(x *script) {
		x.send(x.a, "unread")
		x.send(x.b, "abc")
		x.close(x.b)
		x.events()
		x.recv(x.a, 10)
		x.recv(x.a, 10)
		x.recv(x.a, 10)
	}},
	{"RST after own shutdown", func(x *script) {
		x.shut(x.a)
		x.reset(x.b)
		x.events()
		x.recv(x.a, 1)
		x.recv(x.a, 1)
		x.send(x.a, "x")
	}},
	{"shutdown after RST", func(x *script) {
		x.reset(x.b)
		x.shut(x.a)
		x.events()
		x.recv(x.a, 1)
	}},
	{"linger 0 when both FINs have passed sends nothing", func(x *script) {
		x.events()
		x.shut(x.a)
		x.shut(x.b)
		x.reset(x.b)
		x.events()
		x.recv(x.a, 1)
		x.soError(x.a)
	}},
	{"splice moves, stops at the end", func(x *script) {
		x.fill(100)
		x.send(x.b, "abcdef")
		x.fill(4)
		x.fill(100)
		x.fill(100)
		x.shut(x.b)
		x.fill(100)
		x.fill(100)
		x.flush(x.a, 2)
		x.flush(x.a, 100)
		x.flush(x.a, 100)
		x.recv(x.b, 100)
	}},
	{"splice and RST: error once, then 0", func(x *script) {
		x.send(x.b, "abc")
		x.reset(x.b)
		x.fill(100)
		x.fill(100)
		x.fill(100)
		x.flush(x.a, 100)
		x.flush(x.a, 100)
	}},
	{"flush into a reset socket keeps the bytes and takes the error", func(x *script) {
		x.send(x.b, "abc")
		x.fill(100)
		x.reset(x.b)
		x.flush(x.a, 100)
		x.flush(x.a, 100)
		x.recv(x.a, 1)
		n, e := x.k.Unread(x.pipe.R)
		x.result("held", n, e)
	}},
	{"a pipe is full after 16 small segments", func(x *script) {
		for range 40 {
			x.send(x.b, "x")
			x.fill(100)
		}
		n, e := x.k.Unread(x.pipe.R)
		x.result("held", n, e)
		x.flush(x.a, 3)
		x.fill(1)
	}},
	{"full pipe hides the end", func(x *script) {
		for range 16 {
			x.send(x.b, "x")
			x.fill(100)
		}
		x.shut(x.b)
		x.fill(100)
		x.flush(x.a, 1)
		x.fill(100)
	}},
	{"full pipe hides the error", func(x *script) {
		for range 16 {
			x.send(x.b, "x")
			x.fill(100)
		}
		x.reset(x.b)
		x.fill(100)
		x.recv(x.a, 1)
	}},
	{"urgent byte alone", func(x *script) {
		x.events()
		x.state(x.a)
		x.oob(x.a)
		x.urgent(x.b, "!")
		x.events()
		x.state(x.a)
		x.fill(10)
		x.oob(x.a)
		x.oob(x.a)
		x.state(x.a)
		x.events()
		x.recv(x.a, 10)
		x.state(x.a)
		x.events()
	}},
	{"recv stops at the mark, then passes over the byte", func(x *script) {
		x.send(x.b, "abc")
		x.urgent(x.b, "!")
		x.send(x.b, "def")
		x.events()
		x.state(x.a)
		x.recv(x.a, 100)
		x.state(x.a)
		x.events()
		x.recv(x.a, 100)
		x.state(x.a)
		x.oob(x.a)
	}},
	{"urgent byte read at the mark", func(x *script) {
		x.send(x.b, "abc")
		x.urgent(x.b, "!")
		x.send(x.b, "def")
		x.recv(x.a, 3)
		x.oob(x.a)
		x.oob(x.a)
		x.state(x.a)
		x.events()
		x.recv(x.a, 100)
		x.state(x.a)
		x.recv(x.a, 100)
	}},
	{"urgent byte read early", func(x *script) {
		x.send(x.b, "abc")
		x.urgent(x.b, "!")
		x.send(x.b, "def")
		x.oob(x.a)
		x.events()
		x.recv(x.a, 100)
		x.state(x.a)
		x.recv(x.a, 100)
	}},
	{"a recv of one byte at the mark takes the byte after it", func(x *script) {
		x.urgent(x.b, "!")
		x.send(x.b, "def")
		x.recv(x.a, 1)
		x.recv(x.a, 1)
	}},
	{"splice stops at the mark", func(x *script) {
		x.send(x.b, "abc")
		x.urgent(x.b, "!")
		x.send(x.b, "def")
		x.fill(100)
		x.fill(100)
		x.oob(x.a)
		x.fill(100)
		x.state(x.a)
		x.events()
		x.recv(x.a, 1)
		x.fill(100)
	}},
	{"false end of splice at the mark", func(x *script) {
		x.send(x.b, "abc")
		x.urgent(x.b, "!")
		x.send(x.b, "def")
		x.shut(x.b)
		x.fill(100)
		x.fill(100)
		x.events()
		x.recv(x.a, 100)
		x.recv(x.a, 100)
	}},
	{"false error of splice at the mark", func(x *script) {
		x.urgent(x.b, "!")
		x.send(x.b, "def")
		x.reset(x.b)
		x.fill(100)
		x.fill(100)
		x.recv(x.a, 100)
		x.recv(x.a, 100)
	}},
	{"urgent byte and FIN", func(x *script) {
		x.events()
		x.send(x.b, "abc")
		x.urgent(x.b, "!")
		x.shut(x.b)
		x.events()
		x.state(x.a)
		x.recv(x.a, 100)
		x.state(x.a)
		x.oob(x.a)
		x.state(x.a)
		x.recv(x.a, 100)
		x.state(x.a)
		x.recv(x.a, 100)
	}},
	{"urgent byte and RST", func(x *script) {
		x.send(x.b, "abc")
		x.urgent(x.b, "!")
		x.send(x.b, "def")
		x.reset(x.b)
		x.events()
		x.recv(x.a, 100)
		x.oob(x.a)
		x.recv(x.a, 100)
		x.recv(x.a, 100)
	}},
	{"urgent byte after both FINs", func(x *script) {
		x.shut(x.a)
		x.urgent(x.b, "!")
		x.shut(x.b)
		x.events()
		x.oob(x.a)
		x.recv(x.a, 1)
	}},
	{"second urgent byte makes the first ordinary", func(x *script) {
		x.send(x.b, "abc")
		x.urgent(x.b, "1")
		x.send(x.b, "def")
		x.urgent(x.b, "2")
		x.events()
		x.state(x.a)
		x.recv(x.a, 100)
		x.oob(x.a)
		x.recv(x.a, 100)
	}},
	{"second urgent byte at the mark loses the first", func(x *script) {
		x.urgent(x.b, "1")
		x.send(x.b, "abc")
		x.urgent(x.b, "2")
		x.state(x.a)
		x.recv(x.a, 100)
		x.oob(x.a)
		x.recv(x.a, 100)
	}},
	{"second urgent byte after the first was read at the mark", func(x *script) {
		x.urgent(x.b, "1")
		x.oob(x.a)
		x.urgent(x.b, "2")
		x.state(x.a)
		x.oob(x.a)
		x.recv(x.a, 100)
	}},
	{"urgent byte read early comes again as data", func(x *script) {
		x.send(x.b, "abc")
		x.urgent(x.b, "1")
		x.oob(x.a)
		x.urgent(x.b, "2")
		x.recv(x.a, 100)
		x.oob(x.a)
	}},
	{"the last byte of an urgent send is the urgent one", func(x *script) {
		x.urgent(x.b, "abc!")
		x.state(x.a)
		x.recv(x.a, 100)
		x.oob(x.a)
	}},
	{"close at the mark with the byte read is a RST", func(x *script) {
		x.urgent(x.a, "!")
		x.oob(x.b)
		x.close(x.b)
		x.events()
		x.recv(x.a, 1)
	}},
	{"an urgent edge without other input", func(x *script) {
		x.events()
		x.urgent(x.b, "!")
		x.events()
		x.send(x.b, "a")
		x.events()
	}},
	{"full window: room is an edge once a third is free", func(x *script) {
		x.events()
		n := x.stuff(x.a)
		x.events()
		x.drain(x.b, n)
		x.events()
		x.events()
		x.send(x.a, "x")
	}},
	{"poll alone asks for the edge", func(x *script) {
		n := x.stuff(x.a)
		x.events()
		x.send(x.b, "x")
		x.events()
		x.drain(x.b, n)
		x.events()
	}},
	{"flush into a full socket", func(x *script) {
		x.send(x.b, "abc")
		x.fill(3)
		x.events()
		n := x.stuff(x.a)
		x.flush(x.a, 100)
		x.events()
		x.drain(x.b, n)
		x.events()
		x.flush(x.a, 100)
		x.recv(x.b, 100)
	}},
	{"FIN waits behind a full window and counts as a byte", func(x *script) {
		n := x.stuff(x.b)
		before, _ := x.k.Unsent(x.b)
		x.shut(x.b)
		after, _ := x.k.Unsent(x.b)
		x.log("FIN adds %d", after-before)
		x.events()
		x.drain(x.a, n)
		x.events()
		x.recv(x.a, 1)
		x.unsent(x.b)
	}},
	{"reset throws the unsent away", func(x *script) {
		n := x.stuff(x.b)
		x.reset(x.b)
		x.events()
		got, e := x.k.Unread(x.a)
		x.log("unread all %v, some %v %s", got == n, got > 0, sys.Name(e))
		b := make([]byte, got)
		got2, e := x.k.Recv(x.a, b, 0)
		x.log("all read %v %s", got == got2, sys.Name(e))
		x.recv(x.a, 1)
		x.recv(x.a, 1)
	}},
	{"unsent of a reset socket stays what it was", func(x *script) {
		x.stuff(x.a)
		before, _ := x.k.Unsent(x.a)
		x.reset(x.b)
		after, e := x.k.Unsent(x.a)
		x.log("same %v, some %v %s", before == after, after > 0, sys.Name(e))
		x.events()
		x.send(x.a, "x")
		x.send(x.a, "x")
		x.recv(x.a, 1)
	}},
	{"urgent byte announced before it arrives", func(x *script) {
		x.events()
		x.urgentBehindWindow()
		x.oob(x.a)
		x.events()
		x.pass(x.a)
		x.events()
		x.oob(x.a)
		x.recv(x.a, 10)
	}},
	{"level-triggered: told until it is gone", func(x *script) {
		x.k.EpollDel(x.ep, x.a)
		x.k.EpollAdd(x.ep, x.a, sys.EPOLLIN, 'l')
		x.events()
		x.send(x.b, "abc")
		x.events()
		x.events()
		x.recv(x.a, 10)
		x.events()
		x.shut(x.b)
		x.events()
		x.events()
	}},
	{"registration and its errors", func(x *script) {
		x.log("again %s", sys.Name(x.k.EpollAdd(x.ep, x.a, allEvents, 'x')))
		x.log("del %s", sys.Name(x.k.EpollDel(x.ep, x.a)))
		x.log("del %s", sys.Name(x.k.EpollDel(x.ep, x.a)))
		x.events()
		x.send(x.b, "abc")
		x.events()
		x.log("add %s", sys.Name(x.k.EpollAdd(x.ep, x.a, allEvents, 'x')))
		x.events()
	}},
	{"interest filters edges but not ERR and HUP", func(x *script) {
		x.k.EpollDel(x.ep, x.a)
		x.k.EpollAdd(x.ep, x.a, sys.EPOLLOUT|sys.EPOLLET, 'o')
		x.events()
		x.send(x.b, "abc")
		x.events()
		x.reset(x.b)
		x.events()
	}},
	{"close takes a waiting event along", func(x *script) {
		x.send(x.b, "abc")
		x.close(x.a)
		x.events()
	}},
	{"eventfd", func(x *script) {
		fd, _ := x.k.EventFD()
		defer x.k.Close(fd)
		x.events()
		x.k.EpollAdd(x.ep, fd, sys.EPOLLIN, 'e')
		x.events()
		x.k.Wake(fd)
		x.k.Wake(fd)
		x.events()
		x.events()
		x.k.ClearWake(fd)
		x.events()
	}},
	{"a socket that was never connected", func(x *script) {
		fd, _ := x.k.Socket(sys.AF_INET)
		defer x.k.Close(fd)
		x.events()
		x.k.EpollAdd(x.ep, fd, allEvents, 'n')
		x.events()
		x.recv(fd, 1)
		x.send(fd, "x")
		x.oob(fd)
		x.state(fd)
		x.unsent(fd)
		n, e := x.k.Splice(fd, x.pipe.W, 10)
		x.result("splice", n, e)
		x.log("shutdown %s", sys.Name(x.k.ShutdownWrite(fd)))
	}},
	{"a connection that was refused", func(x *script) {
		fd := x.refused()
		defer x.k.Close(fd)
		x.events()
		x.k.EpollAdd(x.ep, fd, allEvents, 'r')
		x.events()
		x.soError(fd)
		x.soError(fd)
		x.recv(fd, 1)
	}},
}
