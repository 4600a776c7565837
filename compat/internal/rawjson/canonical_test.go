package rawjson_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
)

func TestCanonical(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		// Numbers.
		{`0`, `0`}, {`-0`, `0`}, {`-0.0e5`, `0`}, {`-1e-400`, `0`}, {`1.0`, `1`}, {`-1.50`, `-1.5`}, {`1e0`, `1`}, {`1E+2`, `100`},
		{`1e400`, `null`}, {`-1e400`, `null`}, {`[1e309,1e308]`, `[null,1e+308]`}, {`1e99999999999999999999`, `null`}, {`0e99999999999999999999`, `0`},
		{`1e20`, `100000000000000000000`}, {`1e21`, `1e+21`}, {`-1e21`, `-1e+21`}, {`999999999999999999999`, `1e+21`},
		{`123456789012345680000`, `123456789012345680000`}, {`12345678901234567890`, `12345678901234567000`},
		{`999999999999999`, `999999999999999`}, {`9007199254740991`, `9007199254740991`}, {`9007199254740993`, `9007199254740992`},
		{`1e-6`, `0.000001`}, {`1e-7`, `1e-7`}, {`0.00000123`, `0.00000123`}, {`1.5e-10`, `1.5e-10`}, {`1e100`, `1e+100`}, {`1e-100`, `1e-100`},
		{`5e-324`, `5e-324`}, {`2.4703282292062327e-324`, `0`}, {`2.4703282292062328e-324`, `5e-324`},
		{`1.7976931348623157e308`, `1.7976931348623157e+308`}, {`1.7976931348623159e308`, `null`}, {`0.30000000000000004`, `0.30000000000000004`},
		// Strings.
		{`"\/\u002f\u0041\u00e9\u20AC"`, `"//Aé€"`}, {`"\u0008\u0009\u000A\u000c\u000D\u000B\u001F\u0000"`, `"\b\t\n\f\r\u000b\u001f\u0000"`},
		{`"\u0022\u005C\"\\"`, `"\"\\\"\\"`}, {`"\u007f"`, "\"\x7f\""}, {`"\u2028<>&"`, "\"\u2028<>&\""},
		{`"\ud83d\ude00\uD83D\uDE00"`, `"😀😀"`}, {`"\uD83D"`, `"\ud83d"`}, {`"\uDE00\uD83D"`, `"\ude00\ud83d"`}, {`"\uD83Dx\uDFFF"`, `"\ud83dx\udfff"`},
		// White space.
		{" [ 1 ,\t{ } ,\r\n[ ] , { \"a\" : null } ] ", `[1,{},[],{"a":null}]`},
		// Keys.
		{`{"b":1,"a":2}`, `{"b":1,"a":2}`}, {`{"b":1,"a":2,"b":3}`, `{"b":3,"a":2}`}, {`{"a":1,"\u0061":2}`, `{"a":2}`},
		{`{"b":0,"10":1,"9":2}`, `{"9":2,"10":1,"b":0}`}, {`{"1":0,"2":0,"x":0}`, `{"1":0,"2":0,"x":0}`}, {`{"2":0,"1":0}`, `{"1":0,"2":0}`},
		{`{"x":0,"4294967295":1,"4294967294":2}`, `{"4294967294":2,"x":0,"4294967295":1}`},
		{`{"x":0,"01":1,"-1":2,"1.5":3,"":4,"\u0031":5,"00":6,"0":7}`, `{"0":7,"1":5,"x":0,"01":1,"-1":2,"1.5":3,"":4,"00":6}`},
		{`{"1":1,"x":2,"1":3}`, `{"1":3,"x":2}`}, {`{"__proto__":1,"a":2,"__proto__":{"b":3}}`, `{"__proto__":{"b":3},"a":2}`},
		{`{"a":{"2":0,"1":[{"y":0,"0":1},2]},"a":{"2":0,"1":[{"y":0,"0":1},2]},"7":[{"z":0,"5":0},{"z":0,"5":0}]}`,
			`{"7":[{"5":0,"z":0},{"5":0,"z":0}],"a":{"1":[{"0":1,"y":0},2],"2":0}}`},
		{`[{"b":0,"1":0},[{"b":0,"b":1}],{"b":0}]`, `[{"1":0,"b":0},[{"b":1}],{"b":0}]`},
	} {
		got, err := rawjson.Canonical([]byte("x"), []byte(c.in))
		if err != nil || string(got) != "x"+c.want {
			t.Errorf("Canonical(%s)\n got %s, %v\nwant %s", c.in, got[1:], err, c.want)
		}
		if fixed := rawjson.IsFixedPoint([]byte(c.in)); fixed != (c.in == c.want) {
			t.Errorf("IsFixedPoint(%s) = %v", c.in, fixed)
		}
		if !rawjson.IsFixedPoint([]byte(c.want)) {
			t.Errorf("%s is not a fixed point", c.want)
		}
	}

	for _, text := range []string{``, `{"a":1,}`, `[1`, `{"a":"b`, `{"a":01}`, `{"b":1,"1":2`, `{"a":1}}`, `[tru]`} {
		if got, err := rawjson.Canonical([]byte("x"), []byte(text)); err == nil || string(got) != "x" {
			t.Errorf("Canonical(%s) = %s, %v", text, got, err)
		}
		if rawjson.IsFixedPoint([]byte(text)) {
			t.Errorf("IsFixedPoint(%s)", text)
		}
	}
}

// TestCanonicalManyKeys checks objects with more than fewKeys members, whose duplicates a
// map finds.
func TestCanonicalManyKeys(t *testing.T) {
	var in, indices, names []string
	for i := range 500 {
		in = append(in, fmt.Sprintf(`"%d":%d`, 499-i, i), fmt.Sprintf(`"k%d":%d`, i%300, i))
		indices = append(indices, fmt.Sprintf(`"%d":%d`, i, 499-i))
		if last := i + 300; i < 200 {
			names = append(names, fmt.Sprintf(`"k%d":%d`, i, last))
		} else if i < 300 {
			names = append(names, fmt.Sprintf(`"k%d":%d`, i, i))
		}
	}
	want := "{" + strings.Join(append(indices, names...), ",") + "}"
	got, err := rawjson.Canonical(nil, []byte("{"+strings.Join(in, ",")+"}"))
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

// TestCanonicalDeepDisorder checks that objects to reorder on every level are not copied once per
// level.
func TestCanonicalDeepDisorder(t *testing.T) {
	open, shut := strings.Repeat(`{"a":`, rawjson.MaxDepth), strings.Repeat(`,"1":0}`, rawjson.MaxDepth)
	filler := `"` + strings.Repeat("x", 1<<16) + `"`
	want := strings.Repeat(`{"1":0,"a":`, rawjson.MaxDepth) + filler + strings.Repeat("}", rawjson.MaxDepth)
	got, err := rawjson.Canonical(nil, []byte(open+filler+shut))
	if err != nil || string(got) != want {
		t.Errorf("wrong text of %d bytes, %v", len(got), err)
	}
}

func TestCanonicalDoesNotWriteSource(t *testing.T) {
	src := []byte(` {"b":[1.0,"\u0041"],"1":-0} `)
	before := bytes.Clone(src)
	if _, err := rawjson.Canonical(nil, src); err != nil || !bytes.Equal(src, before) {
		t.Errorf("source is now %s, %v", src, err)
	}
}

func BenchmarkCanonical(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		text := envelope(strings.Repeat("benchmark text, ", size/16))
		b.Run(fmt.Sprintf("envelope/%d", size), func(b *testing.B) {
			benchmarkCanonical(b, text)
		})
	}
	b.Run("disorder", func(b *testing.B) {
		text := strings.Repeat(`{"a":[1.5,"\u0041",{"x":1,"x":2}],"b":`, 100) + "0" + strings.Repeat(`,"1":-0}`, 100)
		benchmarkCanonical(b, []byte(text))
	})
}

func benchmarkCanonical(b *testing.B, text []byte) {
	var out []byte
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if out, err = rawjson.Canonical(out[:0], text); err != nil {
			b.Fatal(err)
		}
	}
}
