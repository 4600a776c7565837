package plays

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pion/webrtc/v4"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
)

// A description as simple-peer writes it, of a peer that does not exist.
const (
	hostileHead = `v=0\r\no=- 8652930047032223738 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n`
	hostileMid  = `m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n`
	hostileICE  = `a=ice-ufrag:Tnv5\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=ice-options:trickle\r\n`
	hostileKey  = `a=fingerprint:sha-256 01:D3:37:09:2C:4A:AD:A6:51:5E:FB:5F:EC:AB:D3:5C:8B:CF:93:B8:A0:A4:8D:C1:93:27:FC:2B:B0:86:9B:3D\r\n`
	hostileTail = `a=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n`
	hostileSDP  = hostileHead + hostileMid + hostileICE + hostileKey + hostileTail

	// hostileLinks is the number of links of most floods.
	hostileLinks = 4
	// hostileMany is the number of candidates where a few would do.
	hostileMany = 10_000
)

func hostileOffer(sdp string) string { return `{"type":"offer","sdp":"` + sdp + `"}` }

func hostileCandidate(candidate string) string {
	return `{"candidate":{"candidate":"` + candidate + `","sdpMLineIndex":0,"sdpMid":"0"}}`
}

func numbered(n int, format string) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf(format, i))
	}
	return all
}

// Hostilities returns all of them.
func Hostilities() []Hostility {
	const nowhere = "candidate:%d 1 udp 2122265343 198.51.100.%[1]d 40000 typ host"
	host := func(addrPort string) string { return "candidate:1 1 udp 2122265343 " + addrPort + " typ host" }
	inline := func(n int) string {
		return hostileSDP + strings.Repeat(`a=candidate:1 1 udp 1 198.51.100.1 40000 typ host\r\n`, n)
	}
	var one protocol.ID
	one[0] = 1
	sameID := func(texts func(p *speaker) []string) func(context.Context, *Siege) error {
		return flood(1, func(p *speaker, i int) []string {
			if i == 0 {
				return append([]string{p.offer(one)}, texts(p)...)
			}
			return texts(p)
		})
	}
	return []Hostility{
		// Descriptions that are none, or not for one data channel.
		{"offer: no SDP at all", true, signals(`{"type":"offer"}`, `{"type":"offer","sdp":""}`, `{"type":"offer","sdp":null}`, `{"type":"offer","sdp":{}}`, `{"type":"offer","sdp":[1]}`)},
		{"offer: junk for SDP", true, signals(hostileOffer("junk"), hostileOffer(`v=0\r\n`), hostileOffer(`\u0000\uffff\ud800`), hostileOffer(`=\r\n=\r\n`))},
		{"offer: 30 KB of attributes", false, signals(hostileOffer(hostileSDP + strings.Repeat(`a=x\r\n`, 4_000)))},
		{"offer: 250 KB of SDP", true, signals(hostileOffer(hostileSDP + strings.Repeat(`a=x\r\n`, 35_000)))},
		{"offer: one attribute of 30 KB", true, signals(hostileOffer(hostileSDP + `a=x:` + strings.Repeat("x", 30_000)))},
		{"offer: 200 media", true, signals(hostileOffer(hostileSDP + strings.Repeat(hostileMid, 200)))},
		{"offer: audio and video", true, signals(hostileOffer(strings.Replace(hostileSDP, "m=application", "m=audio", 1)), hostileOffer(strings.Replace(hostileSDP, "m=application", "m=video", 1)))},
		{"offer: no user fragment", true, signals(hostileOffer(hostileHead + hostileMid + hostileKey + hostileTail))},
		{"offer: no fingerprint", true, signals(hostileOffer(hostileHead + hostileMid + hostileICE + hostileTail))},
		{"offer: a fingerprint that is none", false, signals(hostileOffer(hostileHead + hostileMid + hostileICE + `a=fingerprint:md2 00\r\n` + hostileTail))},
		{"offer: 10,000 candidates in it", true, signals(hostileOffer(inline(hostileMany)))},
		{"offer: 33 candidates in it", true, signals(hostileOffer(inline(33)))},
		{"offer: pranswer, rollback and other types", true, signals(`{"type":"pranswer","sdp":"`+hostileSDP+`"}`, `{"type":"rollback","sdp":"`+hostileSDP+`"}`, `{"type":"renegotiate","renegotiate":true}`, `{"type":"transceiverRequest"}`)},
		{"offer: 100,000 levels of nesting", true, signals(strings.Repeat(`[`, 100_000)+strings.Repeat(`]`, 100_000), strings.Repeat(`{"a":`, 900)+`1`+strings.Repeat(`}`, 900))},
		{"signal: other JSON", true, signals(`null`, `1`, `"offer"`, `[]`, `{}`, `true`, `{"type":1}`, `{"sdp":1}`)},

		// Offers.
		{"offers: 10,000 a second of one id", false, sameID(func(p *speaker) []string { return []string{p.signal(one, hostileOffer(hostileSDP))} })},
		{"offers: 10,000 a second, each of another id", false, signals(hostileOffer(hostileSDP))},
		{"offers that never complete, a crowd of links", false, flood(100, func(p *speaker, i int) []string {
			from := p.s.id()
			return []string{p.offer(from), p.signal(from, hostileOffer(hostileSDP))}
		})},
		{"offers that never complete, 32 candidates in each", false, signals(hostileOffer(inline(32)))},
		{"offers of the speaker itself, which has a link", true, flood(hostileLinks, func(p *speaker, i int) []string {
			return []string{p.offer(p.id), p.signal(p.id, hostileOffer(hostileSDP))}
		})},
		{"offers without a handshake", true, flood(hostileLinks, func(p *speaker, i int) []string { return []string{p.signal(p.s.id(), hostileOffer(hostileSDP))} })},
		{"the same message again and again", false, func(ctx context.Context, s *Siege) error {
			from := s.id()
			same := make(map[*speaker][]string)
			return flood(1, func(p *speaker, i int) []string {
				if same[p] == nil {
					same[p] = []string{p.offer(from), p.signal(from, hostileOffer(hostileSDP))}
				}
				return same[p]
			})(ctx, s)
		}},

		// Answers.
		{"answers without an offer", true, signals(`{"type":"answer","sdp":"` + hostileSDP + `"}`)},
		{"answers without a handshake", true, flood(hostileLinks, func(p *speaker, i int) []string {
			return []string{p.signal(p.s.id(), `{"type":"answer","sdp":"`+hostileSDP+`"}`)}
		})},
		{"answers to the node's own answer", false, sameID(func(p *speaker) []string {
			return []string{p.signal(one, hostileOffer(hostileSDP)), p.signal(one, `{"type":"answer","sdp":"`+hostileSDP+`"}`)}
		})},

		// Candidates.
		{"candidates before any offer", false, signals(hostileCandidate(host("198.51.100.1 40000")))},
		{"candidates: 10,000 a second in one attempt", false, sameID(func(p *speaker) []string {
			return []string{p.signal(one, hostileOffer(hostileSDP)), p.signal(one, hostileCandidate(host("198.51.100.1 40000"))), p.signal(one, hostileCandidate(host("198.51.100.2 40000")))}
		})},
		{"candidates for nothing: 100 addresses in each attempt", false, candidates(numbered(100, nowhere)...)},
		{"candidates: mDNS names", false, candidates(numbered(32, "candidate:%d 1 udp 2122265343 host-%[1]d.local 40000 typ host")...)},
		{"candidates: ports of other services", false, candidates(host("127.0.0.1 22"), host("127.0.0.1 0"), host("192.168.0.1 53"), host("198.51.100.1 123"), host("169.254.169.254 80"))},
		{"candidates: multicast, broadcast, unspecified", false, candidates(host("224.0.0.251 5353"), host("255.255.255.255 9999"), host("0.0.0.0 9999"), host(":: 9999"), host("ff02::1 9999"))},
		{"candidates: TCP", false, candidates("candidate:1 1 tcp 1 127.0.0.1 40000 typ host tcptype passive", "candidate:1 1 tcp 1 127.0.0.1 40000 typ host tcptype active")},
		{"candidates: junk", false, candidates("", "candidate:", "junk", "candidate:1 1 udp", "candidate:1 99999 udp 99999999999 x 99999 typ host", `candidate:\u0000`)},
		{"candidates: null and other JSON", false, signals(`{"candidate":null}`, `{"candidate":1}`, `{"candidate":{}}`, `{"candidate":[]}`, `{"candidate":{"candidate":"candidate:1","sdpMLineIndex":1e999}}`)},
		{"candidates of 100 KB", true, signals(hostileCandidate(strings.Repeat("x", 100_000)))},
		{"candidates: the end is told", false, signals(hostileOffer(hostileSDP), `{"candidate":{"candidate":"","sdpMLineIndex":0,"sdpMid":"0"}}`)},

		// Handshakes.
		{"handshake-offers of one id", false, flood(hostileLinks, func(p *speaker, i int) []string { return []string{p.offer(one)} })},
		{"handshake-offers, each of another id", false, flood(hostileLinks, func(p *speaker, i int) []string { return []string{p.offer(p.s.id())} })},
		{"handshake-answers without an offer", true, messages(`{"type":"handshake-answer","data":{"ws":null,"wrtc":true}}`, `{"type":"handshake-answer","data":{"ws":"ws://127.0.0.1:22","wrtc":true}}`, `{"type":"handshake-answer","data":null}`)},
		{"foundPeers without a question", true, messages(`{"type":"foundPeers","data":["%s","%s","%s"]}`)},

		// Forged senders.
		{"forged: signals of a bystander", true, flood(hostileLinks, func(p *speaker, i int) []string {
			return []string{p.offer(p.s.to.id), p.signal(p.s.to.id, hostileOffer(hostileSDP))}
		})},
		{"forged: signals of the node itself", true, flood(hostileLinks, func(p *speaker, i int) []string {
			return []string{p.offer(p.s.node.ID()), p.signal(p.s.node.ID(), hostileOffer(hostileSDP))}
		})},
		{"forged: paths of 20", true, flood(hostileLinks, func(p *speaker, i int) []string {
			path := make([]protocol.ID, 20)
			for k := range path {
				path[k] = p.s.id()
			}
			ids, _ := json.Marshal(path)
			return []string{fmt.Sprintf(`{"to":%q,"from":%q,"path":%s,"nonce":"%d","data":{"type":"signal","data":%s}}`, p.s.node.ID(), path[0], ids, i, hostileOffer(hostileSDP))}
		})},
		{"signals to a bystander, which the node passes on", true, flood(1, func(p *speaker, i int) []string {
			return []string{p.message(p.s.from.id, p.id, `{"type":"signal","data":`+hostileOffer(hostileSDP)+`}`)}
		})},
		{"signals to an id that no peer has", true, flood(hostileLinks, func(p *speaker, i int) []string {
			return []string{p.message(p.s.id(), p.id, `{"type":"signal","data":`+hostileOffer(hostileSDP)+`}`)}
		})},

		// WebSockets.
		{"binary junk on a WebSocket", true, func(ctx context.Context, s *Siege) error {
			return s.each(ctx, hostileLinks, func(ctx context.Context, p *speaker, k int) error {
				for ctx.Err() == nil {
					if err := p.writeBinary(bytes.Repeat([]byte{0xff, byte(k), 0}, 300)); err != nil {
						return err
					}
				}
				return nil
			})
		}},
		{"text junk on a WebSocket", true, flood(hostileLinks, func(p *speaker, i int) []string {
			return []string{`{"to":`, `[[[[`, "\x00", `{"to":1,"from":{},"path":"","nonce":1}`}
		})},
		{"messages before the hello", true, strangers(func(conn *websocket.Conn, s *Siege) {
			for range 100 {
				conn.WriteMessage(websocket.TextMessage, []byte(`{"to":"`+s.node.ID().String()+`","from":"`+one.String()+`","path":[],"nonce":"1","data":{"type":"signal","data":`+hostileOffer(hostileSDP)+`}}`))
			}
		})},
		{"hellos that are none", true, strangers(func(conn *websocket.Conn, s *Siege) {
			conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"Buffer","data":[1,2,3]}`))
		})},
		{"the bystander's id in a hello", true, strangers(func(conn *websocket.Conn, s *Siege) {
			conn.WriteMessage(websocket.TextMessage, []byte(peers.HelloText(s.to.id)))
		})},

		// Data channels.
		{"data channel: nothing is said", false, channels(func(ctx context.Context, c *webrtc.DataChannel, _ *speaker, _ protocol.ID) error {
			<-ctx.Done()
			return nil
		})},
		{"data channel: binary junk at once", false, channels(func(ctx context.Context, c *webrtc.DataChannel, _ *speaker, _ protocol.ID) error {
			return pour(ctx, c, func() error { return c.Send(bytes.Repeat([]byte{0xff, 0}, 1000)) })
		})},
		{"data channel: text junk", false, channels(func(ctx context.Context, c *webrtc.DataChannel, _ *speaker, _ protocol.ID) error {
			return pour(ctx, c, func() error { return c.SendText(`{"to":`) })
		})},
		{"data channel: a flood of valid messages to an id that no peer has", false, channels(func(ctx context.Context, c *webrtc.DataChannel, p *speaker, from protocol.ID) error {
			return pour(ctx, c, func() error {
				return c.SendText(fmt.Sprintf(`{"to":%q,"from":%q,"path":[%[2]q],"nonce":"%d","data":{"type":"user","data":%q}}`, p.s.id(), from, time.Now().UnixNano()%1e15, strings.Repeat("x", 1000)))
			})
		})},
		{"data channel: messages of 60 KB to a bystander", false, channels(func(ctx context.Context, c *webrtc.DataChannel, p *speaker, from protocol.ID) error {
			return pour(ctx, c, func() error {
				return c.SendText(fmt.Sprintf(`{"to":%q,"from":%q,"path":[%[2]q],"nonce":"%d","data":{"type":"user","data":%q}}`, p.s.from.id, from, time.Now().UnixNano()%1e15, strings.Repeat("x", 60_000)))
			})
		})},
	}
}
