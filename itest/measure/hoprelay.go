package measure

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/gorilla/websocket"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// playHopRelay plays a relay that does no more than it must.
func playHopRelay(spec []byte) error {
	var part hopPart
	if err := json.Unmarshal(spec, &part); err != nil {
		return err
	}
	switch part.Relay {
	case hopBare:
		return playHopBare(part.Over)
	case hopGorilla:
		return playHopGorilla()
	}
	return fmt.Errorf("no relay %q", part.Relay)
}

// A hopForwarder knows the queues of its clients.
type hopForwarder[T any] struct {
	mu      sync.RWMutex
	clients map[protocol.ID]T
}

func (f *hopForwarder[T]) add(id protocol.ID, client T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.clients == nil {
		f.clients = make(map[protocol.ID]T)
	}
	f.clients[id] = client
}

func (f *hopForwarder[T]) get(id protocol.ID) (T, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	c, ok := f.clients[id]
	return c, ok
}

// hopQueue is the messages that a bare forwarder holds for one client; more make the reader wait.
const hopQueue = 4096

// playHopBare forwards lines between streams of a libp2p host.
func playHopBare(over string) error {
	h, err := newHopHost("/ip4/" + peers.Loopback + "/tcp/0/" + over)
	if err != nil {
		return err
	}
	defer h.Close()
	var forwarder hopForwarder[chan []byte]
	h.SetStreamHandler(hopLinesProtocol, func(s network.Stream) {
		defer s.Reset()
		var id protocol.ID
		r := bufio.NewReaderSize(s, hopBuffer)
		if _, err := io.ReadFull(r, id[:]); err != nil {
			return
		}
		queue := make(chan []byte, hopQueue)
		defer close(queue) // no client writes to one that is gone: both close at once
		forwarder.add(id, queue)
		go writeHopLines(bufio.NewWriterSize(s, hopBuffer), queue)
		for {
			size, err := binary.ReadUvarint(r)
			if err != nil {
				return
			}
			line := make([]byte, binary.MaxVarintLen32+size)
			head := binary.PutUvarint(line, size)
			line = line[:head+int(size)]
			if _, err := io.ReadFull(r, line[head:]); err != nil {
				return
			}
			if to, ok := forwarder.get(protocol.ID(line[head:])); ok {
				to <- line
			}
		}
	})
	return ReportHopRelay(h.Addrs()[0].String() + "/p2p/" + h.ID().String())
}

// writeHopLines writes what is in the queue and flushes when it is empty.
func writeHopLines(w *bufio.Writer, queue <-chan []byte) {
	for line := range queue {
		w.Write(line) // the error comes again at Flush
		for more := true; more; {
			select {
			case line, more = <-queue:
				w.Write(line)
			default:
				more = false
			}
		}
		if w.Flush() != nil {
			return
		}
	}
}

// playHopGorilla forwards texts between WebSockets, and writes each when it comes.
func playHopGorilla() error {
	l, err := net.Listen("tcp", net.JoinHostPort(peers.Loopback, "0"))
	if err != nil {
		return err
	}
	type client struct {
		mu sync.Mutex
		ws *websocket.Conn
	}
	var forwarder hopForwarder[*client]
	var upgrader websocket.Upgrader
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		_, hello, err := ws.ReadMessage()
		if err != nil {
			return
		}
		id, err := protocol.ParseID(strings.Trim(string(hello), `"`))
		if err != nil || ws.WriteMessage(websocket.TextMessage, hello) != nil {
			return
		}
		forwarder.add(id, &client{ws: ws})
		for {
			_, text, err := ws.ReadMessage()
			if err != nil {
				return
			}
			if id, err := hopReceiver(text); err == nil {
				if to, ok := forwarder.get(id); ok {
					to.mu.Lock()
					to.ws.WriteMessage(websocket.TextMessage, text) // a client that is gone gets no more
					to.mu.Unlock()
				}
			}
		}
	})}
	go server.Serve(l) // ends with the process
	defer server.Close()
	return ReportHopRelay("ws://" + l.Addr().String())
}

// hopTo begins the text of a message.
const hopTo = `{"to":"`

// hopReceiver returns the receiver of a message.
func hopReceiver(text []byte) (protocol.ID, error) {
	if len(text) < len(hopTo)+2*wire.IDSize {
		return protocol.ID{}, io.ErrUnexpectedEOF
	}
	return protocol.ParseID(string(text[len(hopTo):][:2*wire.IDSize]))
}
