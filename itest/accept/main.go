// Command accept runs the long acceptance runs, which print figures and are too long
// for go test:
//
//	go run ./itest/accept                 lists them
//	go run ./itest/accept NAME [flags]    runs one
//
// Progress goes to standard error, the table to standard output and to a file. The exit
// status is 0 if the run passed, 1 if it failed, 2 for a wrong command line.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/peer-relay/peer-relay/itest/measure"
	"github.com/peer-relay/peer-relay/itest/peers"
)

// A run is one acceptance run.
type run struct {
	name string
	help string // one line
	n    int    // what -n means if it is not given: repeats, messages, …
	do   func(ctx context.Context, opts options, r *report) error
	old  use // of the binary of another build
}

// A use says whether a run takes a flag.
type use uint8

const (
	unused use = iota
	optional
	required
)

// options are what the command line says.
type options struct {
	n       int
	workers int
	seed    uint64
	bytes   int64         // of one stream
	old     string        // the binary of another build
	lasts   time.Duration // of a soak
	race    bool          // build with the race detector
	only    string        // the situations of a sweep with this in their names

	processes int         // with nodes
	each      int         // peers of each kind
	log       *log.Logger // progress
}

// runs is the list. A new run is a file with a function and a line here.
func runs() []run {
	return []run{
		{"first", "server.js is replaced by peer-relay PORT, which then serves npm clients, curl and libp2p; -n messages each way", 1000, first, unused},
		{"scenarios", "the scenarios of the npm package's test.js, every cast of roles, -n times each in fresh processes", 50, scenarios, unused},
		{"load", "500 npm clients on one node, then 60 in one bucket, and -n messages between random pairs of them", 5000, load, unused},
		{"values", "-n generated JSON documents from JS peers through two of our relays to JS peers", 100_000, values, unused},
		{"simultaneous", "two peers dial each other at the same instant, every kind -n times", 100, simultaneous, unused},
		{"cost", "CPU per message of one relay, ours and the npm package's, over WebRTC and WebSocket, -n rounds of each; with -old that of another build beside ours, over WebSocket", 5, cost, optional},
		{"hop", "CPU per message of one relay beside others: a bare libp2p forwarder, nats-server, ironwood, the npm package, and with -old another build; -n rounds", 9, hop, optional},
		{"bulk", "1 GB (-bytes) over a stream through one relay, beside circuit-relay-v2, quic-go and TCP, in -n rounds: speed, CPU, memory", 3, bulk, unused},
		{"webrtc", "a peer of ours and an npm peer that cannot be dialled are linked by WebRTC: we offer, they offer, both do, -n times each", 20, webrtc, unused},
		{"browser", "npm peers in pages of Chromium and our peers link by WebRTC, lose what they had, send as much as passes, and die; -n times", 5, browser, unused},
		{"gone", "kill -9 a linked process, every kind of link -n times: when is it missed", 10, gone, unused},
		{"closing", "a peer sends and ends at once: by the command send, Send, PacketConn, Socket and streams, each kind -n times", 1000, closing, unused},
		{"hostile", "peers do to a relay what they should not, 50 inputs and more of -n seconds each: memory, goroutines, and whether it relays", 3, hostile, unused},
		{"pages", "4 Go peers, 3 pages on js-libp2p and 3 of the npm package: each writes to each, in -n networks", 5, pages, unused},
		{"dht", "100 hosts in 10 processes share a kad-dht: -n newcomers of each kind connect to any id; stale and forged records; a DHT of others", 100, dht, unused},
		{"overlay", "up to -n production cores in virtual time: delivery, hops, links, talk, repair", 1000, overlay, unused},
		{"mailbox", "1,000 messages for a receiver that is off for 60 s, ours and npm, with the mailbox killed meanwhile, and a mailbox on a full disk; -n times", 3, mailbox, unused},
		{"mutations", "take the safeguards of the code out one by one: a test must fail each time", 1, mutations, unused},
		{"soak", "-n processes on hosts of their own for a time (-for) are killed, stopped, moved and closed, one each second: reach, loss, duplicates, memory, races (-race)", 40, soak, unused},
		{"processes", "200 nodes in 20 processes: -n messages between random pairs, then without the bootstrap's process, then without a fifth of the processes", 10_000, processes, unused},
		{"crowd", "50 processes of ours and 50 npm peers: -n messages between random pairs, then without the bootstrap, then without a fifth of the processes", 10_000, crowd, unused},
		{"agree", "100 nodes in 10 processes with delayed links beside simulated ones: hops, and delivery after a kill, of -n messages", 5000, agree, unused},
		{"sweep", "what happens to networks, machines and disks of users, in namespaces: each situation -n times, -j at once", 1, sweep, unused},
		{"versions", "the binary of another build (-old), this one's and npm peers write to each other over relays of all three, in -n rounds", 3, versions, required},
	}
}

// errUsage is a wrong command line, reported already.
var errUsage = errors.New("usage")

func main() {
	if status, played := peers.Play(measure.Parts()); played {
		os.Exit(status)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := accept(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "accept:", err)
		os.Exit(1)
	}
}

func accept(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		fmt.Fprintln(stdout, "usage: go run ./itest/accept NAME [-n N] [-j N] [-seed N] [-o FILE]")
		for _, r := range runs() {
			fmt.Fprintf(stdout, "  %-12s %s (-n %d)\n", r.name, r.help, r.n)
		}
		return nil
	}
	for _, r := range runs() {
		if r.name == args[0] {
			if inBrowser(r.name) {
				if done, err := playAlone(ctx, args, stdout, stderr); done || err != nil {
					return err
				}
			}
			return r.execute(ctx, args[1:], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "accept: no run %q; without an argument the names are listed\n", args[0])
	return errUsage
}

func (r run) execute(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("accept "+r.name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	opts := options{log: log.New(stderr, r.name+": ", log.Ltime)}
	flags.IntVar(&opts.n, "n", r.n, "how many times, or how much, by the run")
	flags.IntVar(&opts.workers, "j", 1, "how many run at once, in runs whose result does not depend on it")
	flags.Uint64Var(&opts.seed, "seed", 0, "the seed, 0 for a random one")
	flags.Int64Var(&opts.bytes, "bytes", 1e9, "of one stream, where streams are measured")
	if r.old != unused {
		flags.StringVar(&opts.old, "old", "", "the binary of another build")
	}
	switch r.name {
	case "soak":
		flags.DurationVar(&opts.lasts, "for", 30*time.Minute, "how long")
		flags.BoolVar(&opts.race, "race", false, "build the processes with the race detector")
	case "sweep":
		flags.StringVar(&opts.only, "only", "", "the situations with this in their names")
	case "processes":
		flags.IntVar(&opts.processes, "processes", 20, "how many processes, of 10 nodes each")
	case "crowd":
		flags.IntVar(&opts.each, "each", 50, "how many peers of each kind")
	}
	out := flags.String("o", "", "the file for the table (default itest/accept/out/NAME.txt)")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return errUsage
	}
	if flags.NArg() > 0 || opts.n < 1 || opts.workers < 1 || opts.bytes < 1 {
		fmt.Fprintf(stderr, "accept %s: want flags only, -n, -j and -bytes at least 1\n", r.name)
		return errUsage
	}
	if r.name == "processes" && opts.processes < 3 || r.name == "crowd" && opts.each < 5 {
		fmt.Fprintf(stderr, "accept %s: want -processes at least 3, -each at least 5: some of them are killed\n", r.name)
		return errUsage
	}
	if r.old == required && opts.old == "" {
		fmt.Fprintf(stderr, "accept %s: want -old, the binary of another build\n", r.name)
		return errUsage
	}
	if opts.seed == 0 {
		opts.seed = rand.Uint64()
	}
	if *out == "" {
		root, err := peers.Root()
		if err != nil {
			return err
		}
		*out = filepath.Join(root, "itest", "accept", "out", r.name+".txt")
	}

	opts.log.Printf("seed %d", opts.seed)
	rep := &report{title: fmt.Sprintf("%s: %s", r.name, r.help)}
	started := time.Now()
	err = r.do(ctx, opts, rep)
	rep.note("-n %d -j %d -seed %d; %s %s/%s, %d CPUs; %s at %s", opts.n, opts.workers, opts.seed, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(),
		time.Since(started).Round(time.Second), started.UTC().Format(time.RFC3339))
	if err != nil {
		rep.note("FAILED: %v", err)
	} else {
		rep.note("PASSED")
	}
	text := rep.String()
	io.WriteString(stdout, text)
	if werr := write(*out, text); werr != nil {
		return errors.Join(err, werr)
	}
	opts.log.Printf("written to %s", *out)
	return err
}

func write(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
