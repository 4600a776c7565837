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
