// Package harness is what the tests of itest share: it starts peers that end with the
// test, and treats a missing tool as a skip, or with CI=true as a failure. Only tests
// import it.
package harness

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/peer-relay/peer-relay/itest/peers"
)

const (
	// Patience is the most time that a test waits for anything. Only a failure takes it.
	Patience = 2 * time.Minute

	// InstallPatience is Patience for a test that may have to install the npm dependencies.
	InstallPatience = 5 * time.Minute

	// BinaryEnv is the environment variable with the path of our binary, for a test process
	// that another one started.
	BinaryEnv = "PEER_RELAY_ITEST_BINARY"
)

// Main is the TestMain of a package that starts peers. If the process was started to play
// one of parts, or a fleet, it plays that instead: see peers.Play.
func Main(m *testing.M, parts map[string]peers.Part) {
	if status, played := peers.Play(parts); played {
		os.Exit(status)
	}
	// libp2p sets a read deadline, for identify and ping, on a stream of webrtc-direct. Its
	// timer runs out although the connection was closed before.
	leftover := goleak.IgnoreTopFunction("github.com/pion/sctp.(*Stream).SetReadDeadline.func1")
	goleak.VerifyTestMain(m, leftover, goleak.Cleanup(func(status int) {
		if binary.dir != "" {
			os.RemoveAll(binary.dir)
		}
		os.Exit(status)
	}))
}

// binary is our binary, built by the first test that needs it.
var binary struct {
	once      sync.Once
	dir, path string
	err       error
}

// Binary returns the path of our binary.
func Binary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv(BinaryEnv); path != "" {
		return path
	}
	binary.once.Do(func() {
		if binary.dir, binary.err = os.MkdirTemp("", "peer-relay-itest-"); binary.err == nil {
			binary.path, binary.err = peers.BuildGo(t.Context(), binary.dir)
		}
	})
	Must(t, binary.err)
	return binary.path
}

// GoPeer starts a process of our binary, which ends with the test.
func GoPeer(t *testing.T, spec peers.Spec, flags ...string) *peers.GoPeer {
	t.Helper()
	p, err := peers.StartGo(Context(t), Binary(t), spec, flags...)
	Must(t, err)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// LAN makes a network of hosts, which ends with the test. Peers on it must be started after it.
func LAN(t *testing.T) *peers.LAN {
	t.Helper()
	l, err := peers.NewLAN(Context(t))
	Must(t, err)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// LANHost adds a host to a LAN.
func LANHost(t *testing.T, l *peers.LAN, addrs ...string) *peers.LANHost {
	t.Helper()
	h, err := l.Host(Context(t), addrs...)
	Must(t, err)
	return h
}

// StartDriver starts a Node process, which ends with the test. The test fails if the
// process has crashed.
func StartDriver(t *testing.T) *peers.Driver {
	t.Helper()
	NeedNPM(t)
	d, err := peers.StartDriver(Context(t))
	Must(t, err)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() && d.Process().Stderr() != "" {
			t.Logf("standard error of node:\n%s", d.Process().Stderr())
		}
	})
	return d
}

// NPMPeer starts a peer of the npm package in a driver.
func NPMPeer(t *testing.T, d *peers.Driver, spec peers.NPMSpec) *peers.NPMPeer {
	t.Helper()
	p, err := d.Peer(Context(t), spec)
	Must(t, err)
	return p
}

// StartChromium starts a browser, which ends with the test.
func StartChromium(t *testing.T) *peers.Chromium {
	t.Helper()
	c, err := peers.StartChromium(Context(t))
	Must(t, err)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Context returns a context that ends with the test, or after Patience.
func Context(t *testing.T) context.Context {
	t.Helper()
	return within(t, Patience)
}

// InstallContext returns a context that ends with the test, or after InstallPatience.
func InstallContext(t *testing.T) context.Context {
	t.Helper()
	return within(t, InstallPatience)
}

func within(t *testing.T, most time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	t.Cleanup(cancel)
	return ctx
}

// Must ends the test for an error: with a skip if it matches peers.ErrNoTool and CI is
// not "true", otherwise with a failure.
func Must(t *testing.T, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, peers.ErrNoTool):
		noTool(t, err)
	default:
		t.Fatal(err)
	}
}

// NeedTool skips the test if a program is missing, and fails it with CI=true.
func NeedTool(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		_, err := peers.LookTool(name)
		Must(t, err)
	}
}

// NeedNPM installs the npm dependencies. Without node or npm it skips the test, and fails
// it with CI=true.
func NeedNPM(t *testing.T) {
	t.Helper()
	NeedTool(t, "node", "npm")
	_, err := peers.Install(InstallContext(t))
	Must(t, err)
}

// NeedLinux skips the test where there is no /proc, and fails it with CI=true.
func NeedLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		noTool(t, errors.New("only Linux tells the CPU time and the memory of a process"))
	}
}

func noTool(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%v (CI=true, so this is no skip)", err)
	}
	t.Skipf("SKIPPED, NOTHING WAS TESTED: %v", err)
}
