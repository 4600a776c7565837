package core

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// arg returns the value of key=value in words, and whether it is there.
func arg(words []string, key string) (string, bool) {
	for _, w := range words {
		if v, ok := strings.CutPrefix(w, key+"="); ok {
			return v, true
		}
	}
	return "", false
}

func argInt(words []string, key string, or int) int {
	if v, ok := arg(words, key); ok {
		n, err := strconv.Atoi(v)
		if err != nil {
			panic(err)
		}
		return n
	}
	return or
}

func argIDs(words []string, key string) (ids []wire.ID) {
	if v, ok := arg(words, key); ok && v != "" {
		for s := range strings.SplitSeq(v, ",") {
			ids = append(ids, abbreviated(s))
		}
	}
	return ids
}

func has(words []string, w string) bool { return slices.Contains(words, w) }

// wait advances the time, with a tick whenever the core asked for one.
func (s *script) wait(d time.Duration) {
	end := s.now + d
	for s.c.NextWake() <= end {
		s.now = max(s.now, s.c.NextWake())
		s.c.Tick(s.now)
		s.take()
		if s.c.NextWake() <= s.now {
			s.t.Fatalf("at %v NextWake is %v", s.now, s.c.NextWake())
		}
	}
	s.now = end
}

func (s *script) info(w []string) wire.LinkInfo {
	i := wire.LinkInfo{ID: abbreviated(w[0]), Proved: has(w, "proved"), Dialed: has(w, "dialed")}
	i.Kind = wire.LinkKind(slices.Index([]string{"webrtc", "ws", "native"}, w[1]))
	i.OverWebRTC = has(w, "direct")
	if has(w, "leaf") {
		i.Role = wire.RoleLeaf
	}
	i.Opener, _ = arg(w, "opener")
	i.Value = uint64(argInt(w, "value", 0))
	for word, feature := range map[string]string{"keeps": wire.FeatureCustody, "names": wire.FeatureNeighbours, "mailbox": wire.FeatureMailbox} {
		if has(w, word) {
			i.Features = append(i.Features, feature)
		}
	}
	i.RTT = time.Duration(argInt(w, "rtt", 0)) * time.Millisecond
	if n := argInt(w, "subnet", 0); n != 0 {
		i.Subnet = netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(n)}), 24)
	}
	return i
}

// frame returns a message: FROM>TO [path=A,B] [hops=N] [nonce=N] [text=T] [hop=TX/DETOURS[/NACKS]] [attempt=N]
// [route=A,B] [e2e=T] [receipt] [notice] [traced] [keep=EXPIRY] [by=ID] [tampered] [stripped]
// [kind=find|found|offer|answer|signal|receipt|notice|ping|report|other]
// [closest] [target=ID] [ids=A,B] [token=T] [record=T] [url=U] [wrtc] [no] [bytes]. The key of
// by signs. The default path is the origin's id. The default token is that of our last offer,
// and "none" means no token.
func (s *script) frame(w []string) *wire.Frame {
	from, to, _ := strings.Cut(w[0], ">")
	b := wire.Body{From: abbreviated(from), To: abbreviated(to), Form: wire.FormJSON}
	text, ok := arg(w, "text")
	if !ok {
		text = `"hi"`
	}
	b.Payload = []byte(text)
	if e2e, ok := arg(w, "e2e"); ok {
		b.E2E = []byte(fmt.Sprintf("%-16s", e2e))
	}
	if has(w, "receipt") {
		b.Flags |= wire.FlagReceipt
	}
	if has(w, "notice") {
		b.Flags |= wire.FlagNotice
	}
	if b.Expiry = uint64(argInt(w, "keep", 0)); b.Expiry != 0 {
		b.Flags |= wire.FlagKeep | wire.FlagReceipt | wire.FlagNotice
	}
	if has(w, "traced") {
		b.Flags |= wire.FlagTrace
	}
	if record, ok := arg(w, "record"); ok {
		b.Record = []byte(record)
	}
	by, signed := arg(w, "by")
	if signed {
		b.Key = []byte("sig:" + by)
	}
	kind, _ := arg(w, "kind")
	switch kind {
	case "":
	case "find":
		target := b.From
		if v, ok := arg(w, "target"); ok {
			target = abbreviated(v)
		}
		b.Kind, b.Form, b.Payload = wire.KindFind, wire.FormRaw, target[:]
		if has(w, "closest") {
			b.Flags = wire.FlagClosest
		}
	case "found":
		b.Kind, b.Form, b.Payload = wire.KindFound, wire.FormRaw, wire.AppendFound(nil, argIDs(w, "ids"))
		b.Token = s.search
	case "offer":
		b.Kind, b.Form, b.Payload, b.Token = wire.KindOffer, wire.FormNone, nil, []byte("their own token.")
	case "answer":
		url, _ := arg(w, "url")
		b.Kind, b.Form, b.Payload = wire.KindAnswer, wire.FormRaw, wire.AppendAnswer(nil, wire.Answer{WS: url, NoWS: url == "", WRTC: has(w, "wrtc")})
		if has(w, "no") {
			b.Form, b.Payload = wire.FormNone, nil
		}
		b.Token = s.tokens[b.From]
	case "signal":
		b.Kind = wire.KindSignal
		if has(w, "bytes") {
			b.Form = wire.FormRaw
		}
	case "receipt", "notice", "ping", "report":
		b.Form = wire.FormRaw
		b.Kind = map[string]wire.Kind{"receipt": wire.KindReceipt, "notice": wire.KindNotice, "ping": wire.KindPing, "report": wire.KindReport}[kind]
		payload, _ := arg(w, "payload")
		if b.Payload, _ = hex.DecodeString(payload); b.Payload == nil {
			b.Payload = []byte{}
		}
	case "other":
		b.Kind, b.Form = wire.KindOther, wire.FormWholeJSON
	default:
		s.t.Fatalf("no kind %q", kind)
	}
	if token, ok := arg(w, "token"); ok {
		b.Token = nil
		if token != "none" {
			b.Token = []byte(fmt.Sprintf("%-16s", token))
		}
	}
	if err := b.Encode(); err != nil {
		s.t.Fatal(err)
	}
	m := wire.MessageFields{Hop: wire.NewHop(), Body: b, Path: argIDs(w, "path"), Route: argIDs(w, "route")}
	if len(m.Path) == 0 {
		m.Path = []wire.ID{b.From}
	}
	if n := argInt(w, "hops", 0); n > 0 { // a path of n entries
		for len(m.Path) < n {
			m.Path = append(m.Path, abbreviated(fmt.Sprintf("00%02x", len(m.Path))))
		}
	}
	nonce, ok := arg(w, "nonce")
	if !ok {
		nonce = strconv.Itoa(int(s.c.stats.Received) + 1)
	}
	m.Nonce = []byte(nonce)
	m.Hop = m.Hop.WithAttempt(argInt(w, "attempt", 0))
	if v, ok := arg(w, "hop"); ok {
		parts := strings.Split(v, "/") // transmissions, detours, and if given NACKs
		budget := make([]int, len(parts))
		for i, part := range parts {
			budget[i], _ = strconv.Atoi(part)
		}
		m.Hop = m.Hop.WithTx(budget[0]).WithDetours(budget[1])
		if len(budget) > 2 {
			m.Hop = m.Hop.WithNacks(budget[2])
		}
	}
	if signed {
		m.Sig = b.Key
		if has(w, "tampered") {
			m.Sig = []byte("sig of something else")
		}
		if has(w, "stripped") {
			m.Sig = nil
		}
	}
	f, err := wire.NewMessageFrame(m)
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

// word returns a receipt, a notice or a report: FROM>TO INDEX ….
func (s *script) word(kind string, w []string) *wire.Frame {
	index, err := strconv.Atoi(w[1])
	if err != nil {
		s.t.Fatal(err)
	}
	of := s.reliable[index]
	hash := sha256.Sum256(of.Body.Raw())
	if has(w, "wrong") {
		hash[0]++
	}
	nonce := s.nonces[string(of.Body.E2E)][argInt(w, "attempt", 0)]
	payload := wire.AppendReceipt(nil, wire.Receipt{E2E: of.Body.E2E, Hash: hash, Nonce: nonce, Hops: 2, Handed: has(w, "handed"), Path: argIDs(w, "way"), Kept: uint64(argInt(w, "kept", 0))})
	switch kind {
	case "notice":
		payload = wire.AppendNotice(nil, wire.Notice{E2E: of.Body.E2E, Nonce: nonce, Silent: has(w, "silent"), Refusal: wire.Refusal(argInt(w, "refusal", 0))})
	case "report":
		payload = wire.AppendReport(nil, wire.Report{E2E: of.Body.E2E, Nonce: nonce, Hops: argInt(w, "place", 1), Link: "native", Agent: "x/1"})
	}
	return s.frame(append(w, "kind="+kind, "payload="+hex.EncodeToString(payload)))
}
