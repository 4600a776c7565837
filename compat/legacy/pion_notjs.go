//go:build !js

package legacy

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/datachannel"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
)

// A build for js lacks these parts of pion: there pion wraps the browser's own WebRTC.

const (
	// iceDisconnected is the time without any packet from a peer after which its link ends.
	iceDisconnected = 5 * time.Second
	// iceFailed is the time after that within which the connection may resume. Chromium ends a
	// connection after 18 s.
	iceFailed = 25 * time.Second
	// iceKeepAlive is the interval of keepalives on an idle connection.
	iceKeepAlive = 2 * time.Second
	// rtoMax is the largest pause between two attempts to send the same bytes. So the bytes for a
	// silent peer are sent soon after it answers again.
	rtoMax = 2 * time.Second
)

// newAPI sets w.api, and w.mux if the connections share a port. The options have passed Check.
func (w *WebRTC) newAPI(o WebRTCOptions) error {
	var s webrtc.SettingEngine
	s.LoggerFactory = &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
	s.DetachDataChannels()
	s.SetSCTPMaxMessageSize(MaxWebRTC)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeQueryOnly) // Chromium hides its addresses behind such names
	s.SetPrflxAcceptanceMinWait(0)                          // pion would wait 1 s for a better one
	s.SetICETimeouts(iceDisconnected, iceFailed, iceKeepAlive)
	s.SetSCTPRTOMax(rtoMax)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	s.DisableActiveTCP(true)
	s.SetIncludeLoopbackCandidate(true) // the filter decides
	s.SetIPFilter(func(ip net.IP) bool {
		addr, ok := netip.AddrFromSlice(ip)
		return ok && w.home.Load().has(addr)
	})
	var keep func(string) bool
	if o.Interfaces != nil {
		names := slices.Clone(o.Interfaces)
		keep = func(name string) bool { return slices.Contains(names, name) }
		s.SetInterfaceFilter(keep)
	}
	if o.PortMax != 0 {
		s.SetEphemeralUDPPortRange(o.PortMin, o.PortMax) // cannot fail after Check
	}
	if o.SharePort {
		var err error
		if w.mux, err = w.listenMux(int(o.Port), keep, s.LoggerFactory); err != nil {
			return err
		}
		s.SetICEUDPMux(w.mux)
	}
	w.api = webrtc.NewAPI(webrtc.WithSettingEngine(s), webrtc.WithMediaEngine(&webrtc.MediaEngine{}), webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	return nil
}

// closeConn closes a PeerConnection and waits for its goroutines.
func closeConn(pc *webrtc.PeerConnection) { pc.GracefulClose() }

// detach returns an open channel as a reader and writer.
func detach(channel *webrtc.DataChannel) (datachannel.ReadWriteCloserDeadliner, error) {
	return channel.DetachWithDeadline()
}

// answered returns the number of answers that the peer's ICE has given, and whether the last one was
// fresh. After this process was stopped, it reads answers first that came before.
func (c *rtcConn) answered() (answers uint64, fresh bool) {
	stats, _ := c.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats()
	return stats.ResponsesReceived, stats.CurrentRoundTripTime < iceDisconnected.Seconds()
}

// inFlight returns the number of bytes of a connection that its peer has not acknowledged.
func inFlight(pc *webrtc.PeerConnection, _ *webrtc.DataChannel) uint64 {
	return uint64(pc.SCTP().BufferedAmount())
}
