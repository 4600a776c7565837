package legacy

import (
	"errors"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

const testSDP = "v=0\\r\\no=- 1 1 IN IP4 0.0.0.0\\r\\ns=-\\r\\nt=0 0\\r\\n" +
	"a=fingerprint:sha-256 01:D3:37:09:2C:4A:AD:A6:51:5E:FB:5F:EC:AB:D3:5C:8B:CF:93:B8:A0:A4:8D:C1:93:27:FC:2B:B0:86:9B:3D\\r\\n" +
	"a=group:BUNDLE 0\\r\\n" + testMedium
const testMedium = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\\r\\nc=IN IP4 0.0.0.0\\r\\na=setup:actpass\\r\\na=mid:0\\r\\n" +
	"a=sendrecv\\r\\na=sctp-port:5000\\r\\na=max-message-size:262144\\r\\na=ice-ufrag:abcdefgh\\r\\na=ice-pwd:abcdefghijklmnopqrstuvwxyzabcdef\\r\\n"
const testCandidate = `"candidate:1 1 udp 2130706431 127.0.0.1 9 typ host"`

func TestParseSignal(t *testing.T) {
	for _, good := range []string{
		`{"type":"offer","sdp":"` + testSDP + `"}`,
		`{"type":"answer","sdp":"` + testSDP + `","more":1}`,
		`{"candidate":{"candidate":` + testCandidate + `,"sdpMLineIndex":0,"sdpMid":"0"}}`,
		`{"type":"candidate","candidate":{"candidate":` + testCandidate + `,"sdpMLineIndex":null,"sdpMid":null}}`,
	} {
		if _, err := parseSignal([]byte(good)); err != nil {
			t.Errorf("%.60s: %v", good, err)
		}
	}
	for _, bad := range hostileSignals() {
		if _, err := parseSignal([]byte(bad)); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%.60s: %v", bad, err)
		}
	}
}

// hostileSignals are refused before anything is made of them.
func hostileSignals() []string {
	return []string{
		``, `null`, `1`, `"offer"`, `[]`, `{}`, `{`, "\x00\xff", `{"type":1}`,
		`{"type":"offer"}`, `{"type":"offer","sdp":null}`, `{"type":"offer","sdp":""}`, `{"type":"offer","sdp":{}}`,
		`{"type":"offer","sdp":"junk"}`, `{"type":"offer","sdp":"v=0\r\n"}`, `{"type":"offer","sdp":"` + strings.Repeat("a=", 1000) + `"}`,
		`{"type":"pranswer","sdp":"` + testSDP + `"}`, `{"type":"rollback","sdp":"` + testSDP + `"}`, `{"sdp":"` + testSDP + `"}`,
		`{"type":"offer","sdp":"` + testSDP + testMedium + `"}`,
		`{"type":"offer","sdp":"` + strings.Replace(testSDP, "m=application", "m=audio", 1) + `"}`,
		`{"type":"offer","sdp":"` + testSDP + strings.Repeat(`a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n`, maxCandidates+1) + `"}`,
		`{"type":"offer","sdp":"` + testSDP + strings.Repeat("a=x\\r\\n", maxSignal/7) + `"}`,
		`{"candidate":null}`, `{"candidate":""}`, `{"candidate":{}}`, `{"candidate":{"candidate":""}}`, `{"candidate":{"candidate":1}}`,
		`{"candidate":{"candidate":` + testCandidate + `,"sdpMLineIndex":-1}}`, `{"candidate":{"candidate":` + testCandidate + `,"sdpMLineIndex":65536}}`,
		`{"candidate":{"candidate":` + testCandidate + `,"sdpMid":0}}`, `{"candidate":{"candidate":` + testCandidate + `,"sdpMid":"` + strings.Repeat("0", maxMid+1) + `"}}`, `{"candidate":{"candidate":"` + strings.Repeat("x", maxCandidate+1) + `"}}`,
		`{"type":"offer","sdp":"` + testSDP + `","candidate":{"candidate":` + testCandidate + `}}`,
		`{"type":"candidate"}`, `{"type":"renegotiate","renegotiate":true}`, `{"type":"transceiverRequest"}`,
	}
}
