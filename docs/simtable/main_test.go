package main

import (
	"strings"
	"testing"
)

// results are of two scenarios in networks of two sizes.
const results = `
{"scenario":"one","peers":100,"seed":2,"figures":[{"name":"share","value":99.996,"unit":"%","target":{"sign":"≥","value":100,"met":false}}]}
{"scenario":"one","peers":100,"seed":1,"figures":[{"name":"share","value":100,"unit":"%","target":{"sign":"≥","value":100,"met":true}},{"name":"other","value":1}]}
{"scenario":"two","peers":100,"seed":1,"figures":[{"name":"hops","value":2}]}
{"scenario":"one","peers":1000,"seed":1,"figures":[{"name":"share","value":100,"unit":"%","target":{"sign":"≥","value":100,"met":true}}]}
{"scenario":"two","peers":1000,"seed":1,"figures":[{"name":"hops","value":2.25,"target":{"sign":"≤","value":2.5,"met":true}},{"name":"hops of an oracle","value":2,"bound":true}]}
`

const want = `| scenario | figure | target | 100 peers | 1,000 peers |
| --- | --- | --- | --- | --- |
| one | share | ≥ 100 % | 100 %, **99.99 %** | 100 % |
| two | hops | 1,000: ≤ 2.5 | 2 | 2.25 |
| two | *at best: hops of an oracle* |  |  | 2 |
`

func TestTable(t *testing.T) {
	rs, err := read(nil, strings.NewReader(results))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(table(rs)); got != want {
		t.Errorf("table\n%s\nwant\n%s", got, want)
	}
	if _, err := read(nil, strings.NewReader("{")); err == nil {
		t.Error("half a line was taken")
	}
}

func TestReplace(t *testing.T) {
	got, err := replace([]byte("before\n"+tableBegins+"old\n"+tableEnds+"after\n"), []byte("new\n"))
	if want := "before\n" + tableBegins + "new\n" + tableEnds + "after\n"; err != nil || string(got) != want {
		t.Errorf("page %q, %v", got, err)
	}
	if _, err := replace([]byte("a page without a table"), nil); err == nil {
		t.Error("a page without a table was taken")
	}
}
