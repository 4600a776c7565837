package itest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/protocol"
)

// tryBinary builds the bundle of /try, and our binary with it.
func tryBinary(t *testing.T) string {
	t.Helper()
	needNPM(t)
	ctx := testContext(t)
	said, err := BundleTry(ctx)
	must(t, err)
	t.Log(said)
	path, err := BuildGo(ctx, t.TempDir())
	must(t, err)
	return path
}

// A tryTab is a tab on /try.
type tryTab struct {
	*Page
	t   *testing.T
	ctx context.Context
	id  protocol.ID
}

// openTry opens /try on a node and waits until it has joined the network.
func openTry(t *testing.T, c *Chromium, name string, at *GoPeer, query string) *tryTab {
	t.Helper()
	ctx := testContext(t)
	p, err := c.Open(ctx, name, strings.Replace(at.PortURL(), "ws://", "http://", 1)+"/try"+query, nil)
	must(t, err)
	t.Cleanup(func() { p.Close() })
	tab := &tryTab{Page: p, t: t, ctx: ctx}
	tab.joined()
	return tab
}

// joined waits for the tab to have a link, and takes its id.
func (tab *tryTab) joined() {
	tab.t.Helper()
	tab.until("joined", `document.querySelector('#state')?.dataset.state === 'joined'`)
	must(tab.t, tab.id.UnmarshalText([]byte(tab.text("#id"))))
}

// until waits for a JavaScript expression to be true.
func (tab *tryTab) until(what, js string) {
	tab.t.Helper()
	err := Until(tab.ctx, fmt.Sprintf("tab %s: %s", tab.name, what), func() (bool, error) {
		return Eval[bool](tab.ctx, tab.Page, "Boolean("+js+")")
	})
	if err != nil {
		shown, evalErr := Eval[string](tab.t.Context(), tab.Page, "document.body.innerText")
		tab.t.Fatalf("%v; errors %q; it shows %q %v", err, tab.Errors.All(), shown, evalErr)
	}
}

// text is what an element shows.
func (tab *tryTab) text(selector string) string {
	tab.t.Helper()
	s, err := Eval[string](tab.ctx, tab.Page, fmt.Sprintf("document.querySelector(%s).textContent", quoteJS(selector)))
	must(tab.t, err)
	return s
}

// send fills the form and sends it; an empty to leaves what is there.
func (tab *tryTab) send(to, text string) {
	tab.t.Helper()
	js := fmt.Sprintf("document.querySelector('#text').value = %s;", quoteJS(text))
	if to != "" {
		js += fmt.Sprintf("document.querySelector('#to').value = %s;", quoteJS(to))
	}
	must(tab.t, tab.Do(tab.ctx, js+"document.querySelector('#send').click()"))
}

// shows waits for a message in the list: class "in" or "out", the other peer, its text,
// and for what is said of its fate if that is not empty.
func (tab *tryTab) shows(class string, other protocol.ID, text, fate string) {
	tab.t.Helper()
	tab.until(fmt.Sprintf("shows %.40q %s %s", text, class, other), fmt.Sprintf(
		"[...document.querySelectorAll('#log > .%s')].some((e) => e.dataset.id === %s && e.querySelector('.body').textContent === %s && e.querySelector('.fate').textContent.includes(%s))",
		class, quoteJS(other.String()), quoteJS(text), quoteJS(fate)))
}

// refuses sends what cannot be sent, and looks for the reason beside the field.
func (tab *tryTab) refuses(to, text, problem, reason string) {
	tab.t.Helper()
	before := tab.entries()
	tab.send(to, text)
	shown := tab.text(problem)
	hidden, err := Eval[bool](tab.ctx, tab.Page, fmt.Sprintf("document.querySelector(%s).hidden", quoteJS(problem)))
	must(tab.t, err)
	if hidden || !strings.Contains(shown, reason) {
		tab.t.Errorf("to %.50q, %d bytes: shown is %q, want %q", to, len(text), shown, reason)
	}
	if after := tab.entries(); after != before {
		tab.t.Errorf("to %.50q, %d bytes: it was sent", to, len(text))
	}
}

func (tab *tryTab) entries() int {
	tab.t.Helper()
	n, err := Eval[int](tab.ctx, tab.Page, "document.querySelectorAll('#log > li').length")
	must(tab.t, err)
	return n
}

// looksRight takes a screenshot of a window of this size, in which nothing may stick out.
func (tab *tryTab) looksRight(name string, width, height int64) {
	tab.t.Helper()
	must(tab.t, tab.Do(tab.ctx, "scrollTo(0, 0)"))
	png, err := tab.Screenshot(tab.ctx, width, height)
	must(tab.t, err)
	must(tab.t, os.WriteFile(filepath.Join(tab.t.ArtifactDir(), tab.name+"-"+name+".png"), png, 0o644))
	wide, err := Eval[[]int64](tab.ctx, tab.Page, "[innerWidth, document.documentElement.scrollWidth]")
	must(tab.t, err)
	if wide[0] != width || wide[1] > width {
		tab.t.Errorf("tab %s in a window %d wide is %d wide, of %d", tab.name, width, wide[1], wide[0])
	}
}

// noErrors fails the test for whatever the browser has to say against the page.
func (tab *tryTab) noErrors() {
	tab.t.Helper()
	if errs := tab.Errors.All(); len(errs) > 0 {
		tab.t.Errorf("tab %s: errors %q", tab.name, errs)
	}
}

func quoteJS(s string) string {
	b, _ := json.Marshal(s) // a string always can be
	return string(b)
}

// TestTry lets visitors of two nodes join the network with their browsers and write to
// each other. Its screenshots are kept by
//
//	go test ./itest -run '^TestTry$' -artifacts -outputdir DIR
func TestTry(t *testing.T) {
	binary := tryBinary(t)
	ctx := testContext(t)
	start := func(spec Spec) *GoPeer {
		p, err := StartGo(ctx, binary, spec)
		must(t, err)
		t.Cleanup(func() { p.Close() })
		return p
	}
	a := start(Spec{Name: "A", Listen: true})
	b := start(Spec{Name: "B", Listen: true, Bootstrap: []string{a.URL()}})
	must(t, WaitLinks(ctx, a.URL(), 1))
	if _, page, err := Get(ctx, a.URL(), "/try"); err != nil || !strings.Contains(page, "/try/try.js") {
		t.Errorf("the page is %.200q, %v", page, err)
	}

	c := startChromium(t)
	ann := openTry(t, c, "ann", a, "")
	bob := openTry(t, c, "bob", a, "?to="+ann.id.String()) // as if ann had shared her link
	cy := openTry(t, c, "cy", b, "")
	if ids := []protocol.ID{ann.id, bob.id, cy.id, a.ID(), b.ID()}; len(slices.Compact(slices.SortedFunc(slices.Values(ids), protocol.ID.Compare))) != len(ids) {
		t.Fatalf("two have one id: %v", ids)
	}
	if share := ann.text("#share"); !strings.HasSuffix(share, "/try?to="+ann.id.String()) {
		t.Errorf("the link to share is %q", share)
	}

	// Two tabs at one node, both ways; the first to whom the link named.
	const there = "The peer is there"
	bob.send("", "hello Ann")
	bob.shows("out", ann.id, "hello Ann", there)
	ann.shows("in", bob.id, "hello Ann", "")
	ann.send(strings.ToUpper(bob.id.String()), "hello Bob, שלום\n2nd line")
	ann.shows("out", bob.id, "hello Bob, שלום\n2nd line", there)
	bob.shows("in", ann.id, "hello Bob, שלום\n2nd line", "")

	// Over two nodes, both ways.
	ann.send(cy.id.String(), "hello Cy")
	ann.shows("out", cy.id, "hello Cy", there)
	cy.shows("in", ann.id, "hello Cy", "")
	must(t, cy.Do(ctx, "document.querySelector('#log button').click()")) // Reply
	cy.send("", "hello from afar")
	cy.shows("out", ann.id, "hello from afar", there)
	ann.shows("in", cy.id, "hello from afar", "")
	if about := ann.text("#log .about"); !strings.Contains(about, "sender proved") || !strings.Contains(about, " relay") {
		t.Errorf("said of a signed message from another node's tab: %q", about)
	}

	// To and from programs of other kinds. What a stranger sends is text, never HTML.
	ann.send(b.ID().String(), "hello program")
	e, err := b.Events().Wait(ctx, func(e Event) bool { return e.Kind == EventMessage && e.Node == ann.id })
	if err != nil || string(e.Data) != `"hello program"` || !e.Proved {
		t.Errorf("the program got %v, proved %v, %v", e, e.Proved, err)
	}
	js := npmPeer(t, startDriver(t), NPMSpec{Spec: Spec{Name: "js", Bootstrap: []string{b.URL()}}})
	// An npm peer loses messages while its links change: it has both that there are to have.
	if _, err := js.Events().WaitN(ctx, 2, func(e Event) bool { return e.Kind == EventPeer }); err != nil {
		t.Fatal(err)
	}
	ann.send(js.ID().String(), "hello JS")
	ann.shows("out", js.ID(), "hello JS", there)
	if e, err := js.Events().Wait(ctx, func(e Event) bool { return e.Kind == EventMessage }); err != nil || string(e.Data) != `"hello JS"` || e.Node != ann.id {
		t.Errorf("the npm peer got %v, %v", e, err)
	}
	const markup = `<img src=x onerror="document.title='owned'"><script>alert(1)</script>`
	for _, m := range []struct {
		data  any
		shown string
	}{
		{markup, markup},
		{map[string]any{"n": []int{1}}, "{\n \"n\": [\n  1\n ]\n}"},
		{[]byte("bytes that are text: é"), "bytes that are text: é"},
		{[]byte{0xff, 0, 0x10}, "ff0010"},
		{Undefined{}, "(no value)"},
		{strings.Repeat("x", 10_000), strings.Repeat("x", 4_000) + "…"},
	} {
		must(t, b.Send(ctx, ann.id, m.data))
		ann.shows("in", b.ID(), m.shown, "")
	}
	if n, err := Eval[int](ctx, ann.Page, "document.querySelectorAll('#log img, #log script').length"); n != 0 || err != nil {
		t.Errorf("a message became %d elements, %v", n, err)
	}

	// What cannot be sent, and what cannot arrive.
	for id, reason := range map[string]string{
		" ":                     "Who is it for?",
		bob.id.String()[1:]:     "this has 39",
		bob.id.String() + "0":   "this has 41",
		"g" + bob.id.String():   "here is “g”",
		strings.Repeat("0", 40): "nobody’s",
	} {
		ann.refuses(id, "x", "#to-problem", reason)
	}
	ann.refuses(bob.id.String(), "", "#text-problem", "Write something")
	ann.refuses(bob.id.String(), strings.Repeat("x", 256_000), "#text-problem", "too long: 256,002 bytes")
	ann.send(bob.id.String(), strings.Repeat("y", 255_998))
	bob.shows("in", ann.id, strings.Repeat("y", 4_000)+"…", "")
	stranger := protocol.ID{0: 1, 19: 1}
	bob.send(stranger.String(), "is anybody there?")
	bob.shows("out", stranger, "is anybody there?", "no peer with this id answers")

	for _, tab := range []*tryTab{ann, bob, cy} {
		tab.looksRight("desktop", 1280, 800)
		tab.looksRight("phone", 390, 844)
	}
	ann.noErrors()
	bob.noErrors()
	cy.noErrors()
}
