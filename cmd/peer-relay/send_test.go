package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// absent is an id that no peer has.
var absent = strings.Repeat("11", 20)

// TestSendRefusesData checks that data that is not what --as says, or that would arrive as something
// else, is refused before a peer is started.
func TestSendRefusesData(t *testing.T) {
	for _, test := range []struct{ as, data, says string }{
		{"string", "\xff", "not valid UTF-8"},
		{"string", strings.Repeat("x", 256_000), "256002 bytes of JSON are too many"},
		{"string", strings.Repeat("x", maxLine+1), "more than 1048576 bytes"},
		{"bytes", strings.Repeat("x", 64_001), "64001 bytes are too many"},
		{"json", "", "not one JSON value"},
		{"json", "{", "not one JSON value"},
		{"json", "hello", "not one JSON value"},
		{"json", "1 2", "not one JSON value"},
		{"json", "\"\xff\"", "not valid UTF-8"},
		{"json", `{"n":[1,12345678901234567890]}`, "12345678901234567890 would arrive as 12345678901234567000"},
		{"json", "[1e400]", "1e400 is too large"},
		{"json", `[{"a":1,"b":{"a":2},"a":3}]`, `two members "a"`},
	} {
		status, stdout, stderr := runOnce(t, test.data, "send", "--bootstrap", "ws://127.0.0.1:1", "--as", test.as, absent, "-")
		if status != exitUsage || stdout != "" || !strings.Contains(stderr, test.says) {
			t.Errorf("--as %s %.40q: status %d, stdout %q, stderr %q, want it to say %q", test.as, test.data, status, stdout, stderr, test.says)
		}
	}
}

func TestNothingIsAltered(t *testing.T) {
	for _, text := range []string{`0`, `-0`, `-9007199254740991`, `1000000000000000000000`, `0.1`, `0.1000000000000000055511151231257827`, `1E5`,
		`null`, `"a"`, `["a","a"]`, `{"a":{"a":["a",{"a":"a"}]},"b":"a"}`, ` [ ] `, `{}`, `{"\ud800":1,"\ud801":2}`} {
		if err := altered(json.RawMessage(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestReceiptText(t *testing.T) {
	for _, test := range []struct {
		r    protocol.Receipt
		want string
	}{
		{protocol.Receipt{Proved: true, Hops: 4, Took: 84 * time.Millisecond}, "delivered in 84 ms over 3 relays"},
		{protocol.Receipt{Proved: true, Hops: 2, Took: 83*time.Millisecond + 1}, "delivered in 84 ms over 1 relay"},
		{protocol.Receipt{Proved: true, Hops: 1, Took: time.Microsecond}, "delivered in 1 ms directly"},
		{protocol.Receipt{Proved: true, Took: time.Second}, "delivered in 1000 ms"},
		{protocol.Receipt{Hops: 3, Took: 2 * time.Millisecond}, "delivered in 2 ms over 2 relays, not proved: a relay may have made the receipt"},
		{protocol.Receipt{Handed: true, Hops: 2, Took: 5 * time.Millisecond}, "handed to its relay in 5 ms: the receiver is a legacy peer, which confirms nothing"},
	} {
		if got := receiptText(test.r); got != test.want {
			t.Errorf("%+v is %q, want %q", test.r, got, test.want)
		}
	}
}

func TestSendToNoPeer(t *testing.T) {
	relay := startChild(t, "0", "--host", "127.0.0.1")
	url := relay.text(relay.ready["ws"])
	status, stdout, stderr := runOnce(t, "", "send", "--bootstrap", url, absent, "hello")
	if want := "peer-relay: send: no peer has the id " + absent + "\n"; status != exitNoPeer || stdout != "" || stderr != want {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
	status, stdout, _ = runOnce(t, "", "send", "--json", "--bootstrap", url, absent, "hello")
	if want := `{"event":"error","status":4,"error":"send: no peer has the id ` + absent + `"}` + "\n"; status != exitNoPeer || !strings.Contains(stdout, want) {
		t.Errorf("status %d, stdout %q", status, stdout)
	}
	if status, stdout, stderr = runOnce(t, "", "send", "--no-wait", "--bootstrap", url, absent, "hello"); status != exitOK || stdout+stderr != "" {
		t.Errorf("--no-wait: status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
}

// startSilent starts a relay that confirms nothing: it has no room for messages.
func startSilent(t *testing.T) *node.Node {
	t.Helper()
	n, err := node.New(node.Options{Listen: true, ListenHost: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	for n.Router().Stats().Dropped[protocol.DropInboxFull] == 0 {
		if err := n.Send(n.ID(), []byte("full")); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func TestSendWithoutAReceipt(t *testing.T) {
	silent := startSilent(t)
	status, stdout, stderr := runOnce(t, "", "send", "--timeout", "2s", "--bootstrap", silent.Addrs()[0].String(), silent.ID().String(), "hello")
	if want := "no receipt from " + silent.ID().String() + " within 2s: the message may have arrived"; status != exitUnknown || stdout != "" || !strings.Contains(stderr, want) {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
}

func TestSendInJSON(t *testing.T) {
	relay := startChild(t, "0", "--host", "127.0.0.1")
	status, stdout, stderr := runOnce(t, "", "send", "--json", "--bootstrap", relay.text(relay.ready["ws"]), relay.id(), "hello")
	want := `"id":"` + relay.id() + `","ms":`
	if status != exitOK || !strings.Contains(stdout, `{"event":"receipt",`+want) || !strings.Contains(stdout, `,"hops":1,"proved":true,"handed":false}`) {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
}

// TestInterruptedSend checks that send does not claim to have sent anything when a signal ends it.
func TestInterruptedSend(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, errs strings.Builder
	status := run(ctx, []string{"send", "--bootstrap", "ws://127.0.0.1:1", absent, "hello"}, strings.NewReader(""), &out, &errs)
	if status != exitFailure || !strings.Contains(errs.String(), "the message was not sent") {
		t.Errorf("status %d, stderr %q", status, errs.String())
	}
}

// TestChildReceipts checks that each message with "reliable" is answered by its receipt or an error,
// and that every error has the tag of its line.
func TestChildReceipts(t *testing.T) {
	relay := startChild(t, "0", "--host", "127.0.0.1")
	peer := startChild(t, "none", relay.text(relay.ready["ws"]))
	for _, tag := range []string{`"a"`, `17`, `null`, `{"n":[1,2]}`} {
		peer.write(`{"send":{"to":"%s","data":1,"reliable":true,"tag":%s}}`, relay.id(), tag)
		r := peer.await("receipt")
		if string(r["tag"]) != tag || peer.text(r["id"]) != relay.id() || string(r["hops"]) != "1" || string(r["proved"]) != "true" || string(r["handed"]) != "false" {
			t.Errorf("tag %s: the receipt is %s", tag, r)
		}
	}
	peer.write(`{"send":{"to":"%s","reliable":true}}`, relay.id())
	if r := peer.await("receipt"); r["tag"] != nil {
		t.Errorf("the receipt without a tag is %s", r)
	}
	for _, line := range []string{
		`{"send":{"tag":"x"}}`,
		`{"send":{"to":"12","tag":"x"}}`,
		`{"send":{"to":12,"tag":"x"}}`,
		`{"send":{"colour":"red","to":"` + absent + `","tag":"x"}}`,
		`{"send":{"to":"` + absent + `","tag":"x","reliable":1}}`,
		`{"send":{"to":"` + absent + `","tag":"x"}} {}`,
		`{"send":{"to":"` + absent + `","tag":"x","data":nonsense}}`,
		`{"send":{"to":"` + absent + `","tag":"x","data":"` + strings.Repeat("y", maxLine) + `"}}`,
		`{"send":{"to":"` + absent + `","data":"` + strings.Repeat("y", 300_000) + `","tag":"x"}}`,
		`{"send":{"to":"` + absent + `","data":"` + strings.Repeat("y", 300_000) + `","tag":"x","reliable":true}}`,
	} {
		peer.write("%s", line)
		if e := peer.await("error"); string(e["tag"]) != `"x"` || e["status"] != nil {
			t.Errorf("%.99s: tag %s, status %s, %s", line, e["tag"], e["status"], e["error"])
		}
	}
	for _, line := range []string{`{"peers":"x","tag":1}`, `{"send":[{"tag":1}]}`, `{"send":{"data":{"tag":1}}}`, `nonsense`, `{}`} {
		peer.write("%s", line)
		if e := peer.await("error"); e["tag"] != nil {
			t.Errorf("%s: tag %s", line, e["tag"])
		}
	}
}

// TestChildEndsWithReceipts checks that a child whose input ends awaits the receipts of what it was
// given, and that its exit status says whether all came.
func TestChildEndsWithReceipts(t *testing.T) {
	relay := startChild(t, "0", "--host", "127.0.0.1")
	url := relay.text(relay.ready["ws"])
	const sent = 20
	var lines strings.Builder
	for i := range sent {
		fmt.Fprintf(&lines, `{"send":{"to":"%s","data":%d,"tag":%[2]d,"reliable":true}}`+"\n", relay.id(), i)
	}
	status, stdout, stderr := runOnce(t, lines.String(), "--json", "none", url)
	if n := strings.Count(stdout, `{"event":"receipt","tag":`); status != exitOK || n != sent {
		t.Errorf("status %d, %d receipts of %d, stderr %q", status, n, sent, stderr)
	}
	for i := range sent { // in order
		if got := string(relay.await("message")["data"]); got != fmt.Sprint(i) {
			t.Errorf("%s arrived, want %d", got, i)
		}
	}
	fmt.Fprintf(&lines, `{"send":{"to":"%s","tag":"lost","reliable":true}}`+"\n", absent)
	status, stdout, stderr = runOnce(t, lines.String(), "--json", "none", url)
	if !strings.Contains(stdout, `{"event":"error","tag":"lost","status":4,"error":"send: no peer has the id `+absent+`"}`) {
		t.Errorf("stdout %q", stdout)
	}
	if n := strings.Count(stdout, `{"event":"receipt","tag":`); status != exitFailure || n != sent || !strings.Contains(stderr, "1 message was not sent, or has no receipt") {
		t.Errorf("status %d, %d receipts of %d, stderr %q", status, n, sent, stderr)
	}
}

// A brake passes the bytes of connections on to an address, but none to it while it is held.
type brake struct {
	port string // on 127.0.0.1
	held sync.RWMutex
}

func startBrake(t *testing.T, to string) *brake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	b := &brake{port: port}
	var all sync.WaitGroup
	all.Go(func() { // ends with the listener
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			near.(*net.TCPConn).SetReadBuffer(64 << 10)
			all.Go(func() { b.pass(far, near) })
			all.Go(func() {
				io.Copy(near, far)
				near.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait() // for the children, which have ended
	})
	return b
}

func (b *brake) pass(far, near net.Conn) {
	defer far.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := near.Read(buf)
		if err != nil {
			return
		}
		b.held.RLock()
		_, err = far.Write(buf[:n])
		b.held.RUnlock()
		if err != nil {
			return
		}
	}
}

// TestChildHoldsItsInput checks that a child does not read its input while its queues are full, and
// that all of it arrives.
func TestChildHoldsItsInput(t *testing.T) {
	const sent = 60 // 12 MB: more than the queue of a link and the buffers of TCP, less than an inbox
	to := startChild(t, "0", "--host", "127.0.0.1")
	address := strings.TrimPrefix(to.text(to.ready["ws"]), "ws://")
	brake := startBrake(t, address)
	_, port, _ := net.SplitHostPort(address)
	var addrs []string
	if err := json.Unmarshal(to.ready["addrs"], &addrs); err != nil {
		t.Fatal(err)
	}
	from := startChild(t, "0", "--host", "127.0.0.1", strings.Replace(addrs[0], "/"+port+"/", "/"+brake.port+"/", 1))
	from.await("peer")
	brake.held.Lock()
	go func() { // ends when all is written
		for i := range sent {
			fmt.Fprintf(from.in, `{"send":{"to":"%s","tag":%d,"data":[%[2]d,"%s"]}}`+"\n", to.id(), i, strings.Repeat("x", 200_000))
		}
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); counter(t, from.text(from.ready["ws"]), "dropped: queue_full") == 0; <-tick.C {
		if time.Since(begun) > patience {
			t.Fatal("no queue is full")
		}
	}
	brake.held.Unlock()
	got := make(map[string]bool)
	for len(got) < sent {
		select {
		case line := <-to.lines:
			if to.text(line["event"]) == "message" {
				number, _, _ := strings.Cut(string(line["data"]), ",")
				got[number] = true
			}
		case line := <-from.lines:
			if from.text(line["event"]) == "error" {
				t.Fatalf("error %s, tag %s", line["error"], line["tag"])
			}
		case <-time.After(patience):
			t.Fatalf("%d of %d messages arrived", len(got), sent)
		}
	}
}

// TestLongLastLine checks that a line that is too long is not taken for a short one at the end of the
// input.
func TestLongLastLine(t *testing.T) {
	_, stdout, _ := runOnce(t, `{"send":{"tag":1,"data":"`+strings.Repeat("x", maxLine), "--json", "none")
	if want := `{"event":"error","tag":1,"error":"a line of more than`; !strings.Contains(stdout, want) {
		t.Errorf("%q was written", stdout)
	}
}

// TestHold checks that a message without room is tried again, and for how long.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := new(events)
		full := fmt.Errorf("no room: %w", protocol.ErrQueueFull)
		begun, tries := time.Now(), 0
		until := func(end time.Duration) func() error {
			return func() error {
				if tries++; time.Since(begun) < end {
					return full
				}
				return nil
			}
		}
		const most = holdTime - time.Second
		if err := e.hold(t.Context(), until(most)); err != nil || tries > int(most/holdMost)+10 {
			t.Errorf("%v, %d tries", err, tries)
		}
		if err := e.hold(t.Context(), until(2*most)); err != nil {
			t.Errorf("%v, though a message had found room", err)
		}
		begun = time.Now()
		if err := e.hold(t.Context(), until(time.Hour)); err != full || time.Since(begun) > holdTime+holdMost {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		begun = time.Now()
		if err := e.hold(t.Context(), until(time.Hour)); err != full || time.Since(begun) > 0 {
			t.Errorf("%v after %v, though none found room before", err, time.Since(begun))
		}
		other := errors.New("another error")
		if err := e.hold(t.Context(), func() error { return other }); err != other {
			t.Errorf("error %v", err)
		}
		begun = time.Now()
		if err := e.hold(t.Context(), until(time.Hour)); err != full || time.Since(begun) > 0 {
			t.Errorf("%v after %v, though none found room before", err, time.Since(begun))
		}
		if err := e.hold(t.Context(), func() error { return nil }); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun = time.Now()
		if err := e.hold(ctx, until(time.Hour)); err != full || time.Since(begun) != time.Second {
			t.Errorf("%v after %v, though the child ends", err, time.Since(begun))
		}
		if n := e.failed.Load(); n != 4 {
			t.Errorf("%d messages failed, want 4", n)
		}
	})
}

// TestSettle checks that a child whose output is not read ends once its messages have an answer.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		e := newEvents(newOutput(g), nil)
		e.out.put([]byte(strings.Repeat("x", waitBytes) + "\n"))
		for range maxReliable {
			e.places <- struct{}{}
			go func() { // ends in settle
				time.Sleep(receiptTime)
				e.out.put([]byte("answer\n"))
				<-e.places
			}()
		}
		begun := time.Now()
		e.settle()
		if took := time.Since(begun); took > receiptTime+drainIdle {
			t.Errorf("it took %v", took)
		}
		close(g.open)
		if err := e.out.close(); err != nil {
			t.Error(err)
		}
		if n := strings.Count(g.text.String(), "answer\n"); n != maxReliable {
			t.Errorf("%d answers of %d were written", n, maxReliable)
		}
	})
}

// TestReceiptsForAParentThatDoesNotRead checks that no answer of a message with "reliable" is dropped
// while a parent reads late, that other commands are obeyed, and that the child ends.
func TestReceiptsForAParentThatDoesNotRead(t *testing.T) {
	d := startDeaf(t)
	const sent = 900 // each answer and each message has some 400 bytes
	tag := strings.Repeat("x", 200)
	for i := range sent {
		fmt.Fprintf(d.in, `{"send":{"to":"%s","data":"%s","tag":"%d %[2]s","reliable":true}}`+"\n", d.ready.ID, tag, i)
	}
	io.WriteString(d.in, `{"peers":true}`+"\n")
	receipts, peers := 0, false
	for receipts < sent || !peers {
		var e struct{ Event, Tag string }
		if err := json.Unmarshal(d.read(), &e); err != nil {
			t.Fatal(err)
		}
		switch e.Event {
		case "receipt":
			receipts++
		case "peers":
			peers = true
		case "dropped", "error":
			t.Errorf("event %s", e.Event)
		}
	}
	d.ends()
}
