package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/compat/legacy"
	"github.com/peer-relay/peer-relay/node/dht"
	"github.com/peer-relay/peer-relay/node/mailbox"
	"github.com/peer-relay/peer-relay/protocol/kept"
	"github.com/peer-relay/peer-relay/protocol/sim"
)

// sendTimeout is the time for which send, ping and trace wait for a first link, and then for the
// receipt or an answer, by default.
const sendTimeout = 10 * time.Second

// flags are the values of the flags, which may stand anywhere among the other arguments.
type flags struct {
	peer   compat.Options  // of the peer to run, without what options adds
	dht    dht.Options     // of the peer, if the prefix is set
	box    mailbox.Options // of the peer, if the directory is set
	as     string          // the kind of DATA
	wait   time.Duration   // time limit for a first link, and again for the receipt
	noWait bool            // do not wait for the receipt
	keep   time.Duration   // time for which mailboxes may keep the message; 0 means not at all
	count  int             // number of pings; 0 means until a signal
	json   bool

	scenario string      // of sim
	sim      sim.Options // of sim, without Progress
	picture  string      // file for the picture of sim

	verbose bool
	version bool
}

// set returns the flags, which set the fields of f.
func (f *flags) set() *flag.FlagSet {
	o, w := &f.peer, &f.peer.WRTC
	set := flag.NewFlagSet("peer-relay", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Var((*list)(&o.Bootstraps), "bootstrap", "a peer of the network to join, `URL` or multiaddr; may be repeated")
	set.Var((*list)(&o.Announce), "announce", "a `URL` or multiaddr that other peers get instead of this peer's own; may be repeated")
	set.StringVar(&o.ListenHost, "host", "", "the IP `address` to listen on, or localhost (default: all)")
	set.StringVar(&o.KeyFile, "key", "", "keep the identity, and so the id, in this `file`")
	set.BoolVar(&o.KeyFileGroup, "key-group", false, "take a --key file that its group may read, such as a secret of a container")
	set.BoolVar(&f.json, "json", false, "write and read JSON, one object a line, on standard output and input")
	set.BoolVar(&o.SignMessages, "sign", false, "sign every message, so that peers that understand signatures know its sender")
	set.BoolVar(&o.ShowPeers, "show-peers", false, "show the ids of linked peers on the status page")
	set.StringVar(&f.as, "as", "string", "send: the `kind` of DATA: string, json or bytes")
	f.wait = sendTimeout
	set.Var((*wait)(&f.wait), "timeout", "send, ping, trace: the time limit for a first link, and again for the receipt or each answer,\na `duration` such as 10s or 1m")
	set.BoolVar(&f.noWait, "no-wait", false, "send: end once the message is written, and do not wait for its receipt")
	set.Var((*keeping)(&f.keep), "keep", "send: have a mailbox near the receiver keep the message for this time, a `duration` from 1s\nto 720h, if the receiver is offline (default: not at all)")
	set.StringVar(&f.box.Dir, "mailbox", "", "be a mailbox: keep messages for peers near this one that are offline in this `directory`,\nif their senders ask for it; without --key its file key has the identity")
	set.Var((*size)(&f.box.MaxBytes), "mailbox-size", "the most `bytes` of all messages in the mailbox, such as 512M (default 256M)")
	set.Var((*size)(&f.box.MaxSender), "mailbox-sender", "the most `bytes` of one sender's messages (default 8M)")
	set.Var((*size)(&f.box.MaxReceiver), "mailbox-receiver", "the most `bytes` of the messages for one receiver (default 8M)")
	set.Var((*keeping)(&f.box.MaxAge), "mailbox-age", "the longest time for which a message is kept, a `duration` from 1s to 720h (default 168h)")
	set.IntVar(&f.count, "n", 0, "ping: the `number` of pings (default: one a second until a signal)")
	set.BoolVar(&o.NoTrace, "no-trace", false, "tell the traces of others nothing but this peer's id, which their paths have")
	set.StringVar(&f.dht.Prefix, "dht", "", "join the kad-dht of this protocol `prefix`: "+dht.Prefix+" for the network of this program,\nor the prefix of another network (default: none)")
	set.Var((*list)(&f.dht.Bootstraps), "dht-bootstrap", "a peer of the DHT, `multiaddr` with /p2p/…; may be repeated")
	set.BoolVar(&f.dht.Closed, "dht-closed", false, "the DHT is in a closed network: use private and loopback addresses in it")
	set.BoolVar(&o.QUIC, "quic", false, "also serve and dial libp2p over QUIC (/quic-v1), on the same UDP port")
	set.BoolVar(&o.NoWebRTCDirect, "no-webrtc-direct", false, "neither serve nor dial libp2p over WebRTC (/webrtc-direct)")
	set.BoolVar(&o.NoWebRTC, "no-webrtc", false, "make no WebRTC links to legacy peers, such as the npm package's in pages")
	set.Var((*iceServers)(&w.ICEServers), "ice", "a STUN or TURN `server` for legacy WebRTC behind NATs, stun:HOST:PORT or\nturn:HOST:PORT,USER,PASSWORD; may be repeated (default: none)")
	set.Var(onePort{&w.SharePort, &w.Port}, "webrtc-port", "the one UDP `port` for all legacy WebRTC, 0 for any free one (default: a port for each link)")
	set.Var((*list)(&w.Interfaces), "webrtc-interface", "the `name` of a network interface for legacy WebRTC; may be repeated (default: all)")
	set.Var(portRange{&w.PortMin, &w.PortMax}, "webrtc-ports", "the UDP ports for legacy WebRTC, `MIN-MAX` (default: any free one)")
	set.BoolVar(&w.Loopback, "webrtc-loopback", false, "also make legacy WebRTC links over the loopback interface")
	set.StringVar(&f.scenario, "scenario", "", "sim: the `name` of a scenario, all, or list, which prints the names")
	set.IntVar(&f.sim.Peers, "peers", 1000, "sim: the `number` of peers")
	set.Uint64Var(&f.sim.Seed, "seed", 1, "sim: a `number` that determines all that is random, so that a run can be repeated")
	set.StringVar(&f.picture, "svg", "", "sim: draw the delivery over time in this `file`, as SVG")
	f.sim.Cut = 30 * time.Minute
	set.Var((*wait)(&f.sim.Cut), "cut", "sim: the virtual time, a `duration`, for which scenario partition cuts the network")
	set.BoolVar(&f.version, "version", false, "print the version")
	set.BoolVar(&f.verbose, "verbose", false, "log links, dials and drops on standard error")
	return set
}

// A list is a flag that may be given more than once.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// A wait is a flag for a duration.
type wait time.Duration

func (w *wait) String() string { return time.Duration(*w).String() }

func (w *wait) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return errors.New("want a duration such as 5s or 1m30s")
	}
	*w = wait(d)
	return nil
}

// A keeping is a flag for the time for which a message is kept.
type keeping time.Duration

func (k *keeping) String() string {
	if *k == 0 { // the help says what that means
		return ""
	}
	return time.Duration(*k).String()
}

func (k *keeping) Set(s string) error {
	d, err := parseKeep(s)
	*k = keeping(d)
	return err
}

// parseKeep returns the time for which a message is kept.
func parseKeep(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < time.Second || d > kept.MaxTime {
		return 0, fmt.Errorf("want a duration such as 1h, from 1s to %v", kept.MaxTime)
	}
	return d, nil
}

// A size is a flag for a number of bytes.
type size int64

func (z *size) String() string {
	if *z == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*z), 10)
}

func (z *size) Set(s string) error {
	digits := strings.TrimRight(s, "KMG")
	shift, known := map[string]int{"": 0, "K": 10, "M": 20, "G": 30}[s[len(digits):]]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !known || n < 1 || n > mostBytes>>shift {
		return errors.New("want a number of bytes, 1 or more, such as 65536 or 512M, with K, M or G for the powers of 1,024")
	}
	*z = size(n << shift)
	return nil
}

const mostBytes = 1 << 50 // more than any disk has

// iceServers is a flag for STUN and TURN servers. Each is a URL, followed for TURN by a user
// name and a password.
type iceServers []legacy.ICEServer

func (l *iceServers) String() string { return "" } // no password in the help

func (l *iceServers) Set(s string) error {
	parts := strings.SplitN(s, ",", 3)
	server := legacy.ICEServer{URLs: parts[:1]}
	switch len(parts) {
	case 2:
		return errors.New("want URL, or URL,USER,PASSWORD")
	case 3:
		server.Username, server.Credential = parts[1], parts[2]
	}
	*l = append(*l, server)
	return nil
}

// A onePort is a flag for a port, 0 for any free one.
type onePort struct {
	given  *bool
	number *uint16
}

func (p onePort) String() string {
	if p.given == nil || !*p.given {
		return ""
	}
	return strconv.Itoa(int(*p.number))
}

func (p onePort) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return errors.New("want 0 to 65535")
	}
	*p.given, *p.number = true, uint16(n)
	return nil
}

// A portRange is a flag such as 40000-40100. 0 and 0 mean any port.
type portRange struct{ min, max *uint16 }

func (r portRange) String() string {
	if r.max == nil || *r.max == 0 {
		return ""
	}
	return fmt.Sprintf("%d-%d", *r.min, *r.max)
}

func (r portRange) Set(s string) error {
	low, high, _ := strings.Cut(s, "-")
	a, errA := strconv.ParseUint(low, 10, 16)
	b, errB := strconv.ParseUint(high, 10, 16)
	if errA != nil || errB != nil || a == 0 || a > b {
		return errors.New("want two ports, MIN-MAX")
	}
	*r.min, *r.max = uint16(a), uint16(b)
	return nil
}

// parse reads the flags and returns the other arguments.
func (f *flags) parse(args []string) (rest []string, err error) {
	set := f.set()
	for len(args) > 0 {
		if err := set.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, wrongUsage("%s", twoDashes(err))
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

// twoDashes returns the text of an error of package flag, with two dashes before flags, as this
// program writes them. Package flag writes one.
func twoDashes(err error) string {
	text := strings.Replace(err.Error(), "flag provided but not defined: -", "there is no flag --", 1)
	return strings.Replace(text, " for flag -", " for --", 1)
}

// joins reports whether the flags name a peer of a network. options reports --dht-bootstrap
// without --dht.
func (f *flags) joins() bool { return len(f.peer.Bootstraps) > 0 || len(f.dht.Bootstraps) > 0 }

func (p *program) printUsage(w io.Writer) {
	var b bytes.Buffer
	set := new(flags).set()
	set.SetOutput(&b)
	set.PrintDefaults()
	fmt.Fprintf(w, usage, strings.ReplaceAll(b.String(), "  -", "  --"))
}

// options returns the options that the peers of all commands share.
func (p *program) options() (compat.Options, error) {
	o := p.flags.peer
	o.Version = version()
	o.Counters = p.counters
	switch d := p.flags.dht; {
	case d.Prefix != "":
		o.DHT = &d
	case len(d.Bootstraps) > 0 || d.Closed:
		return o, wrongUsage("--dht-bootstrap and --dht-closed: want --dht as well, such as --dht %s", dht.Prefix)
	}
	switch box := p.flags.box; {
	case box.Dir != "":
		o.Mailbox = &box
		if o.KeyFile == "" { // another id after a restart would be another place in the network
			if err := os.MkdirAll(box.Dir, 0o700); err != nil {
				return o, wrongUsage("--mailbox: %w", err)
			}
			o.KeyFile = filepath.Join(box.Dir, "key")
		}
	case box != mailbox.Options{}:
		return o, wrongUsage("--mailbox-size, --mailbox-sender, --mailbox-receiver and --mailbox-age: want --mailbox as well")
	}
	level := slog.LevelWarn // such as a limit that is reached
	if p.flags.verbose {
		level = slog.LevelDebug
	}
	o.Logger = slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: level}))
	return o, nil
}

// counters returns the counters of the program for the status page.
func (p *program) counters() map[string]uint64 {
	return map[string]uint64{"lines dropped: stdout": p.stdout.dropped(), "lines dropped: stderr": p.stderr.dropped()}
}
