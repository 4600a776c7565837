package wire

import "sync"

// A messageFrame is a frame with room for a message.
type messageFrame struct {
	Frame
	message Message
}

// roomSizes are the bytes for which frames that were freed have room: for payloads of 64 bytes, of 1 KiB, of 4 KiB
// and of 16 KiB, and what is around them.
var roomSizes = [...]int{smallFrame, 1280, 4608, largestRoom}

// largestRoom is the most bytes of a message whose frame can be freed.
const largestRoom = 17 << 10

// freed are the frames that were freed, by the sizes of their rooms.
var freed [len(roomSizes)]sync.Pool

// roomy returns an empty frame with room for a message of size bytes, which are at most largestRoom.
func roomy(size int) *Frame {
	class := 0
	for size > roomSizes[class] {
		class++
	}
	if f, ok := freed[class].Get().(*Frame); ok {
		return f
	}
	if class == 0 {
		f := new(struct {
			messageFrame
			bytes [smallFrame]byte
		})
		f.Message, f.room = &f.message, f.bytes[:]
		return &f.Frame
	}
	f := new(messageFrame)
	f.Message, f.room = &f.message, make([]byte, roomSizes[class])
	return &f.Frame
}

// Free lets a later message that is read use the memory of this one. Nothing may refer to the frame, its Message
// or their bytes. Free does nothing for a frame that was not read.
func (f *Frame) Free() {
	if f.Message == nil {
		return
	}
	for class, size := range roomSizes {
		if len(f.room) != size {
			continue
		}
		if poison {
			f.spoil()
		}
		m, room := f.Message, f.room
		*m = Message{}
		*f = Frame{Message: m, room: room}
		freed[class].Put(f)
		return
	}
}

// spoil makes what refers to a freed frame fail.
func (f *Frame) spoil() {
	for i := range f.room {
		f.room[i] = 0xdb
	}
}
