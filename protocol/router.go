package protocol

import (
	"context"
	cryptorand "crypto/rand"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/packet"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A Role says what a peer offers to others.
type Role = wire.Role

const (
	RolePeer   Role = wire.RolePeer   // relays for others
	RoleLeaf   Role = wire.RoleLeaf   // a browser, or a peer that only dials out
	RoleServer Role = wire.RoleServer // a public relay: takes every peer, dials its like
)

// Options says what a Router is to be. The zero value is a relay with a random id
// that signs nothing and dials no peer.
type Options struct {
	// ID is this peer's address. The zero ID means a random one.
	ID ID

	// Role is what this peer offers to others; the default relays for all.
	Role Role

	// Key, Sign and Verify prove ids. Key is the public key that ID is the hash of;
	// Verify returns the hash of key if sig is its signature of data. Without Sign no
	// message is signed, without Verify no signature is believed.
	Key    []byte
	Sign   func(data []byte) (sig []byte, err error)
	Verify func(key, data, sig []byte) (ID, bool)

	// SignMessages signs the messages of the application too, not only the
	// overlay's. A signature costs its sender and its receiver some 30 to 60 µs.
	SignMessages bool

	// Dialers open links. They are tried in this order.
	Dialers []Dialer

	// Bootstraps are dialled at the start, until each has answered, and again when
	// its link is lost.
	Bootstraps []Contact

	// NoOverlay leaves the choice of links to the application.
	NoOverlay bool

	// OnMessage, OnPeer and OnPeerDown are called in order, never two at once, from a
	// goroutine of the router. While one runs, up to 8,192 messages or 16 MiB are
	// kept; what comes then is dropped and counted. Without OnMessage, messages wait
	// for Receive.
	OnMessage  func(Message)
	OnPeer     func(LinkInfo)
	OnPeerDown func(ID, error)

	// OnDialError is called likewise when a bootstrap cannot be reached; it will be
	// tried again.
	OnDialError func(Contact, error)

	// Logger gets a line at debug level for what is dropped and for what happens to
	// links, and one at LevelTrace for each other step of a message, so that a lost message
	// can be followed by its digest through the logs of all peers. Nil discards.
	Logger *slog.Logger

	// Tracer is called for the same steps, from several goroutines. It must not block nor
	// call the router. Nil: not called.
	Tracer func(Event)
}

// maxDrafts is the number of control messages that wait for their signature.
const maxDrafts = 1024

// A Router is a peer: it sends, receives and relays messages over its links. All
// its methods may be called from any goroutine.
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
	mailbox   *mailbox
	delivered chan struct{} // closed when the last delivery was made

	sockets *packet.Sockets
	wake    chan struct{} // tells run that the core's next wake came nearer
	drafts  chan *core.Draft
	tasks   sync.WaitGroup

	mu        sync.Mutex
	core      *core.Core
	served    map[core.LinkHandle]*served
	claims    map[int]chan error
	searches  map[int]chan found
	lastID    uint64
	wakeAt    time.Duration
	dials     context.Context // of the dials in progress; stopDials ends it
	stopDials context.CancelCauseFunc
	closed    bool
	stopping  chan struct{} // closed when the last link of a closing router ended
}

// NewRouter starts a router. It runs until Close.
func NewRouter(opts Options) (*Router, error) {
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

		searches: make(map[int]chan found),
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	r.renewDials()
	r.sockets = packet.NewSockets(r.id, r.sendDatagram)
	r.core = core.NewCore(core.CoreConfig{
		Self: opts.ID, Role: opts.Role, Rand: rand.NewChaCha8(seed), Hash: r.hash,
		Bootstraps: len(opts.Bootstraps), Key: opts.Key, Sign: opts.Sign, Verify: opts.Verify, NoOverlay: opts.NoOverlay,
	})
	r.core.Trace(r.traces())
	r.tasks.Go(r.run)     // ends when ctx is done; Close waits
	r.tasks.Go(r.compose) // likewise
	r.tasks.Go(r.deliver) // ends when the inbox is closed; Close waits
	return r, nil
}

func (r *Router) hash(a, b, c, d []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	h.Write(a)
	h.WriteByte(byte(len(b)))
	h.Write(b)
	h.WriteByte(byte(len(d)))
	h.WriteByte(byte(len(d) >> 8))
	h.Write(d)
	h.Write(c)
	return h.Sum64()
}

// ID returns this peer's address.
func (r *Router) ID() ID { return r.id }

func (r *Router) now() time.Duration { return time.Since(r.start) }

// enter runs an event in the core and then does what follows from it.
func (r *Router) enter(event func(c *core.Core, now time.Duration)) {
	r.mu.Lock()
	event(r.core, r.now())
	actions := r.settle()
	events := slices.Clone(r.core.Events())
	r.mu.Unlock()
	r.perform(actions)
	r.tell(events)
}

// settle takes the actions of an event, does those that need the lock and returns
// the others. Queues, claims and the inbox are bounded and never block.
func (r *Router) settle() (later []core.Action) {
	for _, a := range r.core.Actions() {
		switch a.Type {
		case core.Transmit:
			if s := r.served[a.Link]; s != nil && !s.queue.put(a.Frame) && a.Frame.Type == wire.FrameMessage {
				r.core.Drop(DropLinkEnded, a.Frame)
			}
		case core.CloseLink:
			if s := r.served[a.Link]; s != nil {
				s.sayBye(a.Reason, a.Err)
			}
		case core.Deliver:
			if packet.IsDatagram(&a.Frame.Body) {
				r.deliverDatagram(a.Frame, a.Proved)
			} else if !r.inbox.putMessage(a.Frame, a.Proved) {
				r.core.Drop(DropInboxFull, a.Frame)
			}
		case core.PeerUp:
			if s := r.served[a.Link]; s != nil {
				r.inbox.put(func() {
					if r.opts.OnPeer != nil {
						r.opts.OnPeer(s.info)
					}
				})
			}
		case core.PeerDown:
			peer, why := a.Peer, error(nil) // a itself would be allocated, for each action
			if s := r.served[a.Link]; s != nil {
				why = s.reason
			}
			r.inbox.put(func() {
				if r.opts.OnPeerDown != nil {
					r.opts.OnPeerDown(peer, why)
				}
			})
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
		default:
			later = append(later, a)
		}
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

// perform starts what may take long.
func (r *Router) perform(actions []core.Action) {
	for _, a := range actions {
		switch a.Type {
		case core.Dial:
			r.task(func() { r.dial(a.Contact) })
		case core.DialBootstrap:
			r.task(func() { r.dialBootstrap(a.Index) })
		case core.Signalled:
			r.signalled(a.Frame, a.Proved)
		case core.Compose:
			select {
			case r.drafts <- a.Draft:
			default: // more is asked of this peer than it can sign
				r.drop(DropRate, nil)
			}
		}
	}
}

// task runs f on a goroutine that ends soon after ctx is done; Close waits for it.
func (r *Router) task(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.tasks.Go(f)
	}
}

// run is the router's clock.
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

// compose makes the frames of control messages. Signatures take long: they are made here,
// one after the other, and not under the lock.
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
	return r.core.Stats()
}

// Peers returns the linked peers in the order of their ids.
func (r *Router) Peers() []LinkInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.Peers()
}

// Close closes the sockets, says goodbye on every link, waits up to 1 s for the answers, and ends all
// that the router started. It waits for every Serve, and for a handler that is running, so a handler
// must not call it. What was not written by then is lost.
func (r *Router) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		r.tasks.Wait()
		return nil
	}
	r.closed = true
	r.sockets.Close(ErrClosed)
	r.stopping = make(chan struct{})
	for _, s := range r.served {
		s.sayBye(wire.ByeShutdown, ErrClosed)
	}
	if len(r.served) == 0 {
		close(r.stopping)
	}
	r.mu.Unlock()

	timer := time.NewTimer(byeTime)
	defer timer.Stop()
	select {
	case <-r.stopping:
	case <-timer.C:
	}
	r.stop()
	r.mu.Lock()
	for _, s := range r.served {
		r.tasks.Go(func() { s.link.Close() })
	}
	r.mu.Unlock()
	<-r.stopping
	r.inbox.close()
	r.tasks.Wait()
	return nil
}
