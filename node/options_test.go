package node

import (
	"errors"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/node/mailbox"
	"github.com/peer-relay/peer-relay/protocol"
)

// TestOptionsThatMakeNoSense checks that New and Attach refuse them, and say which.
func TestOptionsThatMakeNoSense(t *testing.T) {
	for want, o := range map[string]Options{
		"want Listen":    {Port: 8001},
		"leaf":           {Listen: true, Role: protocol.RoleLeaf},
		"MaxConns is -1": {MaxConns: -1},
		"attached host":  {URLs: []string{"ws://localhost:8001"}},
		"role 7 is not":  {Role: 7},
		"keeps no":       {Role: protocol.RoleLeaf, Mailbox: &mailbox.Options{Dir: t.TempDir()}},
		"no directory":   {Mailbox: &mailbox.Options{}},
	} {
		n, err := New(o)
		if err == nil {
			n.Close()
		}
		if !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
	n, err := Attach(nodetest.StockHost(t), Options{Role: 7})
	if err == nil {
		n.Close()
	}
	if !errors.Is(err, ErrOptions) {
		t.Errorf("an attached node of role 7: error %v", err)
	}
}
