package rawjson_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
)

func TestParseID(t *testing.T) {
	var id [rawjson.IDLen]byte
	copy(id[:], []byte{225, 167, 0, 9, 10, 99, 100, 255, 0xab, 0xcd, 0xef})
	digits := hex.EncodeToString(id[:])
	exact := string(rawjson.AppendBuffer(nil, id[:]))
	array := exact[strings.IndexByte(exact, '[') : len(exact)-1]

	accepted := []string{
		`"` + digits + `"`,
		`"` + strings.ToUpper(digits) + `"`,
		`"` + strings.ToUpper(digits[:20]) + digits[20:] + `"`,
		` "` + digits + "\"\n",
		`"\u0065` + digits[1:] + `"`,
		exact,
		" " + exact + " ",
		strings.ReplaceAll(exact, ",", " ,\n"),
		`{"data":` + array + `,"type":"Buffer"}`,
		`{"data":[1],"type":"Buffer","data":` + array + `,"length":20}`,
		`{"type":"\u0042uffer","d\u0061ta":` + array + `}`,
		array,
		strings.ReplaceAll(array, ",", " , "),
	}
	for _, text := range accepted {
		if got, ok := rawjson.ParseID([]byte(text)); !ok || got != id {
			t.Errorf("ParseID(%s) = %x, %v", text, got, ok)
		}
	}

	short := string(rawjson.AppendBuffer(nil, id[:19]))
	long := string(rawjson.AppendBuffer(nil, append(id[:], 1)))
	refused := []string{
		``, ` `, `null`, `0`, `true`, `""`, `[]`, `{}`, digits,
		`"` + digits[1:] + `"`, `"` + digits + `0"`, `"` + digits[:39] + `g"`, `"` + digits, `"` + digits + `"x`, `"0x` + digits[2:] + `"`,
		short, long, exact[:len(exact)-1], exact + "x", short[strings.IndexByte(short, '[') : len(short)-1], long[strings.IndexByte(long, '[') : len(long)-1],
		strings.Replace(array, "225", "256", 1), strings.Replace(array, "225", "-1", 1), strings.Replace(array, "225", "1.5", 1),
		strings.Replace(array, "225", "2e2", 1), strings.Replace(array, "225", "0225", 1), strings.Replace(array, "225", `"225"`, 1),
		strings.Replace(array, "225", "[225]", 1), strings.Replace(array, "225", "null", 1), strings.Replace(array, "225", "", 1), array[:len(array)-1] + ",]",
		array + "]", `[` + array + `]`,
		`{"type":"buffer","data":` + array + `}`, `{"type":5,"data":` + array + `}`, `{"data":` + array + `}`, `{"type":"Buffer"}`,
		`{"type":"Buffer","data":"` + digits + `"}`, `{"type":"Buffer","data":` + array + `,"data":0}`, `{"type":"Buffer","data":` + array + `,}`,
	}
	for _, text := range refused {
		if got, ok := rawjson.ParseID([]byte(text)); ok {
			t.Errorf("ParseID(%s) = %x, want it refused", text, got)
		}
	}

	if got := string(rawjson.AppendID([]byte("x"), id)); got != `x"`+digits+`"` {
		t.Errorf("AppendID = %s", got)
	}
}

func TestBuffer(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, c := range []struct {
		data []byte
		want string
	}{
		{nil, `{"type":"Buffer","data":[]}`},
		{[]byte{0}, `{"type":"Buffer","data":[0]}`},
		{[]byte{1, 2, 3}, `{"type":"Buffer","data":[1,2,3]}`},
		{[]byte{9, 10, 99, 100, 255}, `{"type":"Buffer","data":[9,10,99,100,255]}`},
		{every, `{"type":"Buffer","data":` + strings.ReplaceAll(fmt.Sprint(every), " ", ",") + `}`},
	} {
		text := rawjson.AppendBuffer([]byte("x"), c.data)
		if string(text) != "x"+c.want {
			t.Errorf("AppendBuffer(%v) = %s", c.data, text)
		}
		if n := rawjson.BufferLen(c.data); n != len(c.want) {
			t.Errorf("BufferLen(%v) = %d, want %d", c.data, n, len(c.want))
		}
		if !rawjson.IsFixedPoint(text[1:]) {
			t.Errorf("%s is not a fixed point", text[1:])
		}
		got, ok := rawjson.DecodeBuffer([]byte("x"), []byte(c.want))
		if !ok || string(got) != "x"+string(c.data) {
			t.Errorf("DecodeBuffer(%s) = %v, %v", c.want, got, ok)
		}
	}

	for _, text := range []string{
		``, `{}`, `[1,2,3]`, `"x"`, `{"type":"Buffer","data":[`, `{"type":"Buffer","data":[1`, `{"type":"Buffer","data":[1]`, `{"type":"Buffer","data":[1,`,
		`{"type":"Buffer","data":[1,]}`, `{"type":"Buffer","data":[,1]}`, `{"type":"Buffer","data":[1] }`, `{"type":"Buffer","data":[1, 2]}`,
		`{"type":"Buffer","data":[256]}`, `{"type":"Buffer","data":[1000]}`, `{"type":"Buffer","data":[01]}`, `{"type":"Buffer","data":[-1]}`,
		`{"type":"Buffer","data":[1.0]}`, `{"type":"Buffer","data":[1e0]}`, `{"type":"Buffer","data":["1"]}`, `{"type":"Buffer","data":[null]}`,
		`{"type":"Buffer", "data":[1]}`, `{"data":[1],"type":"Buffer"}`, `{"type":"buffer","data":[1]}`, `{"type":"Buffer","data":[1],"x":0}`,
		` {"type":"Buffer","data":[1]}`, `{"type":"Buffer","data":[1]} `, `{"type":"Buffer","data":[1]}}`, `{"type":"Buffer","data":{}}`, `{"type":"Buffer","data":"AQ=="}`,
	} {
		if got, ok := rawjson.DecodeBuffer([]byte("x"), []byte(text)); ok || string(got) != "x" {
			t.Errorf("DecodeBuffer(%s) = %v, %v", text, got, ok)
		}
	}
}

func TestScannerBuffer(t *testing.T) {
	s := rawjson.NewScanner([]byte(`[ {"type":"Buffer","data":[7,8]} , {"type":"Buffer","data":[7, 8]},{"type":"Buffer","data":[]},1]`))
	var got []string
	for ok := s.EnterArray(); ok && s.More(); {
		if data, isBuffer := s.Buffer(nil); isBuffer {
			got = append(got, fmt.Sprint(data))
		} else {
			got = append(got, string(s.Value()))
		}
	}
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	if want := `[7 8]|{"type":"Buffer","data":[7, 8]}|[]|1`; strings.Join(got, "|") != want {
		t.Errorf("got %s, want %s", strings.Join(got, "|"), want)
	}
}

// TestScannerBufferDepth checks that reading a Buffer, which has two levels, in one step keeps the
// limit of depth that Value keeps.
func TestScannerBufferDepth(t *testing.T) {
	for free := range 3 {
		outer := rawjson.MaxDepth - free
		text := strings.Repeat("[", outer) + `{"type":"Buffer","data":[1]}` + strings.Repeat("]", outer)
		s := rawjson.NewScanner([]byte(text))
		for s.EnterArray() && s.More() {
		}
		_, isBuffer := s.Buffer(nil)
		if want := rawjson.Valid([]byte(text)); isBuffer != want {
			t.Errorf("with %d levels free: Buffer says %v, Valid says %v", free, isBuffer, want)
		}
	}
}

func BenchmarkAppendBuffer(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			data := pattern(size)
			var text []byte
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				text = rawjson.AppendBuffer(text[:0], data)
			}
		})
	}
}

func BenchmarkDecodeBuffer(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			data := pattern(size)
			text := rawjson.AppendBuffer(nil, data)
			var got []byte
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				got, _ = rawjson.DecodeBuffer(got[:0], text)
			}
			if !bytes.Equal(got, data) {
				b.Fatal("decoded other bytes")
			}
		})
	}
}

func BenchmarkParseID(b *testing.B) {
	var id [rawjson.IDLen]byte
	for name, text := range map[string][]byte{"hex": rawjson.AppendID(nil, id), "buffer": rawjson.AppendBuffer(nil, id[:])} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := rawjson.ParseID(text); !ok {
					b.Fatal("refused")
				}
			}
		})
	}
}
