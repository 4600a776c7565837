package legacy

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"github.com/peer-relay/peer-relay/protocol"
)

const (
	// rtcTimeout is the time limit of an attempt, from its first signal to the open channel.
	rtcTimeout = 15 * time.Second
	// slotPause is the time for which a failed attempt keeps its place.
	slotPause = 500 * time.Millisecond
	// restTime is the time for which a peer's attempts are refused after one of them failed.
	restTime   = 5 * time.Second
	maxResting = 1024 // peers that rest

	maxOffers   = 6   // connections being made that this peer wants
	maxAnswers  = 12  // connections being made that others want
	maxRTCLinks = 512 // connections that others wanted, from their making to their end
	maxWaiting  = 64  // connections that wait for a silent peer
	maxAttempts = 64  // attempts, including those that wait for a place
	maxSignals  = 64  // unread signals of one attempt, one of them a description

	// maxNames is the number of a peer's candidates that may be mDNS names. pion asks the
	// network for each of them once a second, until there is an answer or the connection ends,
	// also while it is a link. A page has one for each address of its machine.
	maxNames = 6
)

// An attempt is one try to make a link with a peer.
type attempt struct {
	// Fixed from the start.
	w         *WebRTC
	r         *protocol.Router
	id        protocol.ID
	initiator bool
	signals   chan rtcSignal
	cancel    context.CancelCauseFunc

	settled atomic.Bool // the initiator has the answer

	described bool // the peer's description was put into signals; guarded by w.mu

	// Owned by the goroutine that makes the connection.
	early      []rtcCandidate // candidates that arrived before the description
	candidates int            // number of the peer's candidates so far
	names      int            // number of mDNS names that are tried
	proved     bool           // the peer's description was proved
}

// errYield ends an attempt of this peer in favour of one of the other peer.
var errYield = errors.New("the peer's offer takes precedence")

// begin makes a new attempt, in place of an older one with the same peer. w.mu is held.
func (w *WebRTC) begin(ctx context.Context, r *protocol.Router, id protocol.ID, initiator bool) (*attempt, context.Context) {
	a := &attempt{w: w, r: r, id: id, initiator: initiator, signals: make(chan rtcSignal, maxSignals)}
	ctx, a.cancel = context.WithCancelCause(ctx)
	if old := w.attempts[id]; old != nil {
		old.cancel(errYield)
	}
	w.attempts[id] = a
	return a, ctx
}

// over removes an attempt, and refuses its peer's attempts for restTime if it failed.
func (a *attempt) over(err error) {
	a.cancel(nil)
	w := a.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.attempts[a.id] == a {
		delete(w.attempts, a.id)
	}
	if err == nil || a.initiator || errors.Is(err, errYield) {
		return
	}
	now := time.Now()
	if len(w.resting) >= maxResting {
		maps.DeleteFunc(w.resting, func(_ protocol.ID, until time.Time) bool { return now.After(until) })
	}
	if len(w.resting) < maxResting {
		w.resting[a.id] = now.Add(restTime)
	}
}

// CanDial implements protocol.Dialer.
func (w *WebRTC) CanDial(c protocol.Contact) bool { return c.WebRTC && c.ID != protocol.ID{} }

// Dial implements protocol.Dialer. It takes up to 15 s.
func (w *WebRTC) Dial(ctx context.Context, r *protocol.Router, c protocol.Contact) (protocol.Link, error) {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	defer context.AfterFunc(w.ctx, cancel)()
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil, protocol.ErrClosed
	}
	a, ctx := w.begin(ctx, r, c.ID, true)
	w.mu.Unlock()
	l, err := a.connect(ctx)
	a.over(err)
	switch {
	case errors.Is(err, errYield):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("connect to %v by WebRTC: %w", c.ID, err)
	}
	return l, nil
}

// Signal implements protocol.Signaller. While this peer's own offer is unanswered, the other
// peer's offer counts only if its id is lower.
func (w *WebRTC) Signal(r *protocol.Router, s protocol.Signal) {
	sig, err := parseSignal(s.Payload)
	if err != nil {
		w.log.Debug("invalid signal", "peer", s.From.Short(), "err", err)
		return
	}
	sig.proved = s.Proved
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.attempts[s.From]
	if sig.Type == "offer" && a != nil && a.initiator {
		if a.settled.Load() || s.From.Compare(r.ID()) > 0 {
			return
		}
		a = nil
	}
	if a == nil {
		if w.closed || sig.Type == "answer" || len(w.attempts) >= maxAttempts {
			return
		}
		if until, ok := w.resting[s.From]; ok {
			if time.Now().Before(until) {
				return
			}
			delete(w.resting, s.From)
		}
		var ctx context.Context
		a, ctx = w.begin(w.ctx, r, s.From, false)
		w.tasks.Go(func() { a.answer(ctx) }) // ends with the attempt, or with its link
	}
	// Only one description waits for the attempt's place, since it is large.
	if sig.Candidate == nil && a.described {
		return
	}
	select {
	case a.signals <- sig:
		a.described = a.described || sig.Candidate == nil
	default: // no simple-peer sends that many
	}
}

// answer makes the link that the peer wants, and serves it.
func (a *attempt) answer(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, a.w.timeout)
	defer cancel()
	l, err := a.connect(ctx)
	a.over(err)
	if err != nil {
		a.w.log.Debug("no WebRTC link", "peer", a.id.Short(), "err", err)
		return
	}
	a.r.Serve(a.w.ctx, l) // it logs why the link ended
}

// connect makes the connection and the link.
func (a *attempt) connect(ctx context.Context) (l *rtcLink, err error) {
	var offer rtcSignal
	slots := a.w.offers
	if !a.initiator {
		slots = a.w.answers
		if offer, err = a.awaitOffer(ctx); err != nil {
			return nil, err
		}
	}
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() {
		if err == nil || !a.w.task(func() { a.w.pause(slotPause); <-slots }) {
			<-slots
		}
	}()
	// No signal goes to a peer that has a link. While the signals are in flight another link
	// may be made, and then that one is kept.
	release, err := a.claim(ctx, a.info())
	if err != nil {
		return nil, err
	}
	release()
	c, err := a.w.connection(!a.initiator)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.end(err)
		}
	}()
	if a.initiator {
		err = a.offer(c)
	} else {
		err = a.accept(c, offer)
	}
	if err != nil {
		return nil, err
	}
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-c.ended:
			return nil, c.why()
		case <-c.opened: // the remaining candidates must not be sent
			return a.link(ctx, c)
		case candidate := <-c.candidates:
			a.sendCandidate(candidate)
		case s := <-a.signals:
			if err := a.take(c, s); err != nil {
				return nil, err
			}
		}
	}
}

// pause waits, unless the transport closes.
func (w *WebRTC) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.ctx.Done():
	}
}

// claim asks the router for the claim of the link. If the attempt ends meanwhile, the error is
// its cause, since yielding is not a failure.
func (a *attempt) claim(ctx context.Context, info protocol.LinkInfo) (release func(), err error) {
	if release, err = a.r.Claim(ctx, info); err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return release, err
}

// info returns what is known about the link.
func (a *attempt) info() protocol.LinkInfo {
	info := protocol.LinkInfo{ID: a.id, Kind: protocol.LinkWebRTC, Dialed: a.initiator}
	if a.proved { // so the peer is a Go peer
		opener := a.id
		if a.initiator {
			opener = a.r.ID()
		}
		info.Opener = string(opener[:])
	}
	return info
}

// link returns the link over an open channel.
func (a *attempt) link(ctx context.Context, c *rtcConn) (*rtcLink, error) {
	info := a.info()
	info.Addr = c.remote()
	release, err := a.claim(ctx, info)
	if err != nil {
		return nil, err
	}
	return a.w.newLink(c, a.r, info, release), nil
}

// awaitOffer waits for the offer. Its candidates may arrive by another way, and earlier.
func (a *attempt) awaitOffer(ctx context.Context) (rtcSignal, error) {
	for {
		select {
		case s := <-a.signals:
			if s.Candidate == nil {
				if s.Type != "offer" {
					return s, errSignal
				}
				return s, nil
			}
			a.keep(s.Candidate)
		case <-ctx.Done():
			return rtcSignal{}, context.Cause(ctx)
		}
	}
}

// keep stores a candidate until the peer's description is set.
func (a *attempt) keep(c *rtcCandidate) {
	if a.candidates++; a.candidates <= maxCandidates {
		a.early = append(a.early, *c)
	}
}

func (c *rtcCandidate) init() webrtc.ICECandidateInit {
	return webrtc.ICECandidateInit{Candidate: c.Candidate, SDPMid: c.SDPMid, SDPMLineIndex: c.SDPMLineIndex}
}

// offer begins a connection as the initiator.
func (a *attempt) offer(c *rtcConn) error {
	var label [20]byte // the same length as simple-peer's
	cryptorand.Read(label[:])
	channel, err := c.pc.CreateDataChannel(hex.EncodeToString(label[:]), nil)
	if err != nil {
		return err
	}
	c.adopt(channel)
	description, err := c.pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	return a.describe(c, description)
}

// accept begins a connection as the answerer.
func (a *attempt) accept(c *rtcConn, offer rtcSignal) error {
	if err := a.describeRemote(c, offer); err != nil {
		return err
	}
	description, err := c.pc.CreateAnswer(nil)
	if err != nil {
		return err
	}
	return a.describe(c, description)
}

// describe sends this side's description, and only then begins to find candidates.
func (a *attempt) describe(c *rtcConn, d webrtc.SessionDescription) error {
	if err := a.send(rtcSignal{Type: d.Type.String(), SDP: d.SDP}); err != nil {
		return err
	}
	return c.pc.SetLocalDescription(d)
}

// describeRemote sets the peer's description and adds the candidates that waited for it.
func (a *attempt) describeRemote(c *rtcConn, s rtcSignal) error {
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.NewSDPType(s.Type), SDP: s.SDP}); err != nil {
		return err
	}
	a.proved = s.proved
	for i := range s.within {
		a.keep(&s.within[i])
	}
	for _, candidate := range a.early {
		a.add(c, candidate)
	}
	a.early = nil
	return nil
}

// add makes the connection try a candidate. A failure is only logged, since another may work.
func (a *attempt) add(c *rtcConn, candidate rtcCandidate) {
	parsed, err := ice.UnmarshalCandidate(candidate.Candidate)
	if err == nil && !a.tries(parsed) {
		err = errNotTried
	}
	if err == nil {
		err = c.pc.AddICECandidate(candidate.init())
	}
	if err != nil {
		a.w.log.Debug("candidate not tried", "peer", a.id.Short(), "err", err)
	}
}

// tries reports whether a candidate of the peer is tried.
func (a *attempt) tries(c ice.Candidate) bool {
	if !a.w.home.Load().tries(c) {
		return false
	}
	if isName(c) {
		a.names++
	}
	return !isName(c) || a.names <= maxNames
}

var errNotTried = errors.New("no address to send packets to")

// take handles a signal of the peer while the connection is made.
func (a *attempt) take(c *rtcConn, s rtcSignal) error {
	described := !a.initiator || a.settled.Load()
	switch {
	case s.Candidate != nil && !described:
		a.keep(s.Candidate)
	case s.Candidate != nil:
		if a.candidates++; a.candidates <= maxCandidates {
			a.add(c, *s.Candidate)
		}
	case s.Type == "answer" && !described:
		a.settled.Store(true)
		return a.describeRemote(c, s)
	}
	return nil // a second description is ignored
}

func (a *attempt) sendCandidate(c *webrtc.ICECandidate) {
	// A data channel has one medium. pion leaves its name out.
	line, mid := uint16(0), "0"
	err := a.send(rtcSignal{Candidate: &rtcCandidate{Candidate: c.ToJSON().Candidate, SDPMLineIndex: &line, SDPMid: &mid}})
	if err != nil {
		a.w.log.Debug("candidate not sent", "peer", a.id.Short(), "err", err)
	}
}

func (a *attempt) send(s rtcSignal) error {
	text, err := s.text()
	if err != nil {
		return err
	}
	return a.r.Signal(a.id, text)
}
