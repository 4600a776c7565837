package measure

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
)

// A hopJSONSender sends as the npm package does, and writes all messages of one Flush at once.
type hopJSONSender struct {
	from, to *websocket.Conn
	wire     *hopWire // below from
	sent     int
	text     []byte // the last message, of whose bytes only the two numbers change
	size     int
	head     []byte
	nonce    []byte // within text
	payload  []byte
	serving  sync.WaitGroup
}

// hopData begins the payload of a user's message.
const hopData = `"data":{"type":"user","data":`

func openHopJSON(relay string, take HopTake, failed func(error)) (HopSender, error) {
	var ids [2]protocol.ID
	s := &hopJSONSender{}
	for i, end := range []**websocket.Conn{&s.to, &s.from} {
		for j := range ids[i] {
			ids[i][j] = byte(rand.Uint32())
		}
		ws, wire, err := dialHopJSON(relay, ids[i])
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		*end, s.wire = ws, wire
	}
	s.head = fmt.Appendf(nil, `{"to":"%v","from":"%v","path":["%v"],"nonce":"1%015d",%s`, ids[0], ids[1], ids[1], 0, hopData)
	s.serving.Go(func() { failed(readHopJSON(s.to, take)) })
	s.serving.Go(func() { failed(readHopJSON(s.from, func([]byte, bool) {})) })
	// A relay of ours takes a link that has brought nothing for one that a JS peer does not read.
	first := []byte(fmt.Sprintf(`{"to":"%v","from":"%v","path":["%v"],"nonce":"7","data":{"type":"user"}}`, ids[1], ids[0], ids[0]))
	if err := s.to.WriteMessage(websocket.TextMessage, first); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// dialHopJSON connects an end of this id, and returns the connection and what is below it.
func dialHopJSON(relay string, id protocol.ID) (*websocket.Conn, *hopWire, error) {
	var below *hopWire
	d := websocket.Dialer{ReadBufferSize: hopBuffer, WriteBufferSize: hopBuffer, NetDial: func(network, addr string) (net.Conn, error) {
		conn, err := net.Dial(network, addr)
		below = &hopWire{Conn: conn}
		return below, err
	}}
	ws, _, err := d.Dial(relay, nil)
	if err != nil {
		return nil, nil, err
	}
	err = ws.WriteMessage(websocket.TextMessage, []byte(strconv.Quote(id.String())))
	if err == nil {
		_, _, err = ws.ReadMessage() // the other hello
	}
	if err != nil {
		return nil, nil, errors.Join(err, ws.Close())
	}
	return ws, below, nil
}

// A hopWire holds what is written while it is told to. gorilla/websocket answers pings from the
// reading goroutine.
type hopWire struct {
	net.Conn
	mu   sync.Mutex
	hold bool
	held []byte
}

func (w *hopWire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hold {
		w.held = append(w.held, b...)
		return len(b), nil
	}
	return w.Conn.Write(b)
}

func (w *hopWire) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hold = false
	_, err := w.Conn.Write(w.held)
	w.held = w.held[:0]
	return err
}

// Write implements HopSender.
func (s *hopJSONSender) Write(message []byte) error {
	s.sent++
	if len(message) != s.size {
		s.text, s.size = append(append(bytes.Clone(s.head), message...), "}}"...), len(message)
		s.nonce = s.text[bytes.Index(s.text, []byte(`"nonce":"`))+len(`"nonce":"`):][:costDigits]
		s.payload = s.text[len(s.head):][:len(message)]
	}
	copy(s.payload, message)
	digits(s.nonce, s.sent)
	s.wire.mu.Lock()
	s.wire.hold = true
	s.wire.mu.Unlock()
	return s.from.WriteMessage(websocket.TextMessage, s.text)
}

// Flush implements HopSender.
func (s *hopJSONSender) Flush() error { return s.wire.flush() }

// Close implements HopSender.
func (s *hopJSONSender) Close() (err error) {
	for _, ws := range []*websocket.Conn{s.from, s.to} {
		if ws != nil {
			err = errors.Join(err, ws.Close())
		}
	}
	s.serving.Wait()
	return err
}

// readHopJSON calls take with the payload of each user's message.
func readHopJSON(ws *websocket.Conn, take HopTake) error {
	var text bytes.Buffer
	for {
		_, r, err := ws.NextReader()
		if err != nil {
			return err
		}
		text.Reset()
		if _, err := text.ReadFrom(r); err != nil {
			return err
		}
		_, rest, ok := bytes.Cut(text.Bytes(), []byte(hopData))
		payload, ok2 := bytes.CutSuffix(rest, []byte("}}"))
		if ok && ok2 {
			take(payload, false) // gorilla does not tell what it has read ahead
		}
	}
}

// A hopPubSubSender publishes to a subject of nats-server, to which the other end has subscribed.
type hopPubSubSender struct {
	conns   peers.Closers
	w       *hopLocked
	head    []byte
	serving sync.WaitGroup
}

// A hopLocked is a buffer that two goroutines write to.
type hopLocked struct {
	mu sync.Mutex
	*bufio.Writer
}

const hopSubject = "hop"

func openHopPubSub(relay string, take HopTake, failed func(error)) (HopSender, error) {
	s := &hopPubSubSender{}
	for _, sender := range []bool{false, true} {
		conn, err := dialHopPubSub(relay)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.conns.Add(conn.Close)
		w := &hopLocked{Writer: bufio.NewWriterSize(conn, hopBuffer)}
		fmt.Fprintf(w, "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":true,\"protocol\":1,\"echo\":false}\r\n")
		if sender {
			s.w = w
		} else {
			fmt.Fprintf(w, "SUB %s 1\r\n", hopSubject)
		}
		fmt.Fprintf(w, "PING\r\n")
		if err := w.Flush(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.serving.Go(func() { failed(readHopPubSub(conn, w, take)) })
	}
	return s, nil
}

// dialHopPubSub connects with nats-server: it says what it is in plain text, and then TLS begins.
func dialHopPubSub(addr string) (net.Conn, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	for b := [1]byte{}; b[0] != '\n'; {
		if _, err := conn.Read(b[:]); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // a server of this process, with a key of the moment
	if err := secure.Handshake(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secure, nil
}

// Write implements HopSender.
func (s *hopPubSubSender) Write(message []byte) error {
	s.head = fmt.Appendf(s.head[:0], "PUB %s %d\r\n", hopSubject, len(message))
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.Write(s.head)
	s.w.Write(message)
	_, err := s.w.WriteString("\r\n")
	return err
}

// Flush implements HopSender.
func (s *hopPubSubSender) Flush() error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.w.Writer.Flush()
}

// Close implements HopSender.
func (s *hopPubSubSender) Close() error {
	err := s.conns.Close()
	s.serving.Wait()
	return err
}

// readHopPubSub reads what the server sends, and calls take with each message.
func readHopPubSub(conn io.Reader, w *hopLocked, take HopTake) error {
	r := bufio.NewReaderSize(conn, hopBuffer)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		verb, _, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(" "))
		switch string(verb) {
		case "MSG":
			at := bytes.LastIndexByte(line, ' ')
			size, err := strconv.Atoi(string(bytes.TrimSpace(line[at:])))
			if err != nil {
				return err
			}
			message, err := r.Peek(size + len("\r\n"))
			if err != nil {
				return err
			}
			r.Discard(len(message)) // the bytes stay until the next read
			take(message[:size], r.Buffered() >= len(message))
		case "PING":
			w.mu.Lock()
			w.WriteString("PONG\r\n")
			err := w.Writer.Flush()
			w.mu.Unlock()
			if err != nil {
				return err
			}
		case "-ERR":
			return fmt.Errorf("the server says %q", line)
		}
	}
}
