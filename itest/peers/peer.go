package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"github.com/peer-relay/peer-relay/protocol"
)

// A Peer is a peer with the legacy API, of any author, in any kind of process. Its methods
// may be called from any goroutine.
type Peer interface {
	// ID is the peer's address.
	ID() protocol.ID

	// URL is the ws:// URL at which it listens, "" if it does not.
	URL() string

	// Send sends a user message. data is Undefined, JS, a json.RawMessage (whose text is
	// kept), a []byte (a Node Buffer), or anything that encoding/json encodes.
	Send(ctx context.Context, to protocol.ID, data any) error

	// Connect asks for a link to a peer and returns before there is one.
	Connect(ctx context.Context, to protocol.ID) error

	// Disconnect closes the link to a peer, if there is one.
	Disconnect(ctx context.Context, to protocol.ID) error

	// Peers returns the ids of the peers with a link.
	Peers(ctx context.Context) ([]protocol.ID, error)

	// Destroy ends the peer by its API, and returns when that reports the end.
	Destroy(ctx context.Context) error

	// Events is everything that the peer reported so far.
	Events() *Log[Event]

	// Close frees what the peer ran in, destroyed before or not, and returns an error if
	// it had crashed. It may be called again.
	Close() error
}

// An Event is something that a peer reported.
type Event struct {
	Kind EventKind

	// Node is the other peer of EventPeer and EventDisconnect, and the sender of EventMessage.
	Node protocol.ID

	// Data is the value of an EventMessage as JSON text; nil is undefined. Of an
	// EventError it is the text.
	Data json.RawMessage

	// Proved reports whether the id of the sender of an EventMessage is proved, or the receipt
	// of an EventReceipt. Only our binary reports it.
	Proved bool

	// Handed and Kept, of an EventReceipt, report that the receiver makes no receipts, and that a
	// mailbox keeps the message. Tag is that of the message of an EventReceipt or EventError, and
	// Status is what the error says of it: 4 that no peer has the id, 5 that it is unknown whether it
	// arrived.
	Handed, Kept bool
	Tag          json.RawMessage
	Status       int

	// Path is the path of an EventMessage, its origin first. Only pages report it.
	Path []protocol.ID
}

func (e Event) String() string {
	switch e.Kind {
	case EventMessage:
		return fmt.Sprintf("%s from %s: %s", e.Kind, e.Node, e.Data)
	case EventError:
		return fmt.Sprintf("%s: %s", e.Kind, e.Data)
	}
	return fmt.Sprintf("%s %s", e.Kind, e.Node)
}

// An EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	EventPeer       EventKind = "peer"       // a link is up
	EventDisconnect EventKind = "disconnect" // a link is gone
	EventMessage    EventKind = "message"    // a user message came
	EventReceipt    EventKind = "receipt"    // a reliable message to a peer has a receipt
	EventError      EventKind = "error"      // the peer reports an error
)

// Undefined is JavaScript's undefined: a user message without data.
type Undefined struct{}

// JS is a JavaScript expression, for values that JSON does not have. Only npm peers take it.
type JS string

// A Spec describes a peer of a scenario.
type Spec struct {
	// Name is for reports.
	Name string

	// Seed is the source of the peer's id or key; zero means random.
	Seed [32]byte

	// Listen returns the peer a port of its own, so that others can dial it: a free one,
	// or Port.
	Listen bool
	Port   int

	// Bootstrap are ws:// URLs to connect to.
	Bootstrap []string

	// On is the host where the peer runs. Nil is this machine, where it listens on
	// Loopback only. Only our binary can run elsewhere.
	On *LANHost
}

// A Kind can play a part.
type Kind struct {
	// Name is short: "js", "go".
	Name string

	// Start starts a peer in a process of its own. The context bounds only the start; Close
	// ends the peer.
	Start func(ctx context.Context, spec Spec) (Peer, error)
}

// Casts returns every cast of n parts with kinds, in a fixed order.
func Casts(kinds []Kind, n int) [][]Kind {
	casts := [][]Kind{nil}
	for range n {
		var longer [][]Kind
		for _, cast := range casts {
			for _, kind := range kinds {
				longer = append(longer, append(cast[:len(cast):len(cast)], kind))
			}
		}
		casts = longer
	}
	return casts
}

// CastName writes a cast as "js-go-js".
func CastName(cast []Kind) string {
	name := ""
	for i, kind := range cast {
		if i > 0 {
			name += "-"
		}
		name += kind.Name
	}
	return name
}

// IsPeer matches the link to a peer coming up.
func IsPeer(id protocol.ID) func(Event) bool {
	return func(e Event) bool { return e.Kind == EventPeer && e.Node == id }
}

// IsText matches a message from a peer that is a text.
func IsText(from protocol.ID, text string) func(Event) bool {
	want, _ := json.Marshal(text) // no error: it is a string
	return func(e Event) bool {
		return e.Kind == EventMessage && e.Node == from && string(e.Data) == string(want)
	}
}

// IsDisconnect matches the link to a peer going down.
func IsDisconnect(id protocol.ID) func(Event) bool {
	return func(e Event) bool { return e.Kind == EventDisconnect && e.Node == id }
}

// IsKind matches every event of a kind.
func IsKind(kind EventKind) func(Event) bool {
	return func(e Event) bool { return e.Kind == kind }
}

// SeedSource returns a source of seeds that one number determines.
func SeedSource(seed uint64) *rand.ChaCha8 {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	return rand.NewChaCha8(key)
}
