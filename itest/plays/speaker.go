package plays

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
)

// A speaker is one end of a legacy WebSocket in this process. It writes any text.
type speaker struct {
	s    *Siege
	id   protocol.ID
	conn *websocket.Conn
	gone chan struct{} // closed when the reader has ended

	mu    sync.Mutex // guards writes
	nonce uint64
}

// A spoken is a message that comes to a speaker.
type spoken struct {
	To   protocol.ID
	From protocol.ID
	Data struct {
		Type string
		Data json.RawMessage
	}
}

// speak dials the node, and returns when the node has linked it. heard is called on one
// goroutine, which close waits for.
func (s *Siege) speak(ctx context.Context, id protocol.ID, heard func(spoken)) (*speaker, error) {
	conn, _, err := websocket.DefaultDialer.DialContext(ctx, s.node.URL(), nil)
	if err != nil {
		return nil, err
	}
	p := &speaker{s: s, id: id, conn: conn, gone: make(chan struct{})}
	hello := make(chan struct{}, 1)
	go func() { // ends with the connection
		defer close(p.gone)
		for first := true; ; first = false {
			_, text, err := conn.ReadMessage()
			if err != nil {
				return
			}
			if first {
				hello <- struct{}{}
				continue
			}
			var m spoken
			if heard != nil && json.Unmarshal(text, &m) == nil {
				heard(m)
			}
		}
	}()
	err = p.write(peers.HelloText(id))
	if err == nil {
		select {
		case <-hello:
			err = p.write(p.message(s.node.ID(), id, fmt.Sprintf(`{"type":"findPeers","data":%q}`, id)))
		case <-p.gone:
			err = errors.New("itest: the node hangs up")
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *speaker) close() {
	p.conn.Close()
	<-p.gone
}

func (p *speaker) write(texts ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, text := range texts {
		if err := p.conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			return err
		}
	}
	return nil
}

func (p *speaker) writeBinary(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn.WriteMessage(websocket.BinaryMessage, b)
}

// message returns a message in the name of from, which this speaker passes on.
func (p *speaker) message(to, from protocol.ID, data string) string {
	p.mu.Lock()
	p.nonce++
	nonce := p.nonce
	p.mu.Unlock()
	path := fmt.Sprintf("%q", p.id)
	if from != p.id {
		path = fmt.Sprintf("%q,%q", from, p.id)
	}
	return fmt.Sprintf(`{"to":%q,"from":%q,"path":[%s],"nonce":"%d","data":%s}`, to, from, path, nonce, data)
}

// toNode returns a message to the node.
func (p *speaker) toNode(from protocol.ID, data string) string {
	return p.message(p.s.node.ID(), from, data)
}

// signal returns a signal to the node.
func (p *speaker) signal(from protocol.ID, signal string) string {
	return p.toNode(from, `{"type":"signal","data":`+signal+`}`)
}

// offer asks the node for a link, which lets signals in.
func (p *speaker) offer(from protocol.ID) string {
	return p.toNode(from, `{"type":"handshake-offer"}`)
}
