//go:build !js

package legacy

import (
	"bufio"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A peerSignal is a signal that a real peer sent: simple-peer 6 as npm installs it with
// peer-relay, simple-peer 9, or Chromium.
type peerSignal struct {
	Peer   string
	Signal json.RawMessage
}

func peerSignals(t testing.TB) (all []peerSignal) {
	t.Helper()
	f, err := os.Open("testdata/signals.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var s peerSignal
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if lines.Err() != nil || len(all) == 0 {
		t.Fatalf("%d signals: %v", len(all), lines.Err())
	}
	return all
}

// TestPeerSignals checks that the signals of real peers are accepted, and that all kinds are
// among them.
func TestPeerSignals(t *testing.T) {
	kinds := make(map[string]map[string]int)
	at := home{loopback: true, private4: true, private6: true}
	for _, p := range peerSignals(t) {
		s, err := parseSignal(p.Signal)
		if err != nil {
			t.Errorf("%s: %s: %v", p.Peer, p.Signal, err)
			continue
		}
		if kinds[p.Peer] == nil {
			kinds[p.Peer] = make(map[string]int)
		}
		candidates := s.within
		if s.Candidate != nil {
			candidates = append(candidates, *s.Candidate)
			s.Type = "candidate"
		}
		kinds[p.Peer][s.Type]++
		for _, c := range candidates {
			parsed, err := ice.UnmarshalCandidate(c.Candidate)
			if err != nil || !at.tries(parsed) && parsed.NetworkType().IsUDP() {
				t.Errorf("%s: %s is not tried: %v", p.Peer, c.Candidate, err)
			}
			kinds[p.Peer]["candidate"]++
		}
	}
	for _, peer := range []string{"simple-peer 6.4.4, @roamhq/wrtc", "simple-peer 9.11.1, @roamhq/wrtc", "simple-peer 9.11.1, @roamhq/wrtc, no trickle", "Chromium"} {
		for _, kind := range []string{"offer", "answer", "candidate"} {
			if kinds[peer][kind] == 0 {
				t.Errorf("no %s of %s", kind, peer)
			}
		}
	}
}

// FuzzSignal reads its input as a signal. An accepted signal survives being written and read
// again, and its description holds no unchecked candidate.
func FuzzSignal(f *testing.F) {
	for _, s := range peerSignals(f) {
		f.Add([]byte(s.Signal))
	}
	for _, s := range hostileSignals() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		s, err := parseSignal(input)
		if err != nil {
			if !errors.Is(err, wire.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		text, err := s.text()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseSignal(text)
		if err != nil && len(text) <= maxSignal { // JSON may need more bytes for the same text
			t.Fatalf("%q: %v", text, err)
		}
		if err == nil && (again.SDP != s.SDP || again.Type != s.Type || len(again.within) > 0) {
			t.Fatalf("%+v became %+v", s, again)
		}
		if s.Candidate != nil {
			return
		}
		if len(s.within) > maxCandidates || strings.Contains(s.SDP, "\na=candidate:") {
			t.Fatalf("candidates are left: %q", s.SDP)
		}
	})
}

// FuzzSDP is FuzzSignal for the text of a description, so that it gets further inside.
func FuzzSDP(f *testing.F) {
	for _, text := range peerSDPs(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rest, candidates := splitSDP(text)
		if checkSDP(rest, len(candidates)) != nil {
			return
		}
		again, more := splitSDP(rest)
		if again != rest || len(more) > 0 || len(candidates) > maxCandidates {
			t.Fatalf("%q and %d candidates", rest, len(candidates))
		}
	})
}

func peerSDPs(t testing.TB) (all []string) {
	for _, p := range peerSignals(t) {
		if s, err := parseSignal(p.Signal); err == nil && s.SDP != "" {
			all = append(all, s.SDP)
		}
	}
	return all
}

// TestMutatedSDP checks that pion accepts or refuses each description that passes checkSDP, and
// does not panic. This is not a fuzz target: with pion's goroutines the coverage is random, and
// the fuzzer would spend a minute on each such input.
func TestMutatedSDP(t *testing.T) {
	const mutants = 400
	r := rand.New(rand.NewPCG(5, 6))
	values := []string{"", "0", "-1", "1", "65536", "18446744073709551616", "passive", "active", "actpass", "sha-256", "sha-256 00", "sha-1 " + strings.Repeat("00:", 19) + "00",
		"BUNDLE", "BUNDLE 1", "LS 0", "trickle", "\x00", strings.Repeat("x", 300), "IN IP4 256.0.0.1", "application 9 UDP/DTLS/SCTP", "application 9 UDP/DTLS/SCTP webrtc-datachannel 5000"}
	names := []string{"a=mid:", "a=setup:", "a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=group:", "a=sctp-port:", "a=max-message-size:", "a=ice-lite", "a=ice-options:",
		"a=inactive", "a=sendonly", "a=rtcp:", "a=ssrc:", "a=rid:", "a=simulcast:", "a=msid:", "a=extmap:", "a=fmtp:", "a=rtpmap:", "a=end-of-candidates", "a=identity:", "c=", "b=AS:", "i=", "k=", "s=", "t=", "o=", "v="}
	originals := peerSDPs(t)
	api := webrtc.NewAPI(webrtc.WithMediaEngine(&webrtc.MediaEngine{}))
	passed, taken := 0, 0
	for range mutants {
		lines := strings.SplitAfter(originals[r.IntN(len(originals))], "\n")
		for range 1 + r.IntN(3) {
			at := r.IntN(len(lines))
			line := names[r.IntN(len(names))] + values[r.IntN(len(values))] + "\r\n"
			switch name, _, ok := strings.Cut(lines[at], ":"); r.IntN(4) {
			case 0:
				lines[at] = ""
			case 1:
				lines[at] += line
			case 2:
				lines[at] += lines[at]
			case 3:
				if ok {
					lines[at] = name + ":" + values[r.IntN(len(values))] + "\r\n"
				} else {
					lines[at] = line
				}
			}
		}
		text, candidates := splitSDP(strings.Join(lines, ""))
		if checkSDP(text, len(candidates)) != nil {
			continue
		}
		passed++
		pc, err := api.NewPeerConnection(webrtc.Configuration{})
		if err != nil {
			t.Fatal(err)
		}
		if pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: text}) == nil {
			if _, err := pc.CreateAnswer(nil); err == nil {
				taken++
			}
		}
		if err := pc.GracefulClose(); err != nil {
			t.Fatal(err)
		}
	}
	if t.Logf("%d mutants, %d passed the check, pion answered %d", mutants, passed, taken); taken == 0 || taken == passed || passed == mutants {
		t.Error("nothing was tested")
	}
}

// FuzzCandidate reads its input as a candidate. Only an address in reach is tried, whatever the
// home is.
func FuzzCandidate(f *testing.F) {
	for _, p := range peerSignals(f) {
		s, err := parseSignal(p.Signal)
		if err != nil {
			f.Fatal(err)
		}
		if s.Candidate != nil {
			f.Add(s.Candidate.Candidate, true, true, true)
		}
		for _, c := range s.within {
			f.Add(c.Candidate, false, false, false)
		}
	}
	f.Fuzz(func(t *testing.T, text string, loopback, private4, private6 bool) {
		c, err := ice.UnmarshalCandidate(text)
		if err != nil {
			return
		}
		r := home{loopback, private4, private6}
		if !r.tries(c) {
			return
		}
		again, err := ice.UnmarshalCandidate(c.Marshal())
		if err != nil || again.Address() != c.Address() || again.Port() != c.Port() {
			t.Fatalf("%q became %v: %v", text, again, err)
		}
		if strings.HasSuffix(c.Address(), ".local") {
			if !loopback && !private4 && !private6 {
				t.Fatalf("%q is looked up", text)
			}
			return
		}
		addr, err := netip.ParseAddr(c.Address())
		if err != nil || !r.has(addr) || addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified() || addr.Unmap().IsLoopback() && !loopback {
			t.Fatalf("%q is tried: %v, %v", text, addr, err)
		}
	})
}
