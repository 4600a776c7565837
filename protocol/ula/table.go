package ula

import (
	"container/list"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"sync"
	"syscall"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// MaxPeers is the number of peers that a Table holds.
const MaxPeers = 1 << 16

const (
	prefix   = 0xfd // first byte of the locally assigned addresses of RFC 4193
	idPrefix = 15   // bytes of an id in its address
)

// ErrUnknown means that no peer with an address is known. It wraps syscall.EHOSTUNREACH.
var ErrUnknown = fmt.Errorf("ula: no peer with this address is known: %w", syscall.EHOSTUNREACH)

// AddrOf returns the address of a peer, which is the same in every network.
func AddrOf(id wire.ID) netip.Addr { return join(id[:idPrefix]) }

// join returns the address with these bytes after the prefix.
func join(b []byte) netip.Addr {
	a := [16]byte{prefix}
	copy(a[1:], b)
	return netip.AddrFrom16(a)
}

// A Table maps peers to their addresses and back. Several sockets may share one, and all
// methods may be called from any goroutine.
type Table struct {
	mu     sync.Mutex
	byAddr map[netip.Addr]*list.Element
	byID   map[wire.ID]*list.Element
	used   list.List // of *entry, the most recently used first
}

type entry struct {
	id     wire.ID
	addr   netip.Addr
	proved bool
}

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{byAddr: make(map[netip.Addr]*list.Element), byID: make(map[wire.ID]*list.Element)}
}

// Add adds a peer and returns its address in this table. That is AddrOf(id), unless another
// peer has it. proved means that the id is proved, and not only claimed. A proved peer takes
// its address from a peer that is not proved, even if the proof arrives later. Then the
// address of both changes. A peer whose address was taken gets it again after the other one
// was evicted.
func (t *Table) Add(id wire.ID, proved bool) netip.Addr {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.byID[id]
	if e == nil {
		if t.used.Len() >= MaxPeers {
			oldest := t.used.Remove(t.used.Back()).(*entry)
			delete(t.byAddr, oldest.addr)
			delete(t.byID, oldest.id)
		}
		e = t.used.PushFront(&entry{id: id})
		t.byID[id] = e
	}
	t.used.MoveToFront(e)
	peer := e.Value.(*entry)
	peer.proved = peer.proved || proved
	own := AddrOf(id)
	if holder := t.byAddr[own]; holder == nil {
		t.move(e, own) // for a new peer, or if the peer that had taken it was evicted
	} else if other := holder.Value.(*entry); other.id != id && peer.proved && !other.proved {
		t.move(holder, t.spare(other.id))
		t.move(e, own)
	} else if !peer.addr.IsValid() {
		t.move(e, t.spare(id))
	}
	return peer.addr
}

// move assigns an unused address to a peer. Its former address becomes unused, so that
// datagrams to it do not reach another peer.
func (t *Table) move(e *list.Element, addr netip.Addr) {
	peer := e.Value.(*entry)
	delete(t.byAddr, peer.addr)
	peer.addr = addr
	t.byAddr[addr] = e
}

// spare returns an unused address for a peer whose own is taken.
func (t *Table) spare(id wire.ID) netip.Addr {
	sum := sha256.Sum256(id[:])
	for t.byAddr[join(sum[:idPrefix])] != nil {
		sum = sha256.Sum256(sum[:])
	}
	return join(sum[:idPrefix])
}

// ID returns the id of the peer with an address, and whether the table has it.
func (t *Table) ID(addr netip.Addr) (wire.ID, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.byAddr[addr]
	if e == nil {
		return wire.ID{}, false
	}
	t.used.MoveToFront(e)
	return e.Value.(*entry).id, true
}
