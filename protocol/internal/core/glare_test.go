package core

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A pipe is one direction of a link between the two cores: frames in order.
type pipe []*wire.Frame

// A glareEnd is one end of one of the two links.
type glareEnd struct {
	info    wire.LinkInfo
	handle  LinkHandle
	up      bool // LinkUp was called
	down    bool // LinkDown was called
	byeSent bool
	byeSeen bool
	in      *pipe
	out     *pipe
}

// A glarePeer is one of the two cores and its shell.
type glarePeer struct {
	core *Core
	ends []*glareEnd
	got  map[string]int
	sent int
	ups  int
}

func (p *glarePeer) act() {
	for _, a := range p.core.Actions() {
		switch a.Type {
		case Transmit:
			e := p.end(a.Link)
			if !e.byeSent {
				*e.out = append(*e.out, a.Frame)
			}
			p.core.Written(p.core.now, a.Link, 1, a.Frame.Size())
		case CloseLink:
			if e := p.end(a.Link); !e.byeSent {
				e.byeSent = true
				*e.out = append(*e.out, wire.NewBye(a.Reason))
			}
		case Deliver:
			p.got[string(a.Frame.Body.Payload)]++
		case PeerUp:
			p.ups++
		case Compose:
			defer func() {
				p.core.Compose(a.Draft)
				p.core.Composed(p.core.now, a.Draft)
				p.act()
			}()
		}
	}
}

func (p *glarePeer) end(h LinkHandle) *glareEnd {
	for _, e := range p.ends {
		if e.handle == h {
			return e
		}
	}
	panic("no such link")
}

// steps returns the steps of which one can be next at this peer.
func (p *glarePeer) steps(t *testing.T, now time.Duration) (steps []func()) {
	for _, e := range p.ends {
		switch {
		case !e.up:
			steps = append(steps, func() {
				e.up = true
				if err := p.core.LinkUp(now, e.handle, e.info, Inbound()); err != nil {
					t.Fatal(err)
				}
			})
		case !e.down && e.byeSent && e.byeSeen:
			steps = append(steps, func() {
				e.down = true
				p.core.LinkDown(now, e.handle, nil)
			})
		case !e.down && !e.byeSeen && len(*e.in) > 0:
			steps = append(steps, func() {
				f := (*e.in)[0]
				*e.in = (*e.in)[1:]
				e.byeSeen = f.Type == wire.FrameBye
				p.core.Receive(now, e.handle, reread(t, f))
			})
		}
	}
	return steps
}

// reread returns the frame as the other end of a stream reads it.
func reread(t testing.TB, f *wire.Frame) *wire.Frame {
	f, err := wire.ParseFrame(unframed(t, f))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// unframed returns a copy of the bytes of a frame without its length prefix.
func unframed(t testing.TB, f *wire.Frame) []byte {
	b, err := f.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b[len(b)-f.Size():]
}

// TestOneLink has two peers open two links at the same instant while both send messages. It
// tries the steps that follow in a thousand random orders. Each time the same one link is left
// at both ends, and every message arrives once.
func TestOneLink(t *testing.T) {
	const rounds, messages = 1000, 5
	kept := map[string]int{}
	for seed := range uint64(rounds) {
		rng := rand.New(rand.NewPCG(seed, 1))
		ids := []wire.ID{abbreviated("40"), abbreviated("c0")}
		openers := []string{"a", "b"}
		if rng.IntN(2) == 0 {
			openers[1] = "a" // one peer opened both
		}
		peers := make([]*glarePeer, 2)
		for i := range peers {
			peers[i] = &glarePeer{core: newTestCore(ids[i], nil), got: map[string]int{}}
		}
		for n, opener := range openers {
			value := rng.Uint64()
			pipes := []*pipe{new(pipe), new(pipe)}
			for i, p := range peers {
				p.ends = append(p.ends, &glareEnd{handle: LinkHandle(n + 1), in: pipes[i], out: pipes[1-i], info: wire.LinkInfo{
					ID: ids[1-i], Kind: wire.LinkNative, Proved: true, Dialed: n == i, Opener: opener, Value: value}})
			}
		}
		now := time.Duration(0)
		for {
			now += time.Millisecond
			var steps []func()
			for i, p := range peers {
				steps = append(steps, p.steps(t, now)...)
				if p.sent < messages {
					steps = append(steps, func() {
						p.sent++
						f, err := p.core.NewFrame(Outgoing{To: ids[1-i], Form: wire.FormJSON, Payload: fmt.Append(nil, p.sent)}, p.core.Draw())
						if err == nil {
							err = p.core.Send(now, f, OwnMessage)
						}
						if err != nil {
							t.Fatal(err)
						}
					})
				}
			}
			if len(steps) == 0 {
				break
			}
			steps[rng.IntN(len(steps))]()
			for _, p := range peers {
				p.act()
			}
		}
		var left [2]string
		for i, p := range peers {
			for _, e := range p.ends {
				if !e.down {
					left[i] += fmt.Sprint(e.info.Opener, e.handle)
				}
			}
			if p.core.table.Len() != 1 || len(p.core.byHandle) != 1 {
				t.Fatalf("seed %d: %d links, %d in the table", seed, len(p.core.byHandle), p.core.table.Len())
			}
			for n := 1; n <= messages; n++ {
				if p.got[fmt.Sprint(n)] != 1 {
					t.Fatalf("seed %d: peer %d got message %d %d times", seed, i, n, p.got[fmt.Sprint(n)])
				}
			}
			if p.ups == 0 {
				t.Fatalf("seed %d: peer %d got no PeerUp", seed, i)
			}
		}
		if left[0] != left[1] || left[0] != "a1" && (openers[1] == "b" || left[0] != "a2") {
			t.Fatalf("seed %d: one end keeps %s, the other %s", seed, left[0], left[1])
		}
		kept[left[0]]++
	}
	if kept["a2"] == 0 {
		t.Error("the value never decided, so this test checks less than it says")
	}
}
