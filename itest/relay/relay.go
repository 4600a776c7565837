// Command relay is a peer of ours for measurements, in a process that does nothing else:
// package compat with WebRTC over the loopback interface too.
//
//	relay PORT|none [BOOTSTRAP…]
//
// It prints one JSON object, {"id":"<40 hex>","ws":"ws://…","addrs":["/ip4/…/p2p/…"]},
// and runs until its standard input ends.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/peer-relay/peer-relay/compat"
)

func main() {
	if err := relay(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		os.Exit(1)
	}
}

func relay(args []string, stdin io.Reader, stdout io.Writer) (err error) {
	if len(args) == 0 {
		return errors.New("want PORT or none, and bootstraps")
	}
	o := compat.Options{Host: "127.0.0.1", Bootstrap: args[1:], WRTC: compat.WebRTCOptions{Loopback: true}}
	if args[0] != "none" {
		port, err := strconv.ParseUint(args[0], 10, 16)
		if err != nil {
			return fmt.Errorf("port %q: %w", args[0], err)
		}
		o.Port = compat.Port(int(port))
	}
	p, err := compat.New(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	addrs := []string{}
	for _, a := range p.Node().Addrs() {
		addrs = append(addrs, a.String())
	}
	if err := json.NewEncoder(stdout).Encode(map[string]any{"id": p.ID(), "ws": p.URL(), "addrs": addrs}); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, stdin)
	return err
}
