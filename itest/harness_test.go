package itest

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long a test waits for anything. It is generous: only a failure takes it.
const patience = 2 * time.Minute

// installPatience is patience for a test that may have to install what it depends on.
const installPatience = 5 * time.Minute

func TestMain(m *testing.M) {
	if status, played := play(testParts()); played {
		os.Exit(status)
	}
	// The timer of a read deadline that libp2p sets, for identify and ping, on a stream of
	// webrtc-direct: it runs out although the connection was closed before.
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

// binaryEnv has the path of our binary in a test process that another one started.
const binaryEnv = "PEER_RELAY_ITEST_BINARY"

// goBinary gives the path of our binary.
func goBinary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv(binaryEnv); path != "" {
		return path
	}
	binary.once.Do(func() {
		if binary.dir, binary.err = os.MkdirTemp("", "peer-relay-itest-"); binary.err == nil {
			binary.path, binary.err = BuildGo(t.Context(), binary.dir)
		}
	})
	must(t, binary.err)
	return binary.path
}

// goPeer starts a process of our binary. It ends with the test.
func goPeer(t *testing.T, spec Spec, flags ...string) *GoPeer {
	t.Helper()
	p, err := StartGo(testContext(t), goBinary(t), spec, flags...)
	must(t, err)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// testContext ends when the test does, or after patience.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// installContext is testContext for a test that may have to install what it depends on.
func installContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), installPatience)
	t.Cleanup(cancel)
	return ctx
}

// needTool skips the test loudly if a program is missing, and fails it with CI=true.
func needTool(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := LookTool(name); err != nil {
			noTool(t, err)
		}
	}
}

func noTool(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%v (CI=true, so this is no skip)", err)
	}
	t.Skipf("SKIPPED, NOTHING WAS TESTED: %v", err)
}

// needLinux skips the test loudly where there is no /proc, and fails it with CI=true.
func needLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		noTool(t, errors.New("only Linux tells the CPU time and the memory of a process"))
	}
}

// must fails the test for an error, or skips it for a missing tool.
func must(t *testing.T, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, ErrNoTool):
		noTool(t, err)
	default:
		t.Fatal(err)
	}
}

// needNPM sees to it that the npm dependencies are there.
func needNPM(t *testing.T) {
	t.Helper()
	needTool(t, "node", "npm")
	_, err := Install(installContext(t))
	must(t, err)
}

// startDriver starts a Node process for the test. It ends with the test, which fails if
// the process had crashed.
func startDriver(t *testing.T) *Driver {
	t.Helper()
	needNPM(t)
	d, err := StartDriver(testContext(t))
	must(t, err)
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

// npmPeer starts a peer of the npm package in a driver.
func npmPeer(t *testing.T, d *Driver, spec NPMSpec) *NPMPeer {
	t.Helper()
	p, err := d.Peer(testContext(t), spec)
	must(t, err)
	return p
}
