package port

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	ma "github.com/multiformats/go-multiaddr"
)

// A limit is a bound of the inbound connections.
type limit int

const (
	limitRate       limit = iota // new connections from one address
	limitAddr                    // connections from one address
	limitHandshakes              // connections that are in their handshakes
	limitConns                   // connections
	limitDirect                  // of these, connections over webrtc-direct
	limitFiles                   // open files, which the system allows or the resource manager
	numLimits
)

// A limitText is what is said of a limit.
type limitText struct {
	name   string        // for counters and logs
	says   string        // to the client
	status int           // of the answer
	retry  time.Duration // after which the client may try again
}

var limitTexts = [numLimits]limitText{
	limitRate:       {"rate", "too many new connections from your address", http.StatusTooManyRequests, time.Second},
	limitAddr:       {"address", "too many connections from your address", http.StatusTooManyRequests, 30 * time.Second},
	limitHandshakes: {"handshakes", "too many connections are in their handshakes", http.StatusServiceUnavailable, 5 * time.Second},
	limitConns:      {"connections", "too many connections", http.StatusServiceUnavailable, 30 * time.Second},
	limitDirect:     {name: "webrtc_direct"}, // no HTTP
	limitFiles:      {"files", "too many open files", http.StatusServiceUnavailable, 30 * time.Second},
}

func (l limit) String() string { return limitTexts[l].name }

// limitOf returns the limit for which the resource manager refused a connection. It tells two of
// them only by the text of its error.
func limitOf(err error) limit {
	text := err.Error()
	switch {
	case strings.HasPrefix(text, "rate limit"):
		return limitRate
	case strings.HasPrefix(text, "connections per ip limit"):
		return limitAddr
	case errors.Is(err, network.ErrResourceLimitExceeded) && strings.Contains(text, "file descriptor"):
		return limitFiles
	case errors.Is(err, network.ErrResourceLimitExceeded) && strings.Contains(text, "transient"):
		return limitHandshakes
	}
	return limitConns
}

// reportEvery is the least time between two lines of the log about refused connections.
const reportEvery = 10 * time.Second

// refusals count the inbound connections that are refused for a limit, and log them: the first
// at once, and then how many there were in each reportEvery. However many are refused, the log
// stays readable, and no connection waits for it.
type refusals struct {
	count [numLimits]atomic.Uint64
	wake  chan struct{} // has room for one
}

func newRefusals() *refusals { return &refusals{wake: make(chan struct{}, 1)} }

func (r *refusals) note(l limit) {
	r.count[l].Add(1)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// report logs refused connections until ctx is done.
func (r *refusals) report(ctx context.Context, log *slog.Logger) {
	var told [numLimits]uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		for l := range numLimits {
			if n := r.count[l].Load(); n > told[l] {
				log.Warn("connections refused", "limit", l, "refused", n-told[l])
				told[l] = n
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(reportEvery):
		}
	}
}

// A watchedManager is a resource manager whose refusals are counted.
type watchedManager struct {
	network.ResourceManager
	rcmgr.ResourceManagerState
	refused *refusals
}

// OpenConnection implements network.ResourceManager.
func (m *watchedManager) OpenConnection(dir network.Direction, usefd bool, endpoint ma.Multiaddr) (network.ConnManagementScope, error) {
	scope, err := m.ResourceManager.OpenConnection(dir, usefd, endpoint)
	if err != nil && dir == network.DirInbound {
		m.refused.note(limitOf(err))
	}
	return scope, err
}
