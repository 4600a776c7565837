package port

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
)

// TestNameReachesTheProxy checks that a proxy that chooses its site by name also serves a dial
// without TLS.
func TestNameReachesTheProxy(t *testing.T) {
	h := startHost(t, Options{})
	site := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: h.hostport()})
	hosts := make(chan string, 10)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hosts <- r.Host
		if !strings.HasPrefix(r.Host, "localhost:") {
			http.Error(w, "no such site", http.StatusNotFound)
			return
		}
		site.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	_, number, _ := strings.Cut(proxy.Listener.Addr().String(), ":")
	for _, kind := range []string{"dns", "dns4"} {
		dialler := newTestHost(t, Options{})
		nodetest.Connect(t, dialler, peer.AddrInfo{ID: h.ID(), Addrs: []ma.Multiaddr{ma.StringCast("/" + kind + "/localhost/tcp/" + number + "/ws")}})
		if got, want := nodetest.Receive(t, "request", hosts), "localhost:"+number; got != want {
			t.Errorf("the proxy was asked for %s, want %s", got, want)
		}
		dialler.Close()
	}
}

func TestNamesAreResolvedBeforeTheGater(t *testing.T) {
	for _, test := range []struct {
		addr  string
		gated bool
		want  bool
	}{
		{"/dns/relay.example.com/tcp/80/ws", false, true},
		{"/dns4/relay.example.com/tcp/80/ws", false, true},
		{"/dns6/relay.example.com/tcp/80/ws", false, true},
		{"/dns/relay.example.com/tcp/80/ws", true, false},
		{"/dns/relay.example.com/tcp/443/tls/ws", false, false},
		{"/dns/relay.example.com/tcp/443/wss", false, false},
		{"/dns/relay.example.com/tcp/443/tls/sni/relay.example.com/ws", false, false},
		{"/dns/relay.example.com/tcp/80", false, false},
		{"/ip4/127.0.0.1/tcp/80/ws", false, false},
	} {
		o := Options{}
		if test.gated {
			o.Gater = new(refuseAll)
		}
		w, err := newFront(o).transport(nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.SkipResolve(context.Background(), ma.StringCast(test.addr)); got != test.want {
			t.Errorf("%s, gated %v: the name is left to the dial: %v, want %v", test.addr, test.gated, got, test.want)
		}
	}
}
