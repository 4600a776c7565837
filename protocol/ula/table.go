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

// MaxPeers is how many peers a Table holds.
const MaxPeers = 1 << 16

// prefix is the first byte of the locally assigned addresses of RFC 4193.
const prefix = 0xfd

// told is how many bytes of an id stand in its address.
const told = 15

// ErrUnknown says that a Table has no peer for an address. It wraps
// syscall.EHOSTUNREACH.
var ErrUnknown = fmt.Errorf("ula: no peer is known by this address: %w", syscall.EHOSTUNREACH)

// AddrOf returns the address of a peer, the same everywhere.
func AddrOf(id wire.ID) netip.Addr { return join(id[:told]) }

func join(b []byte) netip.Addr {
	a := [16]byte{prefix}
	copy(a[1:], b)
	return netip.AddrFrom16(a)
}

// A Table holds peers by their ids and by their addresses. It may be used by any number
// of sockets and goroutines.
type Table struct {
	mu     sync.Mutex
	byAddr map[netip.Addr]*list.Element
	byID   map[wire.ID]*list.Element
	used   list.List // of *entry, the latest used first
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

// Add makes a peer known and returns its address in this table. That is AddrOf, unless
// another peer has that already. proved says that the id is not merely claimed: such a
// peer takes its address from one whose id is not proved, now or whenever the proof
// comes; both have another address from then on. A peer whose address was taken has it
// again once the other one is forgotten.
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
		t.move(e, own) // perhaps back: the peer that had it was forgotten
	} else if other := holder.Value.(*entry); other.id != id && peer.proved && !other.proved {
		t.move(holder, t.spare(other.id))
		t.move(e, own)
	} else if !peer.addr.IsValid() {
		t.move(e, t.spare(id))
	}
	return peer.addr
}

// move assigns an unused address to a peer. The one that it had becomes unused: what is
// written there must not reach another peer.
func (t *Table) move(e *list.Element, addr netip.Addr) {
	peer := e.Value.(*entry)
	delete(t.byAddr, peer.addr)
	peer.addr = addr
	t.byAddr[addr] = e
}

// spare returns an address for a peer whose own is taken.
func (t *Table) spare(id wire.ID) netip.Addr {
	sum := sha256.Sum256(id[:])
	for t.byAddr[join(sum[:told])] != nil {
		sum = sha256.Sum256(sum[:])
	}
	return join(sum[:told])
}

// ID returns the peer that has an address.
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
