package plays

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// lostAfter is the time after which the next pair of peers writes, although messages are missing.
const lostAfter = 3 * time.Second

// Builds are the binaries of two builds of ours that meet in one network.
type Builds struct{ Old, New string }

// A maker says which program a peer of such a network is.
type maker string

const (
	oldBuild maker = "old"
	newBuild maker = "new"
	npm      maker = "npm"
)

// A guestKind is a kind of peer without a port, which joins a network at one of its relays.
type guestKind struct {
	name   string
	maker  maker
	libp2p bool // it is told a multiaddr, otherwise a ws:// URL
}

var guestKinds = []guestKind{
	{name: "old", maker: oldBuild},
	{name: "new", maker: newBuild},
	{name: "npm", maker: npm},
	{name: "new by libp2p", maker: newBuild, libp2p: true},
	{name: "old by libp2p", maker: oldBuild, libp2p: true},
}

// Guests returns the kinds of peers at the ends of a Chain.
func Guests() (names []string) {
	for _, kind := range guestKinds {
		names = append(names, kind.name)
	}
	return names
}

// A Chain is the relays of a network, in a row. A guest of every kind joins at its left end, and
// another one at its right end:
//
//	guests ─┐                       ┌─ guests
//	        old ───── npm ───── new ┘
//
// Guests have no port, and the relays of a row tell others an address that does not answer. So
// there is no other way between the two sides. The ids are chosen so that messages find this one:
// at each relay the next one is nearer to the receiver, and no guest is.
type Chain struct {
	Name   string
	relays []maker
	middle bool // guests that are told a ws:// URL join at the relay in the middle
}

// prefixBits is the length of what the ids of relays and guests begin with.
const prefixBits = 5

const (
	leftRelay        = 0b00000
	middleRelay      = 0b01000
	rightRelay       = 0b11000
	leftGuest        = 0b00010
	leftMiddleGuest  = 0b01010
	rightMiddleGuest = 0b11001
	rightGuest       = 0b11100
)

// Chains returns all chains.
func Chains() []Chain {
	return []Chain{
		{Name: "old", relays: []maker{oldBuild}},
		{Name: "new", relays: []maker{newBuild}},
		{Name: "npm", relays: []maker{oldBuild, npm, newBuild}, middle: true},
		{Name: "old-new", relays: []maker{oldBuild, newBuild}},
		{Name: "old-npm-new", relays: []maker{oldBuild, npm, newBuild}},
	}
}

// Counts are what came of messages.
type Counts struct {
	Sent      int
	Delivered int // once at least
	Again     int // deliveries beyond the first
	Signed    int // messages that must be proved: Go peers signed them, and received them
	Proved    int // of those, the ones that were
	Forged    int // messages that must not be proved, and were
	Equal     int // second ones of two equal messages that a Go peer signed, and a Go peer received
	EqualOK   int // of those, the ones that were proved
}

// Add adds what came of others.
func (c *Counts) Add(o Counts) {
	c.Sent, c.Delivered, c.Again = c.Sent+o.Sent, c.Delivered+o.Delivered, c.Again+o.Again
	c.Signed, c.Proved, c.Forged = c.Signed+o.Signed, c.Proved+o.Proved, c.Forged+o.Forged
	c.Equal, c.EqualOK = c.Equal+o.Equal, c.EqualOK+o.EqualOK
}

// OK reports whether each message arrived once, and was proved if and only if it must be. The
// second of two equal messages may be proved or not: builds differ in that.
func (c Counts) OK() bool {
	return c.Sent > 0 && c.Delivered == c.Sent && c.Again == 0 && c.Proved == c.Signed && c.Forged == 0
}

// A VersionsReport is what came of a play.
type VersionsReport struct {
	Pairs [][]Counts      // by the kind of the sender and that of the receiver
	Took  []time.Duration // each pair, from the first send to the last receipt
	Told  map[string]int  // how often what came of a reliable message of the new build
}

// Play has the guests of both sides write to each other, each to each and both ways, in rounds.
// Each writes a string, the same string again, a JSON value, and bytes. With sign, Go peers sign
// what they send. If messages were lost, came twice, or were proved wrongly, Play returns a report
// and an error that names them.
func (ch Chain) Play(ctx context.Context, builds Builds, sign bool, rounds int) (report *VersionsReport, err error) {
	v := &versions{chain: ch, builds: builds, sign: sign}
	defer func() { err = errors.Join(err, v.closers.Close()) }()
	if err := v.open(ctx); err != nil {
		return nil, fmt.Errorf("itest: relays %s: %w", ch.Name, err)
	}
	report = &VersionsReport{Pairs: make([][]Counts, len(guestKinds)), Told: make(map[string]int)}
	for i := range report.Pairs {
		report.Pairs[i] = make([]Counts, len(guestKinds))
	}
	for round := range rounds {
		for _, left := range v.sides[0] {
			for _, right := range v.sides[1] {
				for _, pair := range [][2]*guest{{left, right}, {right, left}} {
					took, err := v.write(ctx, pair[0], pair[1], round)
					if err != nil {
						return nil, fmt.Errorf("itest: relays %s, from %s to %s: %w", ch.Name, pair[0].name, pair[1].name, err)
					}
					report.Took = append(report.Took, took)
				}
			}
		}
	}
	return report, errors.Join(v.writeReliably(ctx), v.judgeReliable(ctx, report), v.onlyLinks(ctx), v.count(report))
}

// versions is one play.
type versions struct {
	chain   Chain
	builds  Builds
	sign    bool
	closers peers.Closers
	dir     string        // of key files
	driver  *peers.Driver // of the npm peers

	relays  []*guest
	sides   [2][]*guest
	letters []letter
	sure    []surely
}

// A guest is a peer of the network. A relay is one too, which has a port.
type guest struct {
	peers.Peer
	name   string
	kind   int // index in guestKinds
	maker  maker
	relay  bool
	prefix byte   // the first bits of its id
	at     *guest // the relay that it joins at
	libp2p bool   // how it joins

	unconfirmed bool // a reliable message of its has no receipt, which its exit status tells
}

// end ends a guest.
func (g *guest) end() error {
	if err := g.Close(); !g.unconfirmed {
		return err
	}
	return nil
}

// A letter is a message that was sent, with the text of its data as it must arrive.
type letter struct {
	from, to *guest
	text     string
	again    bool // it equals the one before
}

func (v *versions) open(ctx context.Context) (err error) {
	if v.dir, err = os.MkdirTemp("", "peer-relay-versions-"); err != nil {
		return err
	}
	v.closers.Add(func() error { return os.RemoveAll(v.dir) })
	if v.driver, err = peers.StartDriver(ctx); err != nil {
		return err
	}
	v.closers.Add(v.driver.Close)
	if err := v.openRelays(ctx); err != nil {
		return err
	}
	for side, end := range []*guest{v.relays[0], v.relays[len(v.relays)-1]} {
		for i, kind := range guestKinds {
			g := &guest{name: kind.name + [...]string{" on the left", " on the right"}[side], kind: i, maker: kind.maker,
				prefix: [...]byte{leftGuest, rightGuest}[side], at: end, libp2p: kind.libp2p}
			if v.chain.middle && !kind.libp2p {
				g.prefix, g.at = [...]byte{leftMiddleGuest, rightMiddleGuest}[side], v.relays[v.middle()]
			}
			if err := v.start(ctx, g); err != nil {
				return err
			}
			v.sides[side] = append(v.sides[side], g)
		}
	}
	return nil
}

// middle returns the index of the relay that the others join at.
func (v *versions) middle() int { return (len(v.chain.relays) - 1) / 2 }

func (v *versions) openRelays(ctx context.Context) error {
	last := len(v.chain.relays) - 1
	prefixes := [][]byte{{leftRelay}, {leftRelay, rightRelay}, {leftRelay, middleRelay, rightRelay}}[last]
	v.relays = make([]*guest, last+1)
	for _, i := range slices.Compact([]int{v.middle(), 0, last}) {
		r := &guest{name: fmt.Sprintf("relay %d", i), maker: v.chain.relays[i], relay: true, prefix: prefixes[i]}
		if i != v.middle() {
			r.at = v.relays[v.middle()]
			r.libp2p = r.at.maker != npm
		}
		if err := v.start(ctx, r); err != nil {
			return err
		}
		v.relays[i] = r
	}
	return nil
}

// start starts a peer, and waits until it and the relay that it joins at are linked.
func (v *versions) start(ctx context.Context, g *guest) (err error) {
	spec := peers.Spec{Name: g.name, Listen: g.relay}
	switch {
	case g.at == nil:
	case g.libp2p:
		spec.Bootstrap = []string{g.at.Peer.(*peers.GoPeer).PortAddr()}
	default:
		spec.Bootstrap = []string{portURL(g.at.Peer)}
	}
	if g.maker == npm {
		g.Peer, err = v.driver.Peer(ctx, peers.NPMSpec{Spec: spec, ID: npmID(g.prefix), Hold: true})
	} else {
		g.Peer, err = v.startGo(ctx, g, spec)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", g.name, err)
	}
	v.closers.Add(g.end)
	if g.at == nil {
		return nil
	}
	if _, err := g.Events().Wait(ctx, peers.IsPeer(g.at.ID())); err != nil {
		return err
	}
	_, err = g.at.Events().Wait(ctx, peers.IsPeer(g.ID()))
	return err
}

func (v *versions) startGo(ctx context.Context, g *guest, spec peers.Spec) (*peers.GoPeer, error) {
	key, err := keyFile(v.dir, g.name, g.prefix)
	if err != nil {
		return nil, err
	}
	flags := []string{"--no-webrtc", "--key", key}
	if v.sign {
		flags = append(flags, "--sign")
	}
	if g.relay && len(v.chain.relays) > 1 {
		flags = append(flags, "--announce", deadURL)
	}
	binary := v.builds.New
	if g.maker == oldBuild {
		binary = v.builds.Old
	}
	return peers.StartGo(ctx, binary, spec, flags...)
}

// npmID returns an id that begins with prefix.
func npmID(prefix byte) (id protocol.ID) {
	rand.Read(id[:]) // never fails
	id[0] = prefix<<(8-prefixBits) | id[0]>>prefixBits
	return id
}

// keyFile writes a key whose id begins with prefix, and returns the file.
func keyFile(dir, name string, prefix byte) (string, error) {
	for {
		key, err := node.NewKey()
		if err != nil {
			return "", err
		}
		p, err := peer.IDFromPrivateKey(key)
		if err != nil {
			return "", err
		}
		if node.IDOf(p)[0]>>(8-prefixBits) != prefix {
			continue
		}
		text, err := crypto.MarshalPrivateKey(key)
		if err != nil {
			return "", err
		}
		file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		return file, os.WriteFile(file, text, 0o600)
	}
}

// write sends the messages of a round from one guest to another, and waits for them. Lost ones
// are counted in the end.
func (v *versions) write(ctx context.Context, from, to *guest, round int) (took time.Duration, err error) {
	text := fmt.Sprintf("round %d, from %s to %s: hi ü 😀", round, from.name, to.name)
	quoted, err := json.Marshal(text)
	if err != nil {
		return 0, err
	}
	document := fmt.Sprintf(`{"text":%s,"list":[1,-2.5,1e+21,null,true,{}],"round":%d}`, quoted, round)
	octets := append([]byte(text), 0, 1, 127, 128, 255)
	start := time.Now()
	for i, data := range []any{text, text, json.RawMessage(document), octets} {
		arrives := [...]string{string(quoted), string(quoted), document, string(peers.BufferText(octets))}[i]
		v.letters = append(v.letters, letter{from, to, arrives, i == 1})
		if err := from.Send(ctx, to.ID(), data); err != nil {
			return 0, err
		}
	}
	sent := v.letters[len(v.letters)-4:]
	waiting, stop := context.WithTimeout(ctx, lostAfter)
	defer stop()
	_, err = to.Events().WaitN(waiting, len(sent), func(e peers.Event) bool {
		return e.Kind == peers.EventMessage && e.Node == from.ID() && slices.ContainsFunc(sent, func(l letter) bool { return l.text == string(e.Data) })
	})
	if err != nil && (ctx.Err() != nil || waiting.Err() == nil) {
		return 0, err
	}
	return time.Since(start), nil
}

// onlyLinks checks that a guest is linked to its relay, and to no other peer.
func (v *versions) onlyLinks(ctx context.Context) error {
	var errs []error
	for _, g := range slices.Concat(v.sides[0], v.sides[1]) {
		linked, err := g.Peers(ctx)
		if err != nil {
			return err
		}
		if !slices.Equal(linked, []protocol.ID{g.at.ID()}) {
			errs = append(errs, fmt.Errorf("%s is linked to %v, want only %s, %v", g.name, linked, g.at.name, g.at.ID()))
		}
	}
	return errors.Join(errs...)
}

// count writes into the report what came of the letters. The error names those that did not
// arrive as they must, and all that was reported besides.
func (v *versions) count(report *VersionsReport) error {
	var errs []error
	for i, l := range v.letters {
		if l.again {
			continue // counted with the one before
		}
		equal := i+1 < len(v.letters) && v.letters[i+1].again
		came := l.to.arrivals(l.from, l.text)
		c := v.judge(l, came, equal)
		report.Pairs[l.from.kind][l.to.kind].Add(c)
		if !c.OK() {
			errs = append(errs, fmt.Errorf("relays %s, from %s to %s: %+v, came %v: %.80s", v.chain.Name, l.from.name, l.to.name, c, came, l.text))
		}
	}
	letters := slices.Clone(v.letters)
	for _, s := range v.sure {
		letters = append(letters, s.letter)
	}
	for _, g := range slices.Concat(v.sides[0], v.sides[1], v.relays) {
		for _, e := range g.Events().All() {
			if e.Kind == peers.EventError && e.Tag == nil || e.Kind == peers.EventMessage && !slices.ContainsFunc(letters, func(l letter) bool {
				return l.to == g && l.from.ID() == e.Node && l.text == string(e.Data)
			}) {
				errs = append(errs, fmt.Errorf("relays %s: %s reported %.200s", v.chain.Name, g.name, e))
			}
		}
	}
	return errors.Join(errs...)
}

// arrivals returns what was told of each arrival of a text: whether its origin is proved.
func (g *guest) arrivals(from *guest, text string) (proved []bool) {
	for _, e := range g.Events().All() {
		if e.Kind == peers.EventMessage && e.Node == from.ID() && string(e.Data) == text {
			proved = append(proved, e.Proved)
		}
	}
	return proved
}

// judge counts what came of a letter, and of the equal one after it if there is one.
func (v *versions) judge(l letter, came []bool, equal bool) (c Counts) {
	c.Sent = 1
	if equal {
		c.Sent = 2
	}
	c.Delivered = min(len(came), c.Sent)
	c.Again = len(came) - c.Delivered
	signed := v.sign && l.from.maker != npm && l.to.maker != npm
	for i, proved := range came {
		switch {
		case !signed && proved:
			c.Forged++
		case signed && i == 0 && proved:
			c.Proved++
		case signed && i == 1 && proved:
			c.EqualOK++
		}
	}
	if signed {
		c.Signed, c.Equal = 1, c.Sent-1
	}
	return c
}
