package wire

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

// BenchmarkForward measures the codec's part of relaying: read a frame, append to its
// path, lower the transmissions, and write it.
func BenchmarkForward(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			wire := must(testMessage(b, size, func(m *MessageFields) { m.Path = testIDs(3) }).AppendTo(nil))
			relay := testID("relay")
			r := bytes.NewReader(wire)
			b.ReportAllocs()
			b.SetBytes(int64(len(wire)))
			for b.Loop() {
				r.Reset(wire)
				f, err := ReadFrame(r, MaxFrame)
				if err != nil {
					b.Fatal(err)
				}
				f.Relay(relay)
				f.Hop = f.Hop.WithTx(f.Hop.TxLeft() - 1)
				if _, err := f.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOriginate measures the codec's part of sending a message.
func BenchmarkOriginate(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			m := testFields(b, size)
			body := m.Body
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				m.Body = Body{To: body.To, From: body.From, Form: body.Form, Payload: body.Payload}
				if err := m.Body.Encode(); err != nil {
					b.Fatal(err)
				}
				f, err := NewMessageFrame(m)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := f.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
