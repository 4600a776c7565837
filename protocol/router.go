package protocol

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/kept"
	"github.com/peer-relay/peer-relay/protocol/packet"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A Role is what a peer offers to others.
type Role = wire.Role

const (
	RolePeer   Role = wire.RolePeer   // relays for others
	RoleLeaf   Role = wire.RoleLeaf   // a browser, or a peer that only dials out
	RoleServer Role = wire.RoleServer // a public relay: accepts every peer
)

// Options are the options of a Router. The zero value is a relay with a random id that signs
// nothing and dials no peer.
type Options struct {
	// ID is this peer's address. The zero ID means a random one.
	ID ID

	// Role is what this peer offers to others. By default it relays for all peers.
	Role Role

	// Key, Sign and Verify prove ids. Key is the public key that hashes to ID. Verify
	// returns the hash of key, and reports whether sig is its signature of data. Without
	// Sign no message is signed. Without Verify no signature proves a message. Several
	// goroutines call Sign and Verify concurrently.
	Key    []byte
	Sign   func(data []byte) (sig []byte, err error)
	Verify func(key, data, sig []byte) (ID, bool)

	// SignMessages makes the router sign the messages of the application. It signs those of
	// the overlay anyway. A signature costs the sender and the receiver about 30 to 60 µs
	// each.
	SignMessages bool

	// Dialers open links. They are tried in this order.
	Dialers []Dialer

	// Bootstraps are dialled at the start until each has answered, and again when the link
	// is lost.
	Bootstraps []Contact

	// NoOverlay leaves the choice of links to the application.
	NoOverlay bool

	// OnMessage, OnPeer and OnPeerDown are called in order, and never concurrently, from a
	// goroutine of the router that does nothing else. While one runs, up to 8,192 messages or
	// 16 MiB are kept. Further messages are dropped and counted. No event of a peer is lost that
	// still matters: from 4,096 waiting events on, a peer that came and went meanwhile is left
	// out, and counted. So after its last event a handler knows which peers are linked, however
	// long it took. Without OnMessage, messages wait for Receive.
	OnMessage  func(Message)
	OnPeer     func(LinkInfo)
	OnPeerDown func(ID, error)

	// OnDialError is called in the same way when a dial of a bootstrap fails. The router
	// tries again. From 4,096 waiting events on, only the last error of a bootstrap is kept.
	OnDialError func(Contact, error)

	// NoTrace keeps this peer from being shown by the traces of others. It does not report to their
	// origins, which learn only its id, from the path. Agent is the name and version of the program
	// that it reports otherwise: at most 64 characters of ASCII. "" means that none is told.
	NoTrace bool
	Agent   string

	// Store makes this peer a mailbox: it keeps messages for peers that are offline, if their origins
	// ask for it, and hands them over when there is a link again. It needs Sign and Verify, and a
	// leaf can be none. The caller closes the Store after the router. Nil means that nothing is kept.
	Store kept.Store

	// Linger is the longest time for which Close waits for what the application has sent. 0
	// means DefaultLinger, and a negative value no time.
	Linger time.Duration

	// Seeks means that links are sought outside of the router, as by a DHT. So Close waits for
	// a first link even if there are no Bootstraps.
	Seeks bool

	// OnLinkUp and OnLinkDown are for what must not wait for the handlers above. They are called
	// for the same events as OnPeer and OnPeerDown, before these, in order and never
	// concurrently. They must not block.
	OnLinkUp   func(LinkInfo)
	OnLinkDown func(ID, error)

	// Logger gets a line at debug level for each dropped message and for each change of a
	// link. It gets a line at LevelTrace for each other step of a message, also for a dropped
	// duplicate or loop, so that a lost message can be followed by its digest through the
	// logs of all peers. A log that blocks holds up the links. Nil means no log.
	Logger *slog.Logger

	// Tracer is called for the same steps, from several goroutines. It must not block, and
	// must not call the router. Nil means that it is not called.
	Tracer func(Event)
}

const maxDrafts = 1024 // control messages that wait for their signature

// A Router is a peer. It sends, receives and relays messages over its links. Its methods may
// be called from any goroutine.
type Router struct {
	// Fixed after NewRouter.
	opts      Options
	id        ID
	log       *slog.Logger
	start     time.Time
	seed      maphash.Seed
	ctx       context.Context // done when the router closes
	stop      context.CancelFunc
	inbox     *inbox
	links     *inbox // of events for OnLinkUp and OnLinkDown; nil means none
	mailbox   *mailbox
	keeper    *keeper       // nil means no Store
	delivered chan struct{} // closed after the last delivery

	selves  selves
	sockets *packet.Sockets
	ending  atomic.Bool   // closing, for the writers of links
	wake    chan struct{} // signals run that wakeAt is earlier now
	drafts  chan *core.Draft
	tasks   sync.WaitGroup

	mu        sync.Mutex
	core      *core.Core
	served    map[core.LinkHandle]*served
	claims    map[int]chan error
	searches  map[int]chan found
	reliable  map[int]chan outcome
	lastID    uint64
	wakeAt    time.Duration
	dials     context.Context // of the dials in progress; stopDials ends it
	stopDials context.CancelCauseFunc
	closingAt time.Duration
	closing   bool          // the application sends no more; what it has sent is awaited
	closed    bool          // the links end
	until     time.Time     // when a closing router stops waiting
	stopping  chan struct{} // closed when the last link of a closing router ended
	moved     chan struct{} // holds a token if a closing router may have sent what it waits for
	sought    int           // dials of the application in progress

	unconfirmed int           // messages that links took lately whose other end has not answered the bye
	ended       chan struct{} // closed at the end of Close
	closeErr    error         // fixed when ended is closed
}

// NewRouter starts a router. It runs until Close.
func NewRouter(opts Options) (*Router, error) {
	if opts.Store != nil && (opts.Role == RoleLeaf || opts.Sign == nil || opts.Verify == nil) {
		return nil, errors.New("peer-relay: a peer with a Store wants Sign and Verify, and is no leaf")
	}
	if opts.ID == (ID{}) {
		cryptorand.Read(opts.ID[:])
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	var seed [32]byte
	cryptorand.Read(seed[:])
	r := &Router{
		opts:      opts,
		id:        opts.ID,
		log:       opts.Logger.With("self", opts.ID.Short()),
		start:     time.Now(),
		seed:      maphash.MakeSeed(),
		inbox:     newInbox(),
		mailbox:   newMailbox(),
		delivered: make(chan struct{}),
		wake:      make(chan struct{}, 1),
		drafts:    make(chan *core.Draft, maxDrafts),
		served:    make(map[core.LinkHandle]*served),
		claims:    make(map[int]chan error),
		searches:  make(map[int]chan found),
		reliable:  make(map[int]chan outcome),
		moved:     make(chan struct{}, 1),
		ended:     make(chan struct{}),
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	r.renewDials()
	r.sockets = packet.NewSockets(r.id, r.sendDatagram)
	r.core = core.NewCore(core.CoreConfig{
		Self: opts.ID, Role: opts.Role, Rand: rand.NewChaCha8(seed), Hash: r.hash,
		Bootstraps: len(opts.Bootstraps), Key: opts.Key, Sign: opts.Sign, Verify: opts.Verify, NoOverlay: opts.NoOverlay,
		NoTrace: opts.NoTrace, Agent: opts.Agent, Mailbox: opts.Store != nil,
	})
	r.core.Trace(r.traces())
	if opts.OnLinkUp != nil || opts.OnLinkDown != nil { // before anything can emit
		r.links = newInbox()
		r.links.removed = func(e *event) { close(e.noted) }
		r.tasks.Go(r.note) // ends when its inbox is closed; Close waits
	}
	if opts.Store != nil {
		r.keeper = newKeeper(opts.Store)
		r.tasks.Go(r.keep) // ends when ctx is done; Close waits
	}
	r.tasks.Go(r.run)     // ends when ctx is done; Close waits
	r.tasks.Go(r.compose) // ends when ctx is done; Close waits
	go r.deliver()        // ends when the inbox is closed; Close waits for handlerTime
	return r, nil
}

// hash returns a keyed hash of the four parts. The body may be long, so it is hashed in place.
func (r *Router) hash(from, nonce, body, sig []byte) uint64 {
	var room [128]byte // on the stack, unless the key of sig is RSA
	b := append(append(room[:0], from...), byte(len(nonce)))
	b = append(append(b, nonce...), sig...)
	b = binary.LittleEndian.AppendUint64(b, maphash.Bytes(r.seed, body))
	return maphash.Bytes(r.seed, b)
}

// ID returns this peer's address.
func (r *Router) ID() ID { return r.id }

func (r *Router) now() time.Duration { return time.Since(r.start) }

// enter runs an event in the core under the lock, and then performs the actions.
func (r *Router) enter(event func(c *core.Core, now time.Duration)) {
	var filled filledQueues
	r.mu.Lock()
	event(r.core, r.now())
	actions := r.settle(&filled)
	events := slices.Clone(r.core.Events())
	r.mu.Unlock()
	filled.signal() // without the lock, which the writers need
	r.perform(actions)
	r.tell(events)
}

// settle performs those actions of an event that need the lock, and returns the others. It
// does not block: queues, claims and the inbox are bounded. The caller signals the queues that it
// filled.
func (r *Router) settle(filled *filledQueues) (later []core.Action) {
	actions := r.core.Actions()
	for i := range actions {
		a := &actions[i] // it is large
		switch a.Type {
		case core.Transmit:
			if s := r.served[a.Link]; s != nil {
				s.queue.put(a.Frame, a.Bytes)
				filled.add(s.queue)
			}
		case core.CloseLink:
			if s := r.served[a.Link]; s != nil {
				r.endLink(s, a.Reason, a.Err)
			}
		case core.Deliver:
			if packet.IsDatagram(&a.Frame.Body) {
				r.deliverDatagram(a.Frame, a.Proved)
			} else if !r.inbox.putMessage(a.Frame, a.Proved) {
				r.core.Drop(DropInboxFull, a.Frame)
			}
		case core.PeerUp:
			if s := r.served[a.Link]; s != nil {
				r.emit(&event{kind: peerUp, peer: a.Peer, info: s.info})
			}
		case core.PeerDown:
			e := &event{kind: peerDown, peer: a.Peer}
			if s := r.served[a.Link]; s != nil {
				e.err = s.reason
			}
			r.emit(e)
		case core.BootstrapRefused:
			r.emit(&event{kind: dialFailed, contact: r.opts.Bootstraps[a.Index], err: a.Err})
		case core.Granted, core.Refused:
			if answer := r.claims[a.Index]; answer != nil {
				delete(r.claims, a.Index)
				answer <- a.Err // has room for one
			}
		case core.Found:
			if answer := r.searches[a.Index]; answer != nil {
				delete(r.searches, a.Index)
				answer <- found{a.IDs, a.Err} // has room for one
			}
		case core.Receipted:
			if done := r.reliable[a.Index]; done != nil {
				delete(r.reliable, a.Index)
				done <- outcome{*a.Receipt, a.Hops, a.Err} // has room for one
			}
		default:
			later = append(later, *a)
		}
	}
	if r.closing {
		r.signalMoved()
	}
	if next := r.core.NextWake(); next < r.wakeAt {
		r.wakeAt = next
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	return later
}

// perform starts the actions that may take long.
func (r *Router) perform(actions []core.Action) {
	for _, a := range actions {
		switch a.Type {
		case core.Dial:
			r.task(func() { r.dial(*a.Contact) })
		case core.DialBootstrap:
			r.task(func() { r.dialBootstrap(a.Index) })
		case core.Measure:
			r.measure(a.Link)
		case core.Signalled:
			r.signalled(a.Frame, a.Proved)
		case core.Keep, core.Fetch, core.Discard:
			r.keeper.put(a)
		case core.Compose:
			select {
			case r.drafts <- a.Draft:
			default: // this peer cannot sign as fast as it is asked
				r.enter(func(c *core.Core, now time.Duration) { c.NotComposed(now, a.Draft) })
			}
		}
	}
}

// task runs f on a goroutine, unless the router is closed. f must end soon after ctx is done,
// since Close waits for it.
func (r *Router) task(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.tasks.Go(f)
	}
}

// run calls the core's Tick whenever it is due.
func (r *Router) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.wake:
			r.mu.Lock()
			next := r.wakeAt
			r.mu.Unlock()
			timer.Reset(next - r.now())
		case <-timer.C:
			r.enter(func(c *core.Core, now time.Duration) {
				c.Trace(r.traces())
				c.Tick(now)
				r.wakeAt = c.NextWake()
			})
			r.mu.Lock()
			next := r.wakeAt
			r.mu.Unlock()
			timer.Reset(max(next-r.now(), time.Millisecond))
		}
	}
}

func (r *Router) drop(reason DropReason, f *wire.Frame) {
	r.enter(func(c *core.Core, _ time.Duration) { c.Drop(reason, f) })
}

// Drop counts a message that OnMessage got and the application dropped, since it had no room.
func (r *Router) Drop(reason DropReason) { r.drop(reason, nil) }

// compose makes the frames of control messages, one after the other and without the lock,
// since signatures take long.
func (r *Router) compose() {
	for {
		select {
		case <-r.ctx.Done():
			return
		case d := <-r.drafts:
			r.core.Compose(d)
			r.enter(func(c *core.Core, now time.Duration) { c.Composed(now, d) })
		}
	}
}

// Stats returns the counters.
func (r *Router) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.core.Stats()
	s.EventsMissed = r.inbox.eventsMissed()
	return s
}

// Peers returns the linked peers in the order of their ids.
func (r *Router) Peers() []LinkInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.Peers()
}
