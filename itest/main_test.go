package itest

import (
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
)

func TestMain(m *testing.M) { harness.Main(m, map[string]peers.Part{partAttached: playAttached}) }
