package dht

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	datastore "github.com/ipfs/go-datastore"
	kaddht "github.com/libp2p/go-libp2p-kad-dht"
	dhtrecord "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/node/internal/contact"
	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

func TestForgedRecordsAreRefused(t *testing.T) {
	sealed := func(of, by host.Host) []byte {
		t.Helper()
		rec := peer.PeerRecordFromAddrInfo(peer.AddrInfo{ID: of.ID(), Addrs: []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/1/ws")}})
		envelope, err := record.Seal(rec, by.Peerstore().PrivKey(by.ID()))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := envelope.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	a, b := nodetest.StockHost(t), nodetest.StockHost(t)
	key := recordKey(contact.IDOf(a.ID()))
	right := sealed(a, a)
	broken := append([]byte(nil), right...)
	broken[len(broken)-1] ^= 1
	for name, test := range map[string]struct {
		key   string
		value []byte
		ok    bool
	}{
		"its own":                {key, right, true},
		"another's":              {key, sealed(b, b), false},
		"signed by another":      {key, sealed(a, b), false},
		"changed":                {key, broken, false},
		"under another id":       {recordKey(contact.IDOf(b.ID())), right, false},
		"under the whole digest": {"/pr/" + string(sum([]byte(a.ID()))), right, false},
		"nothing":                {key, nil, false},
		"too big":                {key, append(right, make([]byte, wire.MaxRecord)...), false},
	} {
		if err := (recordValidator{}).Validate(test.key, test.value); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	newer := sealed(a, a)
	if i, err := (recordValidator{}).Select(key, [][]byte{broken, right, newer}); err != nil || i != 2 {
		t.Errorf("selected %d, %v; want the newest valid one, 2", i, err)
	}
	if _, err := (recordValidator{}).Select(key, [][]byte{broken}); err == nil {
		t.Error("selected an invalid record")
	}
}

func sum(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

func TestABoundedStoreRefusesWhatIsTooMuch(t *testing.T) {
	ctx, s := t.Context(), newBoundedStore(2, func(datastore.Key) string { return "" })
	a, b, c := datastore.NewKey("a"), datastore.NewKey("b"), datastore.NewKey("c")
	for _, key := range []datastore.Key{a, b, b} {
		if err := s.Put(ctx, key, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(ctx, c, nil); !errors.Is(err, errStoreFull) {
		t.Errorf("a third key: %v, want it to be full", err)
	}
	batch, err := s.Batch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(batch.Put(ctx, c, nil), batch.Commit(ctx)); !errors.Is(err, errStoreFull) {
		t.Errorf("a third key in a batch: %v, want it to be full", err)
	}
	for range 2 {
		if err := s.Delete(ctx, a); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(ctx, c, nil); err != nil {
		t.Errorf("after one of two was deleted: %v", err)
	}
	if err := s.Put(ctx, a, nil); !errors.Is(err, errStoreFull) {
		t.Errorf("a key that was deleted twice made room twice: %v", err)
	}
}

func TestWhoFillsTheStoreTakesItsOwnPlaces(t *testing.T) {
	ctx, s := t.Context(), newBoundedStore(4, publisherOf)
	put := func(name string, full bool) {
		t.Helper()
		if err := s.Put(ctx, datastore.NewKey(name), []byte(name)); errors.Is(err, errStoreFull) != full || !full && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	count := func(publisher string) int { return len(s.crowds[publisher]) }
	for _, name := range []string{"/providers/a/flood", "/providers/b/flood", "/providers/c/flood", "/providers/d/flood"} {
		put(name, false)
	}
	put("/providers/e/flood", true)
	put("/providers/a/honest", false)
	put("/providers/b/honest", false)
	put("/providers/x/flood", true)  // neither is larger
	put("/providers/x/honest", true) // nor here
	if count("flood") != 2 || count("honest") != 2 || s.keys != 4 {
		t.Errorf("kept %v", s.crowds)
	}
	put("/providers/a/third", false)
	if count("third") != 1 || s.keys != 4 {
		t.Errorf("kept %v", s.crowds)
	}
	for name, keys := range s.crowds {
		for key := range keys {
			if v, err := s.Get(ctx, key); err != nil || publisherOf(key) != name || string(v) != key.String() {
				t.Errorf("%s: %q, %v", key, v, err)
			}
		}
	}
}

// TestTheLargestCrowdIsKnown checks that the crowds by size are the same as when all keys are
// counted.
func TestTheLargestCrowdIsKnown(t *testing.T) {
	ctx, s := t.Context(), newBoundedStore(40, publisherOf)
	random := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		key := datastore.NewKey(fmt.Sprintf("/providers/%d/%d", random.IntN(20), random.IntN(random.IntN(12)+1)))
		if random.IntN(3) == 0 {
			if err := s.Delete(ctx, key); err != nil {
				t.Fatal(err)
			}
		} else if err := s.Put(ctx, key, nil); err != nil && !errors.Is(err, errStoreFull) {
			t.Fatal(err)
		}
		most, keys, sized := 0, 0, 0
		for name, crowd := range s.crowds {
			most, keys = max(most, len(crowd)), keys+len(crowd)
			if !s.sized[len(crowd)][name] {
				t.Fatalf("%s is not among those of %d keys", name, len(crowd))
			}
		}
		for _, names := range s.sized {
			sized += len(names)
		}
		if s.most != most || s.keys != keys || keys > s.max || sized != len(s.crowds) {
			t.Fatalf("%d keys in %d crowds of up to %d are taken for %d in %d of up to %d", keys, len(s.crowds), most, s.keys, sized, s.most)
		}
	}
}

func TestRecordsNearAServerAreNotCrowdedOut(t *testing.T) {
	self := protocol.ID{1, 2, 3}
	bucket := bucketOf(self)
	keyOf := func(i int) datastore.Key {
		return datastore.NewKey("/pr/" + recordEncoding.EncodeToString(fmt.Appendf(nil, "/pr/%d", i)))
	}
	near := -1 // a key near the server
	for i := 0; near < 0; i++ {
		if n, _ := strconv.Atoi(bucket(keyOf(i))); n >= 6 {
			near = i
		}
	}
	s := newBoundedStore(100, bucket)
	if err := s.Put(t.Context(), keyOf(near), nil); err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		if err := s.Put(t.Context(), keyOf(-i), nil); err != nil && !errors.Is(err, errStoreFull) {
			t.Fatal(err)
		}
	}
	if has, err := s.Has(t.Context(), keyOf(near)); err != nil || !has || s.keys != 100 {
		t.Errorf("a record in bucket %s of %d kept ones is kept: %v, %v", bucket(keyOf(near)), s.keys, has, err)
	}
	if bucket(datastore.NewKey("/pr/no base32")) != "" {
		t.Error("a key that is not from kad-dht has a bucket")
	}
}

// TestKeptRecordsHaveABucket checks that bucketOf accepts the keys under which kad-dht keeps
// values.
func TestKeptRecordsHaveABucket(t *testing.T) {
	h := nodetest.Listening(t)
	kept := newBoundedStore(100, bucketOf(contact.IDOf(h.ID())))
	server, err := kaddht.New(h, kaddht.Mode(kaddht.ModeServer), kaddht.ProtocolPrefix(Prefix), kaddht.ValueDatastore(kept),
		kaddht.Validator(dhtrecord.NamespacedValidator{recordNamespace: recordValidator{}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	own := nodetest.Listening(t)
	d := newTestDirectory(t, Config{Host: own, Key: own.Peerstore().PrivKey(own.ID()), Listens: true}, Options{Closed: true})
	nodetest.Connect(t, own, peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
	nodetest.Eventually(t, "the server is in the routing table", func() bool { return d.Peers() == 1 })
	d.publish(t.Context())
	nodetest.Eventually(t, "the server keeps the record", func() bool {
		kept.mu.Lock()
		defer kept.mu.Unlock()
		return kept.keys > 0
	})
	kept.mu.Lock()
	defer kept.mu.Unlock()
	want := contact.IDOf(h.ID()).CommonPrefixLen(protocol.ID(sum([]byte(recordKey(d.id)))[:wire.IDSize]))
	if len(kept.crowds) != 1 || len(kept.crowds[strconv.Itoa(want)]) != 1 {
		t.Errorf("kept %v, want one in bucket %d", kept.crowds, want)
	}
}

func TestOurDHTKeepsRecordsOfOurKindAlone(t *testing.T) {
	h := nodetest.StockHost(t)
	d := newTestDirectory(t, Config{Host: h}, Options{Closed: true})
	key, err := h.Peerstore().PubKey(h.ID()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.kad.Validator.Validate("/pk/"+string(h.ID()), key); !errors.Is(err, dhtrecord.ErrInvalidRecordType) {
		t.Errorf("a public key: %v, want ErrInvalidRecordType", err)
	}
}
