package protocol_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// TestSignOutsideTheLock checks that a signature, which takes milliseconds with some keys,
// delays no other message, no counter and no link.
func TestSignOutsideTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		who, peer := protocoltest.NewIdentity(1), protocoltest.NewIdentity(2)
		o := who.Options()
		o.NoOverlay = true
		signing, proceed := make(chan struct{}, 8), make(chan struct{})
		o.Sign = func(b []byte) ([]byte, error) {
			signing <- struct{}{}
			<-proceed
			return who.Sign(b)
		}
		r := must(protocol.NewRouter(o))
		defer r.Close()
		atA, atB := protocoltest.Infos(who.ID, peer.ID, 1)
		a, b := protocoltest.Pipe(atA, atB, protocoltest.PipeOptions{})
		served := make(chan struct{})
		go func() { // ends when b is closed
			defer close(served)
			r.Serve(context.Background(), a)
		}()
		<-signing // the findPeers for the new link
		if s := r.Stats(); s.Links != 1 || s.Control != 0 {
			t.Errorf("%d links, %d control messages", s.Links, s.Control)
		}
		if err := r.Send(peer.ID, protocol.FormRaw, []byte("meanwhile")); err != nil {
			t.Error(err)
		}
		if f := must(b.ReadFrame()); f.Type != wire.FrameMessage || string(f.Body.Payload) != "meanwhile" {
			t.Errorf("the first frame is a %v", f.Type)
		}
		close(proceed)
		if f := must(b.ReadFrame()); f.Type != wire.FrameMessage || f.Body.Kind != wire.KindFind || !f.Verify(protocoltest.Verify) {
			t.Errorf("the second frame is a %v", f.Type)
		}
		b.Close()
		<-served
	})
}

// TestQueuesTogether checks that the queues of all links that do not read hold a bounded
// number of bytes together, and that another link still has room.
func TestQueuesTogether(t *testing.T) { fillLinks(t, true) }

// TestUnacknowledgedTogether is the same for messages that were written and not acknowledged.
func TestUnacknowledgedTogether(t *testing.T) { fillLinks(t, false) }

// fillLinks fills links whose other ends do not read. queued means that they write nothing, and
// otherwise they have custody.
func fillLinks(t *testing.T, queued bool) {
	synctest.Test(t, func(t *testing.T) {
		const links, size = 50, 60_000
		me := protocoltest.NewIdentity(1)
		o := me.Options()
		o.NoOverlay = true
		r := must(protocol.NewRouter(o))
		var ids []protocol.ID
		for i := range uint64(links + 1) {
			p := protocoltest.NewIdentity(100 + i)
			atA, atB := protocoltest.Infos(me.ID, p.ID, i)
			if queued {
				atA.Features = nil
			}
			a, b := protocoltest.Pipe(atA, atB, protocoltest.PipeOptions{Window: 64 << 20})
			if queued {
				a.Block()
			}
			defer b.Close()
			go r.Serve(context.Background(), a) // ends with r
			ids = append(ids, p.ID)
		}
		synctest.Wait()
		payload := make([]byte, size)
		held := 0
		for _, id := range ids[:links] {
			for r.Send(id, protocol.FormRaw, payload) == nil {
				held += size
				synctest.Wait()
			}
		}
		if held > 56<<20 || held < 40<<20 {
			t.Errorf("%d links that do not read hold %d MiB", links, held>>20)
		}
		if err := r.Send(ids[links], protocol.FormRaw, payload); err != nil {
			t.Errorf("the link with an empty queue: %v", err)
		}
		r.Close()
	})
}

// TestUnwrittenIsCounted checks that Close counts each message that the only link had not
// written when it ended.
func TestUnwrittenIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		me, peer := protocoltest.NewIdentity(1), protocoltest.NewIdentity(2)
		o := me.Options()
		o.NoOverlay = true
		r := must(protocol.NewRouter(o))
		atA, atB := protocoltest.Infos(me.ID, peer.ID, 1)
		a, b := protocoltest.Pipe(atA, atB, protocoltest.PipeOptions{})
		served := make(chan struct{})
		go func() { // ends when b is closed
			defer close(served)
			r.Serve(context.Background(), a)
		}()
		synctest.Wait()
		a.Block()
		for range 5 {
			if err := r.Send(peer.ID, protocol.FormRaw, make([]byte, 60_000)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		b.Close()
		a.Close()
		<-served
		var unsent *protocol.UnsentError
		if err := r.Close(); !errors.As(err, &unsent) || unsent.Messages != 5 {
			t.Errorf("Close of a router with 5 unwritten messages: %v", err)
		}
	})
}

// TestFollowALostMessage checks that each router logs the digest of a lost message, which a relay
// returns to its origin, and that the one that dropped it logs the reason.
func TestFollowALostMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
		logs := make([]bytes.Buffer, 2)
		var mu sync.Mutex
		var events []protocol.Event // guarded by mu
		var r []*protocol.Router
		for i := range logs {
			o := protocoltest.NewIdentity(uint64(i + 1)).Options()
			o.NoOverlay = true
			o.Logger = slog.New(slog.NewTextHandler(&logs[i], &slog.HandlerOptions{Level: protocol.LevelTrace}))
			if i == 0 {
				o.Role = protocol.RoleLeaf
			} else {
				o.Tracer = func(e protocol.Event) {
					mu.Lock()
					defer mu.Unlock()
					events = append(events, e)
				}
			}
			r = append(r, n.Router(o))
		}
		n.Link(r[0], r[1])
		time.Sleep(time.Second)
		far := protocol.ID{0x77}
		if err := r[0].Send(far, protocol.FormRaw, []byte("x")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		var digest string
		for _, e := range events {
			if e.To == far && e.Type == protocol.MessageReturned {
				digest = e.Digest.String()
				if e.From != r[0].ID() || e.Peer != r[0].ID() || !strings.Contains(e.String(), "returned no_route") {
					t.Errorf("%v", e)
				}
			}
		}
		if digest == "" {
			t.Fatalf("no MessageReturned event in %v", events)
		}
		for i, want := range []string{`level=DEBUG msg="message dropped"`, `level=DEBUG msg="message returned"`} {
			if !logged(&logs[i], want, "message="+digest) {
				t.Errorf("router %d logs no line with %q and %s:\n%s", i, want, digest, &logs[i])
			}
		}
		if !logged(&logs[0], `level=DEBUG-4 msg="message sent"`, "message="+digest) || !logged(&logs[0], "reason=no_route") {
			t.Error("no reason in the log")
		}
	})
}

// logged reports whether a line of a log contains all parts.
func logged(log *bytes.Buffer, parts ...string) bool {
	for line := range strings.Lines(log.String()) {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			return true
		}
	}
	return false
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
