package trials

import (
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
)

func TestMain(m *testing.M) { harness.Main(m, nil) }
