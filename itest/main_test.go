package itest

import (
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
)

// parts are what this program plays when a test starts it again.
var parts = map[string]peers.Part{partAttached: playAttached, partDialler: playDialler}

func TestMain(m *testing.M) { harness.Main(m, parts) }
