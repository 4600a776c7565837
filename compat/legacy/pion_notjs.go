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

// The parts of pion that a build for js has not: there it is a wrapper of the browser's
// own WebRTC.

const (
	// iceDisconnected is how long nothing may come from a peer before its link ends.
	iceDisconnected = 5 * time.Second
	// iceFailed is how long after that the connection may still come back. Chromium takes one
	// for lost after 18 s.
	iceFailed = 25 * time.Second
	// iceKeepAlive is how often a silent peer is pinged.
	iceKeepAlive = 2 * time.Second
	// rtoMax bounds the pause between two tries to send the same bytes, so that what waited
	// for a silent peer is sent soon after it lives again.
	rtoMax = 2 * time.Second
)

// newAPI sets w.api, and w.mux if the connections share a port. Check has seen the options.
func (w *WebRTC) newAPI(o WebRTCOptions) error {
	var s webrtc.SettingEngine
	s.LoggerFactory = &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
	s.DetachDataChannels()
	s.SetSCTPMaxMessageSize(MaxWebRTC)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeQueryOnly) // Chromium hides its addresses so
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
		s.SetEphemeralUDPPortRange(o.PortMin, o.PortMax) // in order, or Check would have said so
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

// detach returns an open channel to read from and write to.
func detach(channel *webrtc.DataChannel) (datachannel.ReadWriteCloserDeadliner, error) {
	return channel.DetachWithDeadline()
}
