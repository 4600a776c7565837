package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/node/dht"
)

// linkTimeout is how long send waits for a first link unless --timeout says else.
const linkTimeout = 10 * time.Second

// flags may stand anywhere among the arguments.
type flags struct {
	bootstrap list
	announce  list
	host      string
	key       string
	as        string
	timeout   time.Duration
	json      bool
	sign      bool
	showPeers bool
	verbose   bool

	dht            string
	dhtBootstrap   list
	dhtClosed      bool
	quic           bool
	noWebRTCDirect bool
	noWebRTC       bool
	ice            list
	webRTCPort     onePort
	webRTCPorts    portRange
	interfaces     list
	webRTCLoopback bool
}

// A list is a flag that may be given more than once.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// An onePort is a flag that is a port, 0 for any; its zero value is none.
type onePort struct{ number *int }

func (p *onePort) String() string {
	if p.number == nil {
		return ""
	}
	return strconv.Itoa(*p.number)
}

func (p *onePort) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return errors.New("want 0 to 65535")
	}
	p.number = compat.Port(int(n))
	return nil
}

// A portRange is a flag such as 40000-40100; its zero value is every port.
type portRange struct{ min, max uint16 }

func (r *portRange) String() string {
	if *r == (portRange{}) {
		return ""
	}
	return fmt.Sprintf("%d-%d", r.min, r.max)
}

func (r *portRange) Set(s string) error {
	low, high, _ := strings.Cut(s, "-")
	a, errA := strconv.ParseUint(low, 10, 16)
	b, errB := strconv.ParseUint(high, 10, 16)
	if errA != nil || errB != nil || a == 0 || a > b {
		return errors.New("want two ports, MIN-MAX")
	}
	r.min, r.max = uint16(a), uint16(b)
	return nil
}

// iceServers reads STUN and TURN servers: a URL, and for TURN a user's name and password
// behind it.
func iceServers(specs []string) (servers []compat.ICEServer, err error) {
	for _, spec := range specs {
		parts := strings.SplitN(spec, ",", 3)
		server := compat.ICEServer{URLs: parts[:1]}
		switch len(parts) {
		case 2:
			return nil, wrongUsage("--ice %q: want URL, or URL,USER,PASSWORD", parts[0])
		case 3:
			server.Username, server.Credential = parts[1], parts[2]
		}
		try, err := compat.NewWebRTC(compat.WebRTCOptions{ICEServers: []compat.ICEServer{server}})
		if err != nil {
			return nil, wrongUsage("--ice %q: %w", parts[0], err)
		}
		try.Close()
		servers = append(servers, server)
	}
	return servers, nil
}

func (f *flags) set() *flag.FlagSet {
	set := flag.NewFlagSet("peer-relay", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Var(&f.bootstrap, "bootstrap", "a peer of the network to join, `URL` or multiaddr; may be repeated")
	set.Var(&f.announce, "announce", "a `URL` or multiaddr that others are told in place of this peer's own; may be repeated")
	set.StringVar(&f.host, "host", "", "the IP `address` to listen on, or localhost (default: all)")
	set.StringVar(&f.key, "key", "", "keep the identity, and so the id, in this `file`")
	set.BoolVar(&f.json, "json", false, "speak one JSON object a line on standard output and input")
	set.BoolVar(&f.sign, "sign", false, "sign every message, so that peers that understand it know whose it is")
	set.BoolVar(&f.showPeers, "show-peers", false, "let the status page tell the ids of linked peers")
	set.StringVar(&f.as, "as", "string", "send: what DATA is, `kind` string, json or bytes")
	set.DurationVar(&f.timeout, "timeout", linkTimeout, "send: how long to wait for a first link, a `duration`")
	set.StringVar(&f.dht, "dht", "", "join the kad-dht of this protocol `prefix`: "+dht.Prefix+" is that of this kind of peers,\nanother prefix that of another network (default: none)")
	set.Var(&f.dhtBootstrap, "dht-bootstrap", "a peer of the DHT, `multiaddr` with /p2p/…; may be repeated")
	set.BoolVar(&f.dhtClosed, "dht-closed", false, "the DHT is in a closed network: tell and dial private and loopback addresses there")
	set.BoolVar(&f.quic, "quic", false, "serve and dial libp2p over QUIC (/quic-v1) also, on the same UDP port")
	set.BoolVar(&f.noWebRTCDirect, "no-webrtc-direct", false, "neither serve nor dial libp2p over WebRTC (/webrtc-direct)")
	set.BoolVar(&f.noWebRTC, "no-webrtc", false, "make no WebRTC links to legacy peers, such as the npm package's in pages")
	set.Var(&f.ice, "ice", "a STUN or TURN `server` by which legacy WebRTC gets through NATs, stun:HOST:PORT or\nturn:HOST:PORT,USER,PASSWORD; may be repeated (default: none)")
	set.Var(&f.webRTCPort, "webrtc-port", "the one UDP `port` that all legacy WebRTC shares, 0 for any (default: a port for each link)")
	set.Var(&f.interfaces, "webrtc-interface", "the `name` of a network interface for legacy WebRTC; may be repeated (default: all)")
	set.Var(&f.webRTCPorts, "webrtc-ports", "the UDP ports for legacy WebRTC, `MIN-MAX` (default: any that is free)")
	set.BoolVar(&f.webRTCLoopback, "webrtc-loopback", false, "make legacy WebRTC links over the loopback interface also")
	set.BoolVar(&f.verbose, "verbose", false, "log links, dials and drops on standard error")
	return set
}

// parse reads the flags and gives the other arguments.
func (f *flags) parse(args []string) (rest []string, err error) {
	set := f.set()
	for len(args) > 0 {
		if err := set.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, exitError{exitUsage, err}
		}
		left := set.Args()
		if n := len(args) - len(left); n > 0 && args[n-1] == "--" {
			return append(rest, left...), nil
		}
		if len(left) == 0 {
			break
		}
		rest, args = append(rest, left[0]), left[1:]
	}
	return rest, nil
}

// joins reports whether the flags name a way into a network. options says what is wrong
// with --dht-bootstrap alone.
func (f *flags) joins() bool { return len(f.bootstrap) > 0 || len(f.dhtBootstrap) > 0 }

func (p *program) printUsage(w io.Writer) {
	var b bytes.Buffer
	set := new(flags).set()
	set.SetOutput(&b)
	set.PrintDefaults()
	fmt.Fprintf(w, usage, strings.ReplaceAll(b.String(), "  -", "  --"))
}

// options gives what all commands have in common.
func (p *program) options() (compat.Options, error) {
	ice, err := iceServers(p.flags.ice)
	if err != nil {
		return compat.Options{}, err
	}
	o := compat.Options{
		Bootstrap: p.flags.bootstrap, Announce: p.flags.announce, Host: p.flags.host, KeyFile: p.flags.key,
		Sign: p.flags.sign, ShowPeers: p.flags.showPeers, Version: version(),
		NoWebRTCDirect: p.flags.noWebRTCDirect, QUIC: p.flags.quic,
		WRTC: compat.WebRTCOptions{
			Off: p.flags.noWebRTC, ICEServers: ice, Loopback: p.flags.webRTCLoopback,
			Port: p.flags.webRTCPort.number, Interfaces: p.flags.interfaces,
			PortMin: p.flags.webRTCPorts.min, PortMax: p.flags.webRTCPorts.max,
		},
	}
	switch {
	case p.flags.dht != "":
		o.DHT = &dht.Options{Prefix: p.flags.dht, Bootstraps: p.flags.dhtBootstrap, Closed: p.flags.dhtClosed}
	case len(p.flags.dhtBootstrap) > 0 || p.flags.dhtClosed:
		return o, wrongUsage("--dht-bootstrap and --dht-closed: want --dht as well, such as --dht %s", dht.Prefix)
	}
	if p.flags.verbose {
		o.Logger = slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return o, nil
}
