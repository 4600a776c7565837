package peers

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// An NPMSpec describes a peer of the npm package. The zero value is a peer without a port.
type NPMSpec struct {
	Spec

	// ID is the id to have instead of one from Seed, or a random one.
	ID protocol.ID

	// Hold keeps the peer from making links by itself: it dials its bootstraps and what
	// Connect names, and answers no handshake.
	Hold bool

	// FakeWebRTC makes the peer announce WebRTC, which it cannot use.
	FakeWebRTC bool

	// WebRTC returns the peer the WebRTC of Chromium, in Node.
	WebRTC bool
}

// An NPMPeer is a peer of the npm package in a Driver.
type NPMPeer struct {
	driver *Driver
	name   string
	id     protocol.ID
	url    string
	events *Log[Event]
	owned  bool // no other peer uses the driver

	mu        sync.Mutex
	destroyed bool
}

var _ Peer = (*NPMPeer)(nil)

// NPM is the npm package in a Node process for each peer.
func NPM() Kind {
	return Kind{Name: "js", Start: func(ctx context.Context, spec Spec) (Peer, error) {
		d, err := StartDriver(ctx)
		if err != nil {
			return nil, err
		}
		p, err := d.Peer(ctx, NPMSpec{Spec: spec})
		if err != nil {
			return nil, errors.Join(err, d.Close())
		}
		p.owned = true
		return p, nil
	}}
}

// Peer starts a peer of the npm package, and returns when it listens if it shall. Names
// are unique in a driver.
func (d *Driver) Peer(ctx context.Context, spec NPMSpec) (*NPMPeer, error) {
	p := &NPMPeer{driver: d, name: spec.Name, events: NewLog[Event]("npm peer " + spec.Name)}
	d.listen("peer", spec.Name, p.event, p.events.End)
	args := map[string]any{"peer": spec.Name, "bootstrap": spec.Bootstrap, "hold": spec.Hold}
	switch {
	case spec.WebRTC:
		args["wrtc"] = "real"
	case spec.FakeWebRTC:
		args["wrtc"] = "fake"
	}
	if spec.Listen {
		args["port"] = spec.Port
	}
	switch {
	case spec.ID != protocol.ID{}:
		args["nodeId"] = spec.ID.String()
	case spec.Seed != [32]byte{}:
		sum := sha256.Sum256(spec.Seed[:])
		args["nodeId"] = protocol.ID(sum[:wire.IDSize]).String()
	}
	var result struct {
		NodeID protocol.ID
		URL    string
	}
	if err := d.call(ctx, "create", args, &result); err != nil {
		return nil, fmt.Errorf("%s: %w", spec.Name, err)
	}
	p.id, p.url = result.NodeID, result.URL
	return p, nil
}

func (p *NPMPeer) event(e driverEvent) {
	node, err := protocol.ParseID(e.Node)
	if err != nil {
		p.events.End(fmt.Errorf("itest: %s event of npm peer %s: %w", e.Event, p.name, err))
		return
	}
	ev := Event{Kind: EventKind(e.Event), Node: node}
	if e.Text != nil {
		ev.Data = json.RawMessage(*e.Text)
	}
	p.events.Add(ev)
}

// ID implements Peer.
func (p *NPMPeer) ID() protocol.ID { return p.id }

// Name is its name in the driver.
func (p *NPMPeer) Name() string { return p.name }

// URL implements Peer.
func (p *NPMPeer) URL() string { return p.url }

// Events implements Peer.
func (p *NPMPeer) Events() *Log[Event] { return p.events }

// Send implements Peer. An exception of the package is returned as the error.
func (p *NPMPeer) Send(ctx context.Context, to protocol.ID, data any) error {
	value, err := driverValue(data)
	if err != nil {
		return err
	}
	return p.call(ctx, "send", map[string]any{"to": to.String(), "value": value}, nil)
}

// SendAll sends user messages in order, in one turn of the peer's event loop.
func (p *NPMPeer) SendAll(ctx context.Context, to protocol.ID, data []any) error {
	values := make([]map[string]string, len(data))
	for i := range data {
		var err error
		if values[i], err = driverValue(data[i]); err != nil {
			return err
		}
	}
	return p.call(ctx, "sendAll", map[string]any{"to": to.String(), "values": values}, nil)
}

// Connect implements Peer.
func (p *NPMPeer) Connect(ctx context.Context, to protocol.ID) error {
	return p.call(ctx, "connect", map[string]any{"to": to.String()}, nil)
}

// Disconnect implements Peer.
func (p *NPMPeer) Disconnect(ctx context.Context, to protocol.ID) error {
	return p.call(ctx, "disconnect", map[string]any{"to": to.String()}, nil)
}

// NPMStats are figures of a peer of the npm package.
type NPMStats struct {
	Count      int           // links in its table
	Peers      []protocol.ID // their ids
	Candidates int           // ids that it heard of
	Pending    int           // handshakes that it takes to be in progress
	Queued     int           // messages that wait for the first link
}

// Stats returns the figures of the peer.
func (p *NPMPeer) Stats(ctx context.Context) (NPMStats, error) {
	var s NPMStats
	err := p.call(ctx, "stats", nil, &s)
	return s, err
}

// Peers implements Peer.
func (p *NPMPeer) Peers(ctx context.Context) ([]protocol.ID, error) {
	s, err := p.Stats(ctx)
	return s.Peers, err
}

// Destroy implements Peer. Unlike the package it may be called again.
func (p *NPMPeer) Destroy(ctx context.Context) error {
	p.mu.Lock()
	again := p.destroyed
	p.destroyed = true
	p.mu.Unlock()
	if again {
		return nil
	}
	return p.call(ctx, "destroy", nil, nil)
}

// Close implements Peer. A peer that shares its driver with others ends with that.
func (p *NPMPeer) Close() error {
	if !p.owned {
		return nil
	}
	return p.driver.Close()
}

func (p *NPMPeer) call(ctx context.Context, op string, args map[string]any, result any) error {
	all := map[string]any{"peer": p.name}
	for k, v := range args {
		all[k] = v
	}
	if err := p.driver.call(ctx, op, all, result); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// driverValue writes a value the way js/peers.js decodes it.
func driverValue(data any) (map[string]string, error) {
	switch v := data.(type) {
	case Undefined:
		return map[string]string{}, nil
	case JS:
		return map[string]string{"js": string(v)}, nil
	case json.RawMessage:
		return map[string]string{"json": string(v)}, nil
	case []byte:
		return map[string]string{"base64": base64.StdEncoding.EncodeToString(v)}, nil
	}
	text, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("itest: value to send: %w", err)
	}
	return map[string]string{"json": string(text)}, nil
}
