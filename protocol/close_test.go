package protocol_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// TestRefusedLinkEndsWithRouter checks that a refused link, which stays open for the bye, does
// not outlive Close.
func TestRefusedLinkEndsWithRouter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
		r := n.Router(quiet(1))
		mine, ended := lone(t, r, protocol.LinkInfo{ID: r.ID(), Kind: protocol.LinkNative}) // to itself
		if f, err := mine.ReadFrame(); err != nil || f.Type != wire.FrameBye {
			t.Fatalf("the first frame is %v, error %v, want a bye", f, err)
		}
		begun := time.Now()
		r.Close()
		if took := time.Since(begun); took > 0 {
			t.Errorf("Close took %v, although there was no link", took)
		}
		synctest.Wait()
		select {
		case err := <-ended:
			if !errors.Is(err, protocol.ErrSelf) {
				t.Errorf("the link ended with %v", err)
			}
		default:
			t.Error("the refused link outlives Close")
		}
	})
}

// Close waits for a handler that runs.
func TestCloseWaitsForAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet(1)
		o.OnMessage = func(protocol.Message) { time.Sleep(time.Minute) }
		r := must(protocol.NewRouter(o))
		if err := r.Send(r.ID(), protocol.FormRaw, []byte("to itself")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		begun := time.Now()
		r.Close()
		if took := time.Since(begun); took < time.Minute {
			t.Errorf("Close returned after %v, while a handler was running", took)
		}
	})
}

// A slowLink takes a minute to close.
type slowLink struct{ protocol.Link }

func (l slowLink) Close() error {
	defer time.Sleep(time.Minute)
	return l.Link.Close()
}

// Close waits for the Serve of a link, also of one that is refused.
func TestCloseWaitsForServe(t *testing.T) {
	for name, id := range map[string]protocol.ID{"served": {1}, "refused": quiet(1).ID} {
		synctest.Test(t, func(t *testing.T) {
			r := must(protocol.NewRouter(quiet(1)))
			a, b := protocoltest.Pipe(protocol.LinkInfo{ID: id, Kind: protocol.LinkNative}, protocol.LinkInfo{}, protocoltest.PipeOptions{})
			defer b.Close()
			ended := false
			go func() { // ends with r
				r.Serve(t.Context(), slowLink{a})
				ended = true
			}()
			synctest.Wait()
			begun := time.Now()
			r.Close()
			if took := time.Since(begun); took < time.Minute {
				t.Errorf("%s: Close returned after %v, while the link was being closed", name, took)
			}
			synctest.Wait()
			if !ended {
				t.Errorf("%s: Serve outlives Close", name)
			}
		})
	}
}
