package core

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/internal/rate"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

var update = flag.Bool("update", false, "write the actual actions into the transcripts")

// TestTranscripts runs the events of testdata/core on a core and compares its actions. An
// empty line separates the blocks of a file. A block is events, a line "----" and the actions
// that follow. An id is written as its first hexadecimal digits, and the rest is zeros. See
// script.run for the events.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/core/*.txt")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d transcripts, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := &script{t: t}
			var out []string
			for block := range strings.SplitSeq(strings.TrimSpace(string(raw)), "\n\n") {
				events, want, _ := strings.Cut(block, "\n----")
				got := s.play(events)
				if want = strings.TrimSpace(want); got != want && !*update {
					t.Errorf("after\n%s\ngot\n%s\nwant\n%s", events, got, want)
				}
				out = append(out, strings.TrimRight(events+"\n----\n"+got, "\n"))
			}
			if *update {
				if err := os.WriteFile(file, []byte(strings.Join(out, "\n\n")+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A script drives one core.
type script struct {
	t        *testing.T
	c        *Core
	now      time.Duration
	greets   bool // whether the output shows our own findPeers
	out      []string
	tokens   map[wire.ID][]byte // token of the last offer to each peer
	search   []byte             // token of the last search
	expected int                // number of the last expected handshake
	queued   map[LinkHandle][]*wire.Frame
	figures  map[LinkHandle]wire.Progress
	reliable map[int]*wire.Frame // the reliable messages, by index
	nonces   map[string][][]byte // nonces of their copies, by end-to-end id
	last     *wire.Frame         // the last delivered message
	keeping  []*wire.Frame       // the messages that are being stored, oldest first
}

// abbreviated returns the id with these first digits.
func abbreviated(s string) wire.ID {
	var id wire.ID
	for i, c := range []byte(s) {
		v, err := strconv.ParseUint(string(c), 16, 4)
		if err != nil {
			panic(err)
		}
		id[i/2] |= byte(v) << (4 * (1 - i%2))
	}
	return id
}

func shortID(id wire.ID) string {
	s := strings.TrimRight(id.String(), "0")
	return s + "00"[:max(0, 2-len(s))]
}

func testHash(a, b, c, d []byte) uint64 {
	h := fnv.New64a()
	for _, x := range [][]byte{a, {byte(len(b))}, b, {byte(len(d))}, d, c} {
		h.Write(x)
	}
	return h.Sum64()
}

// testVerify accepts "sig:" and the digits of an id as the key and signature of that id.
func testVerify(key, _, sig []byte) (wire.ID, bool) {
	if !bytes.Equal(key, sig) || !bytes.HasPrefix(key, []byte("sig:")) {
		return wire.ID{}, false
	}
	return abbreviated(string(key[4:])), true
}

func newTestCore(self wire.ID, change func(*CoreConfig)) *Core {
	cfg := CoreConfig{Self: self, Rand: rand.NewPCG(1, 2), Hash: testHash, Verify: testVerify, NoOverlay: true}
	if change != nil {
		change(&cfg)
	}
	return NewCore(cfg)
}

func (s *script) play(events string) string {
	s.out = nil
	for line := range strings.Lines(events) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		words := strings.Fields(line)
		s.run(words[0], words[1:])
		s.take()
	}
	return strings.Join(s.out, "\n")
}

func (s *script) run(event string, w []string) {
	first := ""
	if len(w) > 0 {
		first = w[0]
	}
	number, _ := strconv.Atoi(first)
	h := LinkHandle(number)
	switch event {
	case "self": // ID [leaf] [boots=N] [overlay] [greets] [signs] [hidden] [mailbox]
		s.keeping = nil
		s.now, s.greets, s.tokens = 0, has(w, "greets"), make(map[wire.ID][]byte)
		s.queued = make(map[LinkHandle][]*wire.Frame)
		s.figures = make(map[LinkHandle]wire.Progress)
		s.reliable, s.nonces = make(map[int]*wire.Frame), make(map[string][][]byte)
		s.c = newTestCore(abbreviated(first), func(cfg *CoreConfig) {
			cfg.Bootstraps, cfg.NoOverlay = argInt(w, "boots", 0), !has(w, "overlay")
			cfg.Agent, cfg.NoTrace = "peer/1", has(w, "hidden")
			cfg.Mailbox = has(w, "mailbox")
			if has(w, "leaf") {
				cfg.Role = wire.RoleLeaf
			}
			if has(w, "signs") {
				cfg.Key = []byte("sig:" + first)
				cfg.Sign = func([]byte) ([]byte, error) { return []byte("sig:" + first), nil }
			}
		})
		s.c.Trace(true)
	case "contact": // [url=URL] [record=TEXT] [webrtc]
		url, _ := arg(w, "url")
		record, _ := arg(w, "record")
		s.c.SetContact(wire.Contact{ID: s.c.self, URL: url, Record: []byte(record), WebRTC: has(w, "webrtc")})
	case "link": // HANDLE ID native|ws|webrtc [proved] [dialed] [direct] [leaf] [opener=O] [value=N] [rtt=MS] [keeps] [names] [mailbox] [boot=N] [sought]
		cause := Inbound()
		switch boot := argInt(w, "boot", -1); {
		case boot >= 0:
			cause = Bootstrap(boot)
		case has(w, "sought"):
			cause = Sought()
		}
		if err := s.c.LinkUp(s.now, h, s.info(w[1:]), cause); err != nil {
			s.out = append(s.out, fmt.Sprintf("not taken: %v", err))
		}
	case "claim": // INDEX ID ws|webrtc …
		s.c.Claim(s.now, number, s.info(w[1:]))
	case "unclaim":
		s.c.Unclaim(number)
	case "burst": // HANDLE FROM>TO times=N: N messages; the actions are not shown
		for i := range argInt(w, "times", 0) {
			s.c.Receive(s.now, h, s.frame([]string{w[1], fmt.Sprint("nonce=1", i)}))
		}
		s.quietly()
		s.out = append(s.out, fmt.Sprintf("held: %d", len(s.c.held)))
	case "many": // HANDLE FROM>TO times=N: N messages; the last one's actions are shown
		for i := range argInt(w, "times", 0) {
			s.quietly()
			s.c.Receive(s.now, h, s.frame([]string{w[1], fmt.Sprint("nonce=3", i)}))
			if i == ackEvery-1 {
				s.take()
			}
		}
	case "spread": // HANDLE peers=N times=M: M messages to each of N expected peers
		for peer := range argInt(w, "peers", 0) {
			id := fmt.Sprintf("6%02x", peer)
			s.c.Expect(s.now, abbreviated(id))
			for i := range argInt(w, "times", 0) {
				s.c.Receive(s.now, h, s.frame([]string{"40>" + id, fmt.Sprintf("nonce=2%d%d", peer, i)}))
			}
		}
		s.quietly()
		s.out = append(s.out, fmt.Sprintf("held: %d", len(s.c.held)))
	case "expect": // ID: a handshake with the peer has begun
		s.expected = s.c.Expect(s.now, abbreviated(first))
	case "unexpect": // ID: the handshake of the last expect has ended
		s.c.Unexpect(s.now, abbreviated(first), s.expected)
	case "down": // HANDLE [left]: with left, the frames that were not taken come back
		peer := s.c.byHandle[h].ID
		s.c.LinkDown(s.now, h, nil)
		if has(w, "left") {
			s.c.Returned(s.now, peer, s.queued[h])
		}
		delete(s.queued, h)
	case "taken": // HANDLE [n=N]: the link has taken its first N frames, by default all
		for i := argInt(append(w, "n=100000"), "n", 0); i > 0 && len(s.queued[h]) > 0; i-- {
			f := s.queued[h][0]
			s.queued[h] = s.queued[h][1:]
			s.c.Written(s.now, h, 1, f.Size())
			if f.Type == wire.FrameMessage {
				s.c.Sent(f)
				s.c.Handed(s.now, h, f, wire.ReceiptFor(f, true))
			}
		}
	case "unencodable": // HANDLE: the first frame in the queue has no form on the link
		f := s.queued[h][0]
		s.queued[h] = s.queued[h][1:]
		s.c.Written(s.now, h, 1, f.Size())
		s.c.Unwritten(s.now, h, f)
	case "unsent":
		s.out = append(s.out, fmt.Sprintf("unsent: %+v, waits %v, hopes %v", s.c.Unsent(), s.c.Waits(), s.c.Hopes(s.now)))
	case "bye": // HANDLE REASON
		s.c.Receive(s.now, h, wire.NewBye(wire.ByeReason(slices.Index(byeNames, w[1]))))
	case "ping":
		s.c.Receive(s.now, h, wire.NewPing(7))
	case "pong":
		s.c.Receive(s.now, h, wire.NewPong(7))
	case "answer": // HANDLE: the answer to the last ping
		s.c.Receive(s.now, h, wire.NewPong(s.c.byHandle[h].token))
	case "ack": // HANDLE [N]
		n := 7
		if len(w) > 1 {
			n, _ = strconv.Atoi(w[1])
		}
		s.c.Receive(s.now, h, wire.NewAck(uint64(n)))
	case "nack": // HANDLE SEQ [FROM>TO …]: with a frame, the message comes back after its acknowledgement
		seq, _ := strconv.Atoi(w[1])
		n := wire.Nack{Seq: uint64(seq), Reason: wire.NackNoRoute}
		if len(w) > 2 {
			var err error
			if n.Frame, err = s.frame(w[2:]).AppendTo(nil); err != nil {
				s.t.Fatal(err)
			}
			_, prefix := binary.Uvarint(n.Frame)
			n.Frame = n.Frame[prefix:]
		}
		f, err := wire.NewNack(n)
		if err != nil {
			s.t.Fatal(err)
		}
		s.c.Receive(s.now, h, f)
	case "neighbours": // HANDLE [all] [named=A,B] [time=MS] [gone=A,B] [lost=A,B]: the neighbours of the peer
		n := wire.Neighbours{Reset: has(w, "all"), Gone: argIDs(w, "gone"), Lost: argIDs(w, "lost")}
		for _, id := range argIDs(w, "named") {
			n.Named = append(n.Named, wire.Neighbour{ID: id, Time: wire.CodeTime(time.Duration(argInt(w, "time", 0)) * time.Millisecond)})
		}
		f, err := wire.NewNeighbours(n)
		if err != nil {
			s.t.Fatal(err)
		}
		s.c.Receive(s.now, h, f)
	case "hello":
		f, err := wire.NewHello(wire.Hello{})
		if err != nil {
			s.t.Fatal(err)
		}
		s.c.Receive(s.now, h, f)
	case "bad": // HANDLE [times=N]: malformed frames
		for range argInt(w, "times", 1) {
			s.c.Offence(s.now, h, journal.DropMalformed)
		}
	case "msg": // HANDLE FROM>TO …: see frame
		s.c.Receive(s.now, h, s.frame(w[1:]))
	case "flood": // HANDLE offers=N [proved]: offers of N peers over one link; the answers are not shown
		for i := range argInt(w, "offers", 0) {
			id := fmt.Sprintf("a0%02x", i)
			offer := []string{id + ">" + shortID(s.c.self), "kind=offer", "path=" + id + "," + shortID(s.c.byHandle[h].ID)}
			if has(w, "proved") {
				offer = append(offer, "by="+id)
			}
			s.c.byHandle[h].asks = rate.Full(s.now, askBurst) // keeps the limit of questions out of this
			s.c.Receive(s.now, h, s.frame(offer))
		}
		s.quietly()
	case "each": // N: as many links, each of which brings an offer of another peer
		for i := range number {
			peer, id := fmt.Sprintf("c1%02x", i), fmt.Sprintf("a1%02x", i)
			if err := s.c.LinkUp(s.now, LinkHandle(i+1), s.info([]string{peer, "native"}), Inbound()); err != nil {
				s.t.Fatal(err)
			}
			s.c.Receive(s.now, LinkHandle(i+1), s.frame([]string{id + ">" + shortID(s.c.self), "kind=offer", "path=" + id + "," + peer}))
		}
		s.quietly()
	case "asks": // HANDLE times=N: N questions of the linked peer; the answers are not shown
		for range argInt(w, "times", 0) {
			s.c.Receive(s.now, h, s.frame([]string{shortID(s.c.byHandle[h].ID) + ">" + shortID(s.c.self), "kind=find"}))
		}
		s.quietly()
	case "unsigned": // INDEX ID: a search that the shell has no room to sign
		if err := s.c.Search(s.now, number, abbreviated(w[1])); err != nil {
			s.t.Fatal(err)
		}
		for _, a := range s.c.Actions() {
			s.c.NotComposed(s.now, a.Draft)
		}
	case "send", "datagram", "repeatable": // TO [TEXT]
		text := strings.Join(w[1:], " ")
		f, err := s.c.NewFrame(Outgoing{To: abbreviated(first), Form: wire.FormJSON, Payload: []byte(text)}, s.c.Draw())
		if err == nil {
			kind := OwnMessage
			switch {
			case event == "datagram":
				kind = OwnDatagram
			case event == "repeatable":
				kind = OwnRepeatable
			}
			err = s.c.Send(s.now, f, kind)
		}
		if err != nil {
			s.out = append(s.out, fmt.Sprintf("error: %v", err))
		}
	case "reliable", "keep": // INDEX TO [TEXT]: with keep, it may be kept until 1000
		m := Outgoing{To: abbreviated(w[1]), Form: wire.FormJSON, Flags: wire.FlagReceipt | wire.FlagNotice, Payload: []byte(strings.Join(w[2:], " "))}
		if event == "keep" {
			m.Flags, m.Expiry, m.Sign = m.Flags|wire.FlagKeep, 1000, true
		}
		f, err := s.c.NewFrame(m, s.c.Draw())
		if err == nil {
			s.reliable[number] = f
			err = s.c.SendReliable(s.now, number, f, sha256.Sum256(f.Body.Raw()))
		}
		if err != nil {
			s.out = append(s.out, fmt.Sprintf("error: %v", err))
		}
	case "probe", "trace": // INDEX TO: a ping
		flags := wire.FlagReceipt | wire.FlagNotice
		if event == "trace" {
			flags |= wire.FlagTrace
		}
		f, err := s.c.NewFrame(Outgoing{To: abbreviated(w[1]), Kind: wire.KindPing, Form: wire.FormRaw, Flags: flags, Payload: []byte{}, Sign: true}, s.c.Draw())
		if err == nil {
			s.reliable[number] = f
			err = s.c.SendReliable(s.now, number, f, sha256.Sum256(f.Body.Raw()))
		}
		if err != nil {
			s.out = append(s.out, fmt.Sprintf("error: %v", err))
		}
	case "hops": // INDEX: what is known of the way of a traced ping
		s.out = append(s.out, fmt.Sprintf("hops %d:%s", number, showHops(s.c.Hops(number))))
	case "endreliable": // INDEX
		s.c.EndReliable(number)
	case "stored": // [until=N] [refusal=N]: of the oldest message that is being stored
		if len(s.keeping) == 0 {
			s.out = append(s.out, "nothing is being stored")
			return
		}
		f := s.keeping[0]
		s.keeping = s.keeping[1:]
		r := wire.ReceiptFor(f, false)
		r.Kept = uint64(argInt(w, "until", 1000))
		s.c.Kept(s.now, f, r, wire.Refusal(argInt(w, "refusal", 0)))
	case "fetched": // ID after=N [more] [number=N FROM>TO …]: what is kept for the peer after a number, see frame
		var letters []Letter
		if number := argInt(w, "number", 0); number > 0 {
			f := s.frame(w[slices.IndexFunc(w, func(x string) bool { return strings.Contains(x, ">") }):])
			letters = append(letters, Letter{Number: uint64(number), Body: f.Body, Sig: f.Sig, Nonce: f.Nonce, Hash: sha256.Sum256(f.Body.Raw())})
			s.reliable[number], s.nonces[string(f.Body.E2E)] = f, [][]byte{f.Nonce}
		}
		s.c.Fetched(s.now, abbreviated(first), uint64(argInt(w, "after", 0)), letters, has(w, "more"))
	case "receipt", "notice", "report": // HANDLE FROM>TO INDEX [attempt=N] [handed] [kept=N] [refusal=N] [silent] [wrong] [way=A,B] [place=N] [by=ID] [path=A,B]: about copy N of that reliable message
		s.c.Receive(s.now, h, s.word(event, w[1:]))
	case "confirm": // the application has the last message
		s.c.Confirm(s.now, s.last, wire.ReceiptFor(s.last, false))
	case "full": // the queue of a link is full
		s.c.byHandle[h].queuedFrames += maxQueueFrames
	case "empty":
		s.c.Written(s.now, h, maxQueueFrames, 0)
	case "written": // one frame left the queue
		s.c.Written(s.now, h, 1, 0)
	case "flow": // HANDLE BYTES: as many bytes pass through the queue
		n, err := strconv.Atoi(w[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.c.byHandle[h].queuedBytes += n
		s.c.queued += n
		s.c.Written(s.now, h, 0, n)
	case "stopped": // DURATION in which the process does not run
		d, err := time.ParseDuration(first)
		if err != nil {
			s.t.Fatal(err)
		}
		s.now += d
		s.c.Tick(s.now)
	case "search": // INDEX ID
		if err := s.c.Search(s.now, number, abbreviated(w[1])); err != nil {
			s.out = append(s.out, fmt.Sprintf("error: %v", err))
		}
	case "endsearch": // INDEX
		s.c.EndSearch(number)
	case "connect":
		s.c.Connect(s.now, abbreviated(first))
	case "disconnect":
		s.c.Disconnect(s.now, abbreviated(first))
	case "dialfailed":
		s.c.DialFailed(s.now, abbreviated(first))
	case "bootfailed":
		s.c.BootstrapFailed(s.now, number)
	case "network": // the addresses of the machine changed
		s.c.NetworkChanged(s.now)
	case "bootlinked":
		s.c.BootstrapLinked(s.now, number)
	case "figures": // HANDLE [received=N] [acked=N pending=N moves=N rtt=MS]: what the transport reports from here on
		_, known := arg(w, "acked")
		acked := argInt(w, "acked", 0)
		s.figures[h] = wire.Progress{Received: uint64(argInt(w, "received", 0)), Known: known,
			Acked: uint64(acked), Pending: uint64(argInt(w, "pending", 0)), Moves: uint64(argInt(w, "moves", acked)),
			RTT: time.Duration(argInt(w, "rtt", 0)) * time.Millisecond}
	case "bootself": // INDEX [error]
		var why error
		if len(w) > 1 && w[1] == "other" {
			why = ErrIDInUse
		}
		s.c.BootstrapSelf(s.now, number, why)
	case "wait": // DURATION
		d, err := time.ParseDuration(first)
		if err != nil {
			s.t.Fatal(err)
		}
		s.wait(d)
	case "idle": // DURATION, during which every link brings a frame every 10 s
		d, err := time.ParseDuration(first)
		if err != nil {
			s.t.Fatal(err)
		}
		for ; d > 0; d -= 10 * time.Second {
			s.wait(min(d, 10*time.Second))
			for _, l := range slices.Clone(s.c.order) {
				s.c.Receive(s.now, l.Handle, wire.NewPong(7))
			}
		}
	case "drops":
		s.out = append(s.out, "drops: "+s.c.Stats().Dropped.String())
	case "state":
		stats := s.c.Stats()
		s.out = append(s.out, fmt.Sprintf("links=%d pending=%d candidates=%d", stats.Links, stats.Pending, stats.Candidates))
	default:
		s.t.Fatalf("no event %q", event)
	}
}

var byeNames = []string{"normal", "duplicate", "shutdown", "unwanted", "protocol", "silent"}
