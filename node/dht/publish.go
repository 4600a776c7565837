package dht

import (
	"context"
	"errors"
	"slices"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/node/internal/contact"
	"github.com/peer-relay/peer-relay/protocol"
)

const (
	republish    = 6 * time.Hour    // between announcements, which kad-dht forgets after 48 h
	publishRetry = 20 * time.Second // between a failed announcement and the next one
	maxHeld      = 4096             // legacy peers that are announced as held here
	maxProvides  = 8                // of those, announced in one tick, so that other tasks get a turn
)

// An advert is a rendezvous at which the node announces itself, and the time of the next
// announcement.
type advert struct {
	namespace string
	at        time.Time
}

// rendezvous returns the name at which nodes announce themselves. It is for nodes that share a
// DHT with many others and look for this network.
func (d *Directory) rendezvous() string { return string(d.conf.Protocol) }

// gatewayRendezvous returns the name at which nodes announce themselves that accept legacy
// peers.
func (d *Directory) gatewayRendezvous() string { return d.rendezvous() + "/gateway" }

// publish announces this node if an announcement is due, or if the addresses have changed. In a
// DHT of our own it also puts the node's record. A node that cannot sign is announced without a
// record.
func (d *Directory) publish(ctx context.Context) {
	addrs := d.filter(d.conf.Addrs())
	if len(addrs) == 0 || d.now().Before(d.publishAt) && slices.EqualFunc(addrs, d.told, ma.Multiaddr.Equal) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	var err error
	if d.own {
		rec, unsigned := contact.SealRecord(d.conf.Host.ID(), d.conf.Key, addrs)
		if unsigned != nil { // this will not change, so a retry would not help
			d.conf.Logger.Debug("DHT: no record to publish", "err", unsigned)
		}
		if rec != nil {
			err = d.kad.PutValue(ctx, recordKey(d.id), rec)
		}
	}
	next := republish
	if err = errors.Join(err, d.kad.Provide(ctx, cidOf(d.id), true)); err != nil {
		d.conf.Logger.Debug("DHT: not published", "err", err)
		next = publishRetry
	} else {
		d.published.Add(1)
	}
	d.told, d.publishAt = addrs, d.now().Add(next)
}

// advertise announces the node at each rendezvous where an announcement is due.
func (d *Directory) advertise(ctx context.Context) {
	for i := range d.adverts {
		a := &d.adverts[i]
		if d.now().Before(a.at) {
			continue
		}
		one, cancel := context.WithTimeout(ctx, lookupTimeout)
		ttl, err := d.disc.Advertise(one, a.namespace)
		cancel()
		if err != nil {
			d.conf.Logger.Debug("DHT: not announced", "rendezvous", a.namespace, "err", err)
			ttl = publishRetry
		}
		a.at = d.now().Add(ttl)
	}
}

// Hold records that a legacy peer has a link here.
func (d *Directory) Hold(id protocol.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.held) < maxHeld {
		d.held[id] = time.Time{}
	}
}

// Drop records that a peer no longer has a link here.
func (d *Directory) Drop(id protocol.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.held, id)
}

// Held returns the number of legacy peers that are announced as held here.
func (d *Directory) Held() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.held)
}

// provide announces held legacy peers, a few in each tick.
func (d *Directory) provide(ctx context.Context) {
	now := d.now()
	var due []protocol.ID
	d.mu.Lock()
	for id, at := range d.held {
		if now.After(at) && len(due) < maxProvides {
			due = append(due, id)
			d.held[id] = now.Add(republish)
		}
	}
	d.mu.Unlock()
	for _, id := range due {
		one, cancel := context.WithTimeout(ctx, lookupTimeout)
		err := d.kad.Provide(one, cidOf(id), true)
		cancel()
		if err == nil {
			continue
		}
		d.conf.Logger.Debug("DHT: legacy peer not announced", "peer", id.Short(), "err", err)
		d.mu.Lock()
		if _, still := d.held[id]; still {
			d.held[id] = now.Add(publishRetry)
		}
		d.mu.Unlock()
	}
}
