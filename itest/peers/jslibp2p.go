package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// leastLibp2pNode is the Node that js-libp2p needs.
const leastLibp2pNode = 22

// A Libp2pReport is what js-libp2p learned of a host that it dialled.
type Libp2pReport struct {
	Self            string   // its own peer id
	Peer            string   // the host's peer id, proved by the handshake
	Agent           string   // from identify, as the next three
	ProtocolVersion string   //
	Protocols       []string //
	ListenAddrs     []string //
	Encryption      string
	Multiplexer     string
	PingMillis      float64
}

// DialJSLibp2p lets js-libp2p in Node 22 dial a multiaddr, secure the connection with noise and multiplex
// it, identify the host and ping it.
func DialJSLibp2p(ctx context.Context, multiaddr string) (*Libp2pReport, error) {
	return dialJSLibp2p(ctx, multiaddr, "noise")
}

// DialJSLibp2pByTLS does the same with TLS.
func DialJSLibp2pByTLS(ctx context.Context, multiaddr string) (*Libp2pReport, error) {
	return dialJSLibp2p(ctx, multiaddr, "tls")
}

func dialJSLibp2p(ctx context.Context, multiaddr, security string) (*Libp2pReport, error) {
	out, err := RunNode(ctx, nil, "libp2p.mjs", multiaddr, security)
	if err != nil {
		return nil, fmt.Errorf("itest: js-libp2p to %s: %w", multiaddr, err)
	}
	var report Libp2pReport
	if err := json.Unmarshal(out, &report); err != nil {
		return nil, fmt.Errorf("itest: js-libp2p to %s: %w: %.200q", multiaddr, err, out)
	}
	return &report, nil
}

// RunNode runs a Node that js-libp2p works on, in the folder of our JavaScript, with env
// (NAME=VALUE) in its environment beside ours, and returns what it writes to standard
// output. The error has what it wrote to standard error.
func RunNode(ctx context.Context, env []string, args ...string) ([]byte, error) {
	dir, err := Install(ctx)
	if err != nil {
		return nil, err
	}
	node, err := Node(ctx, leastLibp2pNode)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, node, args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "NODE_OPTIONS="), env...)
	cmd.WaitDelay = exitGrace
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%w\n%s\nit had printed %.500q", err, bytes.TrimSpace(stderr.Bytes()), out)
	}
	return out, nil
}

// Ping is the round trip that js-libp2p measured.
func (r *Libp2pReport) Ping() time.Duration {
	return time.Duration(r.PingMillis * float64(time.Millisecond))
}
