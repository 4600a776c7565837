package plays

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/itest/jsongen"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	// valueDepth is the most objects and arrays inside each other in a value: a message has
	// two around it and at most 1,000 in all.
	valueDepth = 998

	// A batch of Values is in flight at once. It has to fit the queue of a link: 8,192 frames
	// and 4 MiB.
	batchDocuments = 500
	batchBytes     = 256 << 10

	userHead = `"data":{"type":"user","data":`
)

// A ValuesReport is the result of Values.
type ValuesReport struct {
	Documents   int
	FixedPoints int             // of JSON.stringify(JSON.parse(x))
	Bytes       int             // of all documents
	Batches     []time.Duration // from the first send to the last receipt of each
}

// Values sends generated documents from JS peers through two of our relays to JS peers:
//
//	bare WebSocket ─┐                                  ┌─ bare WebSocket
//	    npm client ─┴─ relay ── /peer-relay/1 ── relay ─┴─ npm client
//
// The bare one sends each document as it was generated, to either receiver; npm clients
// send it as their JSON.stringify writes it, and back. Npm clients must receive the result of
// Node's own JSON.stringify(JSON.parse(x)), and the bare one the very bytes. Values returns
// at the first difference.
func Values(ctx context.Context, binary string, seed uint64, documents int) (report *ValuesReport, err error) {
	v := &values{generator: jsongen.New(seed, valueDepth)}
	defer func() { err = errors.Join(err, v.closers.Close()) }()
	if err := v.start(ctx, binary); err != nil {
		return nil, err
	}
	for v.report.Documents < documents {
		if err := v.batch(ctx, min(batchDocuments, documents-v.report.Documents)); err != nil {
			return nil, fmt.Errorf("itest: after %d documents: %w", v.report.Documents, err)
		}
	}
	return &v.report, v.check(ctx)
}

type values struct {
	generator *jsongen.Generator
	report    ValuesReport
	closers   peers.Closers

	relays       [2]*peers.GoPeer
	senders      *peers.Driver // the near side
	bare         *peers.Raw
	bareID       protocol.ID
	near, far    *peers.NPMPeer
	target       *peers.Raw
	targetID     protocol.ID
	nonce        int
	nearGot      int // messages that near has received, and so on
	farGot       int
	targetFrames int
}

func (v *values) start(ctx context.Context, binary string) error {
	for i := range v.relays {
		spec := peers.Spec{Name: fmt.Sprintf("relay%d", i), Listen: true}
		if i > 0 {
			spec.Bootstrap = v.relays[i-1].Ready.Addrs[:1]
		}
		relay, err := peers.StartGo(ctx, binary, spec)
		if err != nil {
			return err
		}
		v.closers.Add(relay.Close)
		v.relays[i] = relay
	}
	var drivers [2]*peers.Driver
	for i := range drivers {
		d, err := peers.StartDriver(ctx)
		if err != nil {
			return err
		}
		v.closers.Add(d.Close)
		drivers[i] = d
	}
	v.senders = drivers[0]
	var err error
	if v.near, err = drivers[0].Peer(ctx, peers.NPMSpec{Spec: peers.Spec{Name: "near", Bootstrap: []string{v.relays[0].URL()}}, Hold: true}); err != nil {
		return err
	}
	if v.far, err = drivers[1].Peer(ctx, peers.NPMSpec{Spec: peers.Spec{Name: "far", Bootstrap: []string{v.relays[1].URL()}}, Hold: true}); err != nil {
		return err
	}
	v.bareID, v.targetID = vectorID("bare"), vectorID("target")
	if v.bare, err = dialLegacy(ctx, drivers[0], "bare", v.relays[0], v.bareID); err != nil {
		return err
	}
	if v.target, err = dialLegacy(ctx, drivers[1], "target", v.relays[1], v.targetID); err != nil {
		return err
	}
	for _, relay := range v.relays {
		if err := peers.WaitLinks(ctx, relay.URL(), 3); err != nil { // the other, and two clients
			return err
		}
	}
	return nil
}

// dialLegacy makes a bare WebSocket a legacy peer of a node.
func dialLegacy(ctx context.Context, d *peers.Driver, name string, node *peers.GoPeer, id protocol.ID) (*peers.Raw, error) {
	raw, err := d.DialRaw(ctx, name, node.URL(), peers.RawOptions{})
	if err != nil {
		return nil, err
	}
	return raw, raw.SendText(ctx, peers.HelloText(id),
		legacyText(node.ID(), id, "0", fmt.Sprintf(`{"type":"findPeers","data":"%v"}`, id)))
}

// legacyText is a message as its origin writes it.
func legacyText(to, from protocol.ID, nonce, data string) string {
	return fmt.Sprintf(`{"to":"%v","from":"%v","path":["%v"],"nonce":"%s","data":%s}`, to, from, from, nonce, data)
}

// batch generates documents and sends each on all four ways.
func (v *values) batch(ctx context.Context, most int) error {
	var documents []string
	size := 0
	for len(documents) < most && size < batchBytes {
		documents = append(documents, string(v.generator.Document()))
		size += len(documents[len(documents)-1])
	}
	canon, err := v.senders.Canon(ctx, documents)
	if err != nil {
		return err
	}
	var frames []string
	for i, doc := range documents {
		if canon[i].Error != "" {
			return fmt.Errorf("node refuses %.300q: %s", doc, canon[i].Error)
		}
		for _, to := range []protocol.ID{v.targetID, v.far.ID()} {
			v.nonce++
			frames = append(frames, legacyText(to, v.bareID, fmt.Sprint(v.nonce), `{"type":"user","data":`+doc+`}`))
		}
	}
	started := time.Now()
	err = both(
		func() error { return v.bare.SendText(ctx, frames...) },
		func() error { return v.there(ctx, documents, canon) },
	)
	if err != nil {
		return err
	}
	// The same values again as npm clients write them, in both directions.
	data := make([]any, len(documents))
	for i, doc := range documents {
		data[i] = json.RawMessage(doc)
		if canon[i].Text == doc {
			v.report.FixedPoints++
		}
	}
	if err := v.near.SendAll(ctx, v.far.ID(), data); err != nil {
		return err
	}
	if err := v.far.SendAll(ctx, v.near.ID(), data); err != nil {
		return err
	}
	if err := receivedCanon(ctx, v.far, &v.farGot, v.near.ID(), documents, canon); err != nil {
		return err
	}
	if err := receivedCanon(ctx, v.near, &v.nearGot, v.far.ID(), documents, canon); err != nil {
		return err
	}
	v.report.Batches = append(v.report.Batches, time.Since(started))
	v.report.Documents += len(documents)
	v.report.Bytes += size
	return nil
}

// there receives what the bare WebSocket sent.
func (v *values) there(ctx context.Context, documents []string, canon []peers.Canon) error {
	mine := fmt.Sprintf(`{"to":"%v",`, v.targetID)
	for i := 0; i < len(documents); {
		frames, err := v.target.Frames.Next(ctx, v.targetFrames)
		if err != nil {
			return err
		}
		v.targetFrames += len(frames)
		for _, f := range frames {
			_, text, is := strings.Cut(f.Text, userHead)
			if !is || !strings.HasPrefix(f.Text, mine) {
				continue // the overlay's, or a copy for a peer that may be beyond this one
			}
			// Behind the value there may only be the extension of our relays.
			var rest string
			if i < len(documents) {
				rest, is = strings.CutPrefix(text, documents[i])
			}
			if i == len(documents) || !is || rest != `}}` && !strings.HasPrefix(rest, `},"pr":{`) {
				return fmt.Errorf("document %.2000q came over the wire in %.3000q", documents[min(i, len(documents)-1)], f.Text)
			}
			i++
		}
	}
	return receivedCanon(ctx, v.far, &v.farGot, v.bareID, documents, canon)
}

// receivedCanon checks the next messages of an npm client.
func receivedCanon(ctx context.Context, p *peers.NPMPeer, got *int, from protocol.ID, documents []string, canon []peers.Canon) error {
	for i := 0; i < len(documents); {
		events, err := p.Events().Next(ctx, *got)
		if err != nil {
			return err
		}
		for _, e := range events {
			*got++
			if e.Kind != peers.EventMessage {
				continue
			}
			if e.Node != from || string(e.Data) != canon[i].Text {
				return fmt.Errorf("document %.2000q reached %s as %.2000q from %v, want %.2000q from %v", documents[i], p.Name(), e.Data, e.Node, canon[i].Text, from)
			}
			if i++; i == len(documents) {
				break // the next ones are for the next call
			}
		}
	}
	return nil
}

// check checks the counters of the relays.
func (v *values) check(ctx context.Context) error {
	for _, relay := range v.relays {
		status, err := peers.FetchStatus(ctx, relay.URL())
		if err != nil {
			return err
		}
		if drops := status.Drops(); len(drops) > 0 {
			return fmt.Errorf("itest: a relay dropped %v", drops)
		}
		if status.Counters["forwarded"] != uint64(4*v.report.Documents) {
			return fmt.Errorf("itest: a relay counted %d messages forwarded, want %d", status.Counters["forwarded"], 4*v.report.Documents)
		}
	}
	return nil
}

// vectorID is the id of a peer in the vectors. It is fixed, so that nothing but nonces
// and ports differs between recordings.
func vectorID(name string) protocol.ID {
	sum := sha256.Sum256([]byte("peer-relay legacy vectors " + name))
	return protocol.ID(sum[:wire.IDSize])
}
