package protocol

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Options says what a Router is to be. The zero value is a relay with a random id
// that signs nothing and dials nobody.
type Options struct {
	// ID is this peer's address. The zero ID means a random one.
	ID ID

	// Role is what this peer offers to others; the default relays for all.
	Role Role

	// Key, Sign and Verify prove ids. Key is the public key that ID is the hash of;
	// Verify gives the hash of key if sig is its signature of data. Without Sign no
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

	// OnMessage, OnPeer and OnPeerDown are called one at a time, in order, from a
	// goroutine of the router. While one runs, up to 8,192 messages or 16 MiB are
	// kept; what comes then is dropped and counted.
	OnMessage  func(Message)
	OnPeer     func(LinkInfo)
	OnPeerDown func(ID, error)

	// OnDialError is called likewise when a bootstrap cannot be reached; it will be
	// tried again.
	OnDialError func(Contact, error)

	// Logger gets a line at debug level for what is dropped and for what happens to
	// links. Nil discards.
	Logger *slog.Logger
}

// A Message is a message that arrived.
type Message struct {
	From    ID
	Kind    Kind // KindUser or KindOther
	Form    Form
	Payload []byte // JSON text or bytes, as Form says
	Extra   []byte // unknown members of a legacy message, as a JSON object
	Proved  bool   // From has been proved to be who sent it
	Path    []ID   // the peers it went through, its origin first; a hint
}

// A Router is a peer: it sends, receives and relays messages over its links. All
// its methods may be called from any goroutine.
type Router struct {
	// Fixed after NewRouter.
	opts  Options
	id    ID
	log   *slog.Logger
	start time.Time
	seed  maphash.Seed
	ctx   context.Context // done when the router closes
	stop  context.CancelFunc
	inbox *inbox
	wake  chan struct{} // tells run that the core's next wake came nearer
	tasks sync.WaitGroup

	datagramBytes atomic.Int64 // that wait in sockets

	mu       sync.Mutex
	core     *Core
	served   map[LinkHandle]*served
	claims   map[int]chan error
	searches map[int]chan []ID
	sockets  map[uint16]*PacketConn
	lastID   uint64
	wakeAt   time.Duration
	closed   bool
	stopping chan struct{} // closed when the last link of a closing router ended
}

// A served link is one that Serve runs.
type served struct {
	link     Link
	info     LinkInfo
	queue    *queue
	reason   error       // why it ends
	closing  bool        // a bye is on its way
	patience *time.Timer // ends the link if the other end does not
}

// sayBye queues a bye behind what is queued and gives the other end a while to take
// it all: a link whose peer does not read must end too.
func (s *served) sayBye(reason ByeReason, why error) {
	if s.closing {
		return
	}
	s.closing, s.reason = true, why
	s.queue.put(NewBye(reason))
	s.queue.close()
	patience := drainTime
	if reason == ByeSilent {
		patience = byeTime
	}
	s.patience = time.AfterFunc(patience, func() { s.link.Close() })
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
		opts:   opts,
		id:     opts.ID,
		log:    opts.Logger.With("self", opts.ID.Short()),
		start:  time.Now(),
		seed:   maphash.MakeSeed(),
		inbox:  newInbox(),
		wake:   make(chan struct{}, 1),
		served: make(map[LinkHandle]*served),
		claims: make(map[int]chan error),

		searches: make(map[int]chan []ID),
		sockets:  make(map[uint16]*PacketConn),
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	r.core = NewCore(CoreConfig{
		Self: opts.ID, Role: opts.Role, Rand: rand.NewChaCha8(seed), Hash: r.hash,
		Bootstraps: len(opts.Bootstraps), Key: opts.Key, Sign: opts.Sign, Verify: opts.Verify, NoOverlay: opts.NoOverlay,
	})
	r.tasks.Go(r.run)     // ends when ctx is done; Close waits
	r.tasks.Go(r.deliver) // ends when the inbox is closed; Close waits
	return r, nil
}

func (r *Router) hash(a, b, c []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	h.Write(a)
	h.WriteByte(byte(len(b)))
	h.Write(b)
	h.Write(c)
	return h.Sum64()
}

// ID gives this peer's address.
func (r *Router) ID() ID { return r.id }

func (r *Router) now() time.Duration { return time.Since(r.start) }

// enter runs an event in the core and then does what follows from it.
func (r *Router) enter(event func(c *Core, now time.Duration)) {
	r.mu.Lock()
	event(r.core, r.now())
	actions := r.settle()
	r.mu.Unlock()
	r.perform(actions)
}

// settle takes the actions of an event, does those that need the lock and gives
// the others. Queues, claims and the inbox are bounded and never block.
func (r *Router) settle() (later []Action) {
	for _, a := range r.core.Actions() {
		switch a.Type {
		case Transmit:
			if s := r.served[a.Link]; s != nil {
				s.queue.put(a.Frame)
			}
		case CloseLink:
			if s := r.served[a.Link]; s != nil {
				s.sayBye(a.Reason, a.Err)
			}
		case Deliver:
			if a.Frame.Body.isDatagram() {
				r.deliverDatagram(a.Frame, a.Proved)
			} else if !r.inbox.putMessage(a.Frame, a.Proved) {
				r.core.Drop(DropInboxFull)
			}
		case PeerUp:
			if s := r.served[a.Link]; s != nil {
				r.inbox.put(func() {
					if r.opts.OnPeer != nil {
						r.opts.OnPeer(s.info)
					}
				})
			}
		case PeerDown:
			peer, why := a.Peer, error(nil) // a itself would be allocated, for each action
			if s := r.served[a.Link]; s != nil {
				why = s.reason
			}
			r.inbox.put(func() {
				if r.opts.OnPeerDown != nil {
					r.opts.OnPeerDown(peer, why)
				}
			})
		case Granted, Refused:
			if answer := r.claims[a.Index]; answer != nil {
				delete(r.claims, a.Index)
				answer <- a.Err // has room for one
			}
		case Found:
			if answer := r.searches[a.Index]; answer != nil {
				delete(r.searches, a.Index)
				answer <- a.IDs // has room for one
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
func (r *Router) perform(actions []Action) {
	for _, a := range actions {
		switch a.Type {
		case Dial:
			r.task(func() { r.dial(a.Contact) })
		case DialBootstrap:
			r.task(func() { r.dialBootstrap(a.Index) })
		case Signalled:
			r.signalled(a.Frame, a.Proved)
		}
	}
}

// signalled hands a signal to the transport that makes links of signals.
func (r *Router) signalled(f *Frame, proved bool) {
	for _, d := range r.opts.Dialers {
		if s, ok := d.(Signaller); ok {
			s.Signal(r, Signal{From: f.Body.From, Payload: f.Body.Payload, Proved: proved})
			return
		}
	}
	r.drop(DropUnsupported)
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
			r.enter(func(c *Core, now time.Duration) {
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

const dialTimeout = 15 * time.Second

func (r *Router) dial(contact Contact) {
	if err := r.dialAny(contact, Sought); err != nil && !errors.Is(err, ErrDuplicate) {
		r.log.Debug("dial failed", "peer", contact.ID.Short(), "err", err)
		r.enter(func(c *Core, now time.Duration) { c.DialFailed(now, contact.ID) })
	}
}

func (r *Router) dialBootstrap(index int) {
	contact := r.opts.Bootstraps[index]
	err := r.dialAny(contact, index)
	switch {
	case err == nil:
	case errors.Is(err, ErrDuplicate), errors.Is(err, ErrSelf):
		r.enter(func(c *Core, now time.Duration) { c.BootstrapLinked(now, index) })
	default:
		r.log.Debug("bootstrap failed", "url", contact.URL, "err", err)
		if r.opts.OnDialError != nil && r.ctx.Err() == nil {
			r.inbox.put(func() { r.opts.OnDialError(contact, err) })
		}
		r.enter(func(c *Core, now time.Duration) { c.BootstrapFailed(now, index) })
	}
}

// dialAny opens and serves a link by the first dialer that can. The error is nil
// once a link was up, however it ended.
func (r *Router) dialAny(contact Contact, boot int) error {
	var errs []error
	for _, d := range r.opts.Dialers {
		if !d.CanDial(contact) {
			continue
		}
		ctx, cancel := context.WithTimeout(r.ctx, dialTimeout)
		link, err := d.Dial(ctx, r, contact)
		cancel()
		if err == nil && link == nil {
			return nil
		}
		if err == nil {
			var up bool
			if up, err = r.serve(r.ctx, link, boot); up {
				return nil
			}
		}
		if errors.Is(err, ErrDuplicate) || errors.Is(err, ErrSelf) {
			return err // it is there, whatever way it is dialled
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return errors.New("no way to dial it")
	}
	return errors.Join(errs...)
}

// Claim asks whether a legacy connection with a peer that has told its id may
// become a link. It must be called before this side's own id is told. After a nil
// error the connection is to be served or the claim to be released; release may be
// called more than once. It waits up to 3 s for another link of that id to prove
// that it lives.
func (r *Router) Claim(ctx context.Context, info LinkInfo) (release func(), err error) {
	answer := make(chan error, 1)
	var index int
	closed := false
	r.enter(func(c *Core, now time.Duration) {
		if closed = r.closed; closed {
			return
		}
		r.lastID++
		index = int(r.lastID)
		r.claims[index] = answer
		c.Claim(now, index, info)
	})
	if closed {
		return nil, ErrClosed
	}
	release = func() {
		r.enter(func(c *Core, _ time.Duration) {
			delete(r.claims, index)
			c.Unclaim(index)
		})
	}
	select {
	case err = <-answer:
	case <-ctx.Done():
		err = ctx.Err()
	case <-r.ctx.Done():
		err = ErrClosed
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// Serve makes a link part of the router and reads it on the calling goroutine
// until it ends. It closes the link. The error says why the link ended, nil when
// the peer said goodbye; ErrDuplicate, ErrSelf and ErrClosed are among the reasons.
func (r *Router) Serve(ctx context.Context, link Link) error {
	_, err := r.serve(ctx, link, -1)
	return err
}

const (
	byeTime   = time.Second      // how long the other end has to answer a bye
	drainTime = 10 * time.Second // and to take what is queued before it
)

func (r *Router) serve(ctx context.Context, link Link, boot int) (up bool, err error) {
	defer link.Close()
	s := &served{link: link, info: link.Info(), queue: newQueue()}
	var h LinkHandle
	r.enter(func(c *Core, now time.Duration) {
		switch {
		case r.closed:
			err = ErrClosed
			return
		case r.inbox.crowded():
			err = fmt.Errorf("the application has not taken what it was told before: %w", ErrQueueFull)
			return
		}
		r.lastID++
		h = LinkHandle(r.lastID)
		r.served[h] = s
		if err = c.LinkUp(now, h, s.info, boot); err != nil {
			delete(r.served, h)
		}
	})
	log := r.log.With("peer", s.info.ID.Short(), "kind", s.info.Kind, "addr", s.info.Addr)
	if err != nil {
		log.Debug("link refused", "err", err)
		r.sayBye(link, err)
		return false, fmt.Errorf("link to %v: %w", s.info.ID, err)
	}
	log.Debug("link up")

	if c, ok := link.(ControlReader); ok {
		c.OnControl(func(f *Frame) {
			r.enter(func(c *Core, now time.Duration) { c.Receive(now, h, f) })
		})
	}
	unhook := context.AfterFunc(ctx, func() { link.Close() })
	defer unhook()
	written := make(chan struct{})
	go func() { // ends when the queue is closed or the link breaks; awaited below
		defer close(written)
		r.write(h, s)
	}()
	err = r.read(h, s)
	s.queue.close()
	if !s.isClosing(r) {
		link.Close()
	}
	<-written
	r.enter(func(c *Core, now time.Duration) {
		if s.closing {
			err = s.reason
		} else {
			s.reason = err // for OnPeerDown
		}
		c.LinkDown(now, h)
	})
	r.mu.Lock()
	delete(r.served, h)
	if s.patience != nil {
		s.patience.Stop()
	}
	if r.closed && len(r.served) == 0 {
		close(r.stopping)
	}
	r.mu.Unlock()
	log.Debug("link down", "err", err)
	return true, err
}

func (s *served) isClosing(r *Router) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.closing
}

// sayBye ends a link that was not taken.
func (r *Router) sayBye(link Link, why error) {
	reason := ByeNormal
	switch {
	case errors.Is(why, ErrDuplicate):
		reason = ByeDuplicate
	case errors.Is(why, ErrClosed):
		reason = ByeShutdown
	}
	stop := time.AfterFunc(byeTime, func() { link.Close() })
	defer stop.Stop()
	if link.WriteFrame(NewBye(reason)) != nil || link.Flush() != nil {
		return
	}
	for { // until the other end has closed, so that it reads the bye
		if f, err := link.ReadFrame(); err != nil && !errors.Is(err, ErrMalformed) || err == nil && f.Type == FrameBye {
			return
		}
	}
}

// read takes the frames of a link until it ends.
func (r *Router) read(h LinkHandle, s *served) error {
	for {
		f, err := s.link.ReadFrame()
		switch {
		case err == nil:
		case errors.Is(err, ErrPassedOn):
			r.log.Debug("bad message", "peer", s.info.ID.Short(), "err", err)
			r.drop(DropMalformed)
			continue
		case errors.Is(err, ErrMalformed):
			r.log.Debug("malformed frame", "peer", s.info.ID.Short(), "err", err)
			r.enter(func(c *Core, now time.Duration) { c.Offence(now, h, DropMalformed) })
			continue
		case errors.Is(err, io.EOF):
			return nil
		default:
			return err
		}
		if f.Type == FrameMessage && (f.Body.To == r.id || f.isSearch()) {
			f.Verify(r.opts.Verify) // takes long: not under the lock
		}
		r.enter(func(c *Core, now time.Duration) { c.Receive(now, h, f) })
		if f.Type == FrameBye {
			return nil
		}
	}
}

// write drains the queue of a link and flushes whenever it is empty.
func (r *Router) write(h LinkHandle, s *served) {
	var frames []*Frame
	var closed bool
	for range s.queue.ready {
		frames, closed = s.queue.take(frames)
		for len(frames) > 0 {
			if err := r.writeAll(h, s, frames); err != nil {
				s.link.Close()
				return
			}
			frames, closed = s.queue.take(frames)
		}
		if err := s.link.Flush(); err != nil {
			s.link.Close()
			return
		}
		if closed {
			r.mu.Lock()
			if s.patience != nil { // the other end has this long to say its own bye
				s.patience.Reset(byeTime)
			}
			r.mu.Unlock()
			return
		}
	}
}

// progress is how many bytes are written between two reports to the core.
const progress = 64 << 10

// writeAll writes frames and tells the core in good time what room there is again.
func (r *Router) writeAll(h LinkHandle, s *served, frames []*Frame) (err error) {
	count, bytes := 0, 0
	for i, f := range frames {
		frames[i] = nil
		if err == nil {
			err = s.link.WriteFrame(f)
			if errors.Is(err, ErrTooBig) || errors.Is(err, ErrUnencodable) {
				r.drop(DropUnencodable)
				err = nil
			}
		}
		if f.Type != FrameBye { // which is none that the core queued
			count++
			bytes += f.Size()
		}
		if bytes >= progress || i == len(frames)-1 {
			r.mu.Lock()
			r.core.Written(r.now(), h, count, bytes)
			r.mu.Unlock()
			count, bytes = 0, 0
		}
	}
	return err
}

func (r *Router) drop(reason DropReason) {
	r.mu.Lock()
	r.core.Drop(reason)
	r.mu.Unlock()
}

// Send sends a message to a peer, over as many hops as it takes. It never blocks.
// The error says that the message is lost already: too big, no room in a queue, or
// the router is closed. No error does not mean that it will arrive.
func (r *Router) Send(to ID, form Form, payload []byte) error {
	return r.send(Outgoing{To: to, Form: form, Payload: payload, Sign: r.opts.SignMessages})
}

// Signal sends a signal about a WebRTC connection to a peer: the JSON text of one
// value. It never blocks; the error says that it is lost already.
func (r *Router) Signal(to ID, payload []byte) error {
	return r.send(Outgoing{To: to, Kind: KindSignal, Form: FormJSON, Payload: payload, Sign: true})
}

func (r *Router) send(m Outgoing) error {
	r.mu.Lock()
	nonce := r.core.Nonce()
	r.mu.Unlock()
	f, err := r.core.NewFrame(m, nonce)
	if err != nil {
		return fmt.Errorf("send to %v: %w", m.To, err)
	}
	r.enter(func(c *Core, now time.Duration) {
		if r.closed {
			err = ErrClosed
			return
		}
		if m.Kind == KindSignal {
			err = c.Signal(now, f)
		} else {
			err = c.Send(now, f)
		}
	})
	return err
}

// Nearest asks the network for the peers that are nearest to an id, which need not be
// anybody's, and gives up to some 40, the nearest first. It is a stranger's word: the
// peers are said to be there. The error is the context's if no answer comes within it, or
// within 10 s; ErrQueueFull if too many ask at once.
func (r *Router) Nearest(ctx context.Context, id ID) ([]ID, error) {
	ctx, cancel := context.WithTimeout(ctx, queryExpiry)
	defer cancel()
	answer := make(chan []ID, 1)
	var index int
	var err error
	r.enter(func(c *Core, now time.Duration) {
		r.lastID++
		index = int(r.lastID)
		if r.closed {
			err = ErrClosed
			return
		}
		r.searches[index] = answer
		err = c.Search(now, index, id)
	})
	defer func() {
		r.mu.Lock()
		delete(r.searches, index)
		r.core.EndSearch(index)
		r.mu.Unlock()
	}()
	if err == nil {
		select {
		case ids := <-answer:
			return ids, nil
		case <-ctx.Done():
			err = ctx.Err()
		case <-r.ctx.Done():
			err = ErrClosed
		}
	}
	return nil, fmt.Errorf("search for %v: %w", id, err)
}

// Connect asks for a direct link to a peer, now and again until there is one or
// it has failed six times. It does not wait.
func (r *Router) Connect(id ID) { r.enter(func(c *Core, now time.Duration) { c.Connect(now, id) }) }

// Introduce dials a peer of which the application knows how to reach it, unless it is
// linked: once, and beside whatever the overlay does about it. It does not wait.
func (r *Router) Introduce(contact Contact) {
	r.mu.Lock()
	linked := r.core.table.get(contact.ID) != nil
	r.mu.Unlock()
	if linked || contact.ID == r.id {
		return
	}
	r.task(func() { // ends with the dial, or with the link that it makes
		if err := r.dialAny(contact, Sought); err != nil && !errors.Is(err, ErrDuplicate) {
			r.log.Debug("dial of an introduced peer failed", "peer", contact.ID.Short(), "err", err)
		}
	})
}

// Suggest names peers that the overlay may seek links with, as those do that linked
// peers tell of.
func (r *Router) Suggest(ids ...ID) {
	r.enter(func(c *Core, now time.Duration) { c.Suggest(now, ids) })
}

// Disconnect ends the direct link to a peer, if there is one, and does not seek it
// again for a minute.
func (r *Router) Disconnect(id ID) {
	r.enter(func(c *Core, now time.Duration) { c.Disconnect(now, id) })
}

// SetContact says how other peers can reach this one.
func (r *Router) SetContact(contact Contact) {
	r.enter(func(c *Core, _ time.Duration) { c.SetContact(contact) })
}

// Stats gives the counters.
func (r *Router) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.Stats()
}

// Peers gives the linked peers in the order of their ids.
func (r *Router) Peers() []LinkInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	infos := make([]LinkInfo, 0, r.core.table.len())
	for _, l := range r.core.table.sorted {
		infos = append(infos, l.LinkInfo)
	}
	return infos
}

// Close closes the sockets, says goodbye on every link, waits up to 1 s for the answers, and ends all
// that the router started. It waits for a handler that is running, so a handler
// must not call it. What was not written by then is lost.
func (r *Router) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		r.tasks.Wait()
		return nil
	}
	r.closed = true
	for port, c := range r.sockets {
		c.shut()
		delete(r.sockets, port)
	}
	r.stopping = make(chan struct{})
	for _, s := range r.served {
		s.sayBye(ByeShutdown, ErrClosed)
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

// Wants reports whether a link to a peer would be of use: it is not linked, and its
// bucket or the neighbourhood has room for it.
func (r *Router) Wants(id ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.closed && id != r.id && r.core.table.get(id) == nil && r.core.overlay.useful(id)
}
