// run: 1s
// want: ^open http://localhost:\d+/ in a browser$

// Command page serves a page that is a peer, with a relay for it, and answers what the
// page sends.
//
//	go generate ./node                  builds the JavaScript peer, once
//	go run ./examples/page [DURATION]   serves the page, for this long or until Ctrl-C
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/compat"
)

//go:embed index.html
var page []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) > 1 {
		d, err := time.ParseDuration(os.Args[1])
		if err != nil {
			log.Fatal(err)
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}

	var o compat.Options
	o.Listen, o.ListenHost = true, "127.0.0.1"
	relay, err := compat.New(o)
	if err != nil {
		log.Fatal(err)
	}
	defer relay.Close()
	relay.OnMessage(func(data any, from compat.ID) {
		fmt.Println(from, "says", data)
		if err := relay.Send(from, fmt.Sprintf("you said %q", data)); err != nil {
			log.Print(err)
		}
	})

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	web := http.Server{Handler: handler(relay)}
	defer web.Close()
	go web.Serve(listener) // ends with Close
	fmt.Printf("open http://localhost:%d/ in a browser\n", listener.Addr().(*net.TCPAddr).Port)
	<-ctx.Done()
}

// handler serves the page, and beside it what the page asks for: how to reach the relay,
// and the JavaScript peer, which every relay has at /try/peer.js.
func handler(relay *compat.PeerRelay) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { w.Write(page) })
	mux.HandleFunc("GET /relay", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(map[string]string{
			"id":      relay.ID().String(),
			"address": relay.Node().Addrs()[0].String(),
		})
	})
	target, err := url.Parse(strings.Replace(relay.URL(), "ws://", "http://", 1) + "/try/")
	if err != nil {
		log.Fatal(err)
	}
	mux.Handle("GET /peer.js", &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
	})
	return mux
}
