package plays

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/chromedp"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
)

// tryBinary builds the bundle of /try, and our binary with it.
func tryBinary(t *testing.T) string {
	t.Helper()
	harness.NeedNPM(t)
	ctx := harness.Context(t)
	said, err := peers.BundleTry(ctx)
	harness.Must(t, err)
	t.Log(said)
	path, err := peers.BuildGo(ctx, t.TempDir())
	harness.Must(t, err)
	return path
}

// A tryTab is a tab on /try.
type tryTab struct {
	*peers.Page
	t  *testing.T
	id protocol.ID
}

// openTry opens /try on a node and waits until it has joined the network.
func openTry(t *testing.T, c *peers.Chromium, name string, at *peers.GoPeer, query string) *tryTab {
	t.Helper()
	tab := openTab(t, c, name, httpURL(at)+"/try"+query)
	tab.joined()
	return tab
}

func openTab(t *testing.T, c *peers.Chromium, name, url string) *tryTab {
	t.Helper()
	p, err := c.Open(harness.Context(t), name, url, nil)
	harness.Must(t, err)
	t.Cleanup(func() { p.Close() })
	return &tryTab{Page: p, t: t}
}

func httpURL(p *peers.GoPeer) string { return strings.Replace(p.PortURL(), "ws://", "http://", 1) }

// startTry starts a node that has /try.
func startTry(t *testing.T, binary string, spec peers.Spec, flags ...string) *peers.GoPeer {
	t.Helper()
	p, err := peers.StartGo(harness.Context(t), binary, spec, flags...)
	harness.Must(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

// joined waits for the tab to have a link, and takes its id.
func (tab *tryTab) joined() {
	tab.t.Helper()
	tab.until("joined", `document.querySelector('#state')?.dataset.state === 'joined'`)
	harness.Must(tab.t, tab.id.UnmarshalText([]byte(tab.text("#id"))))
}

// until waits for a JavaScript expression to be true.
func (tab *tryTab) until(what, js string) {
	tab.t.Helper()
	ctx := harness.Context(tab.t)
	err := peers.Until(ctx, fmt.Sprintf("tab %s: %s", tab.Name(), what), func() (bool, error) {
		return peers.Eval[bool](ctx, tab.Page, "Boolean("+js+")")
	})
	if err != nil {
		shown, evalErr := peers.Eval[string](tab.t.Context(), tab.Page, "document.body?.innerText ?? 'no body'")
		tab.t.Fatalf("%v; errors %q; it shows %q %v", err, tab.Errors.All(), shown, evalErr)
	}
}

// text returns the text of an element.
func (tab *tryTab) text(selector string) string {
	tab.t.Helper()
	s, err := peers.Eval[string](harness.Context(tab.t), tab.Page, fmt.Sprintf("document.querySelector(%s).textContent", quoteJS(selector)))
	harness.Must(tab.t, err)
	return s
}

// send fills the form and sends it; an empty to leaves what is there.
func (tab *tryTab) send(to, text string) {
	tab.t.Helper()
	js := fmt.Sprintf("document.querySelector('#text').value = %s;", quoteJS(text))
	if to != "" {
		js += fmt.Sprintf("document.querySelector('#to').value = %s;", quoteJS(to))
	}
	harness.Must(tab.t, tab.Do(harness.Context(tab.t), js+"document.querySelector('#send').click()"))
}

// shows waits for a message in the list: class "in" or "out", the other peer, its text, and
// its fate unless that is empty.
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
	hidden, err := peers.Eval[bool](harness.Context(tab.t), tab.Page, fmt.Sprintf("document.querySelector(%s).hidden", quoteJS(problem)))
	harness.Must(tab.t, err)
	if hidden || !strings.Contains(shown, reason) {
		tab.t.Errorf("to %.50q, %d bytes: shown is %q, want %q", to, len(text), shown, reason)
	}
	if after := tab.entries(); after != before {
		tab.t.Errorf("to %.50q, %d bytes: it was sent", to, len(text))
	}
}

func (tab *tryTab) entries() int {
	tab.t.Helper()
	n, err := peers.Eval[int](harness.Context(tab.t), tab.Page, "document.querySelectorAll('#log > li').length")
	harness.Must(tab.t, err)
	return n
}

// looksRight takes a screenshot of a window of this size, in which nothing may stick out.
func (tab *tryTab) looksRight(name string, width, height int64) {
	tab.t.Helper()
	harness.Must(tab.t, tab.Do(harness.Context(tab.t), "scrollTo(0, 0)"))
	png, err := tab.Screenshot(harness.Context(tab.t), width, height)
	harness.Must(tab.t, err)
	harness.Must(tab.t, os.WriteFile(filepath.Join(tab.t.ArtifactDir(), tab.Name()+"-"+name+".png"), png, 0o644))
	wide, err := peers.Eval[[]int64](harness.Context(tab.t), tab.Page, "[innerWidth, document.documentElement.scrollWidth]")
	harness.Must(tab.t, err)
	if wide[0] != width || wide[1] > width {
		tab.t.Errorf("tab %s in a window %d wide is %d wide, of %d", tab.Name(), width, wide[1], wide[0])
	}
}

// noErrors fails the test if the browser reports an error of the page.
func (tab *tryTab) noErrors() {
	tab.t.Helper()
	if errs := tab.Errors.All(); len(errs) > 0 {
		tab.t.Errorf("tab %s: errors %q", tab.Name(), errs)
	}
}

func quoteJS(s string) string {
	b, _ := json.Marshal(s) // a string always can be
	return string(b)
}

// TestTry lets visitors join the network with their browsers. Its screenshots are kept by
//
//	go test ./itest/plays -run '^TestTry$' -artifacts -outputdir DIR
func TestTry(t *testing.T) {
	binary := tryBinary(t)
	t.Run("talk", func(t *testing.T) { testTryTalk(t, binary) })
	t.Run("stay", func(t *testing.T) { testTryStay(t, binary) })
	t.Run("proxies", func(t *testing.T) { testTryProxies(t, binary) })
}

// testTryTalk lets visitors of two nodes write to each other.
func testTryTalk(t *testing.T, binary string) {
	a := startTry(t, binary, peers.Spec{Name: "A", Listen: true})
	b := startTry(t, binary, peers.Spec{Name: "B", Listen: true, Bootstrap: []string{a.URL()}})
	harness.Must(t, peers.WaitLinks(harness.Context(t), a.URL(), 1))
	if _, page, err := peers.Get(harness.Context(t), a.URL(), "/try"); err != nil || !strings.Contains(page, "/try/try.js") {
		t.Errorf("the page is %.200q, %v", page, err)
	}

	c := harness.StartChromium(t)
	ann := openTry(t, c, "ann", a, "")
	bob := openTry(t, c, "bob", a, "?to="+ann.id.String()) // as if ann had shared her link
	cy := openTry(t, c, "cy", b, "")
	if ids := []protocol.ID{ann.id, bob.id, cy.id, a.ID(), b.ID()}; len(slices.Compact(slices.SortedFunc(slices.Values(ids), protocol.ID.Compare))) != len(ids) {
		t.Fatalf("two have one id: %v", ids)
	}
	if share := ann.text("#share"); !strings.HasSuffix(share, "/try?to="+ann.id.String()) {
		t.Errorf("the link to share is %q", share)
	}

	// Two tabs at one node, both ways; the first message goes to the peer that the link named.
	const there = "Delivered in "
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
	harness.Must(t, cy.Do(harness.Context(t), "document.querySelector('#log button').click()")) // Reply
	cy.send("", "hello from afar")
	cy.shows("out", ann.id, "hello from afar", there)
	ann.shows("in", cy.id, "hello from afar", "")
	if about := ann.text("#log .about"); !strings.Contains(about, "sender proved") || !strings.Contains(about, " relay") {
		t.Errorf("said of a signed message from another node's tab: %q", about)
	}

	// To and from programs of other kinds. A message of a stranger is text, never HTML.
	ann.send(b.ID().String(), "hello program")
	e, err := b.Events().Wait(harness.Context(t), func(e peers.Event) bool { return e.Kind == peers.EventMessage && e.Node == ann.id })
	if err != nil || string(e.Data) != `"hello program"` || !e.Proved {
		t.Errorf("the program got %v, proved %v, %v", e, e.Proved, err)
	}
	js := harness.NPMPeer(t, harness.StartDriver(t), peers.NPMSpec{Spec: peers.Spec{Name: "js", Bootstrap: []string{b.URL()}}})
	// An npm peer loses messages while its links change: it has both that there are to have.
	if _, err := js.Events().WaitN(harness.Context(t), 2, func(e peers.Event) bool { return e.Kind == peers.EventPeer }); err != nil {
		t.Fatal(err)
	}
	ann.send(js.ID().String(), "hello JS")
	ann.shows("out", js.ID(), "hello JS", "Handed to its relay in ")
	if e, err := js.Events().Wait(harness.Context(t), func(e peers.Event) bool { return e.Kind == peers.EventMessage }); err != nil || string(e.Data) != `"hello JS"` || e.Node != ann.id {
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
		{peers.Undefined{}, "(no value)"},
		{strings.Repeat("x", 10_000), strings.Repeat("x", 4_000) + "…"},
	} {
		harness.Must(t, b.Send(harness.Context(t), ann.id, m.data))
		ann.shows("in", b.ID(), m.shown, "")
	}
	if n, err := peers.Eval[int](harness.Context(t), ann.Page, "document.querySelectorAll('#log img, #log script').length"); n != 0 || err != nil {
		t.Errorf("a message became %d elements, %v", n, err)
	}

	// Messages that cannot be sent, and one that cannot arrive.
	for id, reason := range map[string]string{
		" ":                     "Who is it for?",
		bob.id.String()[1:]:     "this has 39",
		bob.id.String() + "0":   "this has 41",
		"g" + bob.id.String():   "here is “g”",
		strings.Repeat("0", 40): "No peer has",
	} {
		ann.refuses(id, "x", "#to-problem", reason)
	}
	ann.refuses(bob.id.String(), "", "#text-problem", "Write something")
	ann.refuses(bob.id.String(), strings.Repeat("x", 256_000), "#text-problem", "too long: 256,002 bytes")
	ann.send(bob.id.String(), strings.Repeat("y", 255_998))
	bob.shows("in", ann.id, strings.Repeat("y", 4_000)+"…", "")
	stranger := protocol.ID{0: 1, 19: 1}
	bob.send(stranger.String(), "is anybody there?")
	bob.shows("out", stranger, "is anybody there?", "no peer with this id") // what says so may be behind the npm peer, which passes nothing on

	for _, tab := range []*tryTab{ann, bob, cy} {
		tab.looksRight("desktop", 1280, 800)
		tab.looksRight("phone", 390, 844)
	}
	ann.noErrors()
	bob.noErrors()
	cy.noErrors()
}

// testTryStay loads a tab again, duplicates it, and lets its node come back as another
// peer.
func testTryStay(t *testing.T, binary string) {
	a := startTry(t, binary, peers.Spec{Name: "A", Listen: true})
	tab := openTry(t, harness.StartChromium(t), "tab", a, "")

	// With a mark to see that it is another document.
	before := tab.id
	harness.Must(t, tab.Do(harness.Context(t), "window.old = true"))
	harness.Must(t, tab.Reload(harness.Context(t)))
	if old, err := peers.Eval[bool](harness.Context(t), tab.Page, "'old' in window"); old || err != nil {
		t.Fatalf("it was loaded again, and is the old document: %v, %v", old, err)
	}
	if tab.joined(); tab.id != before {
		t.Errorf("its id was %s and is %s", before, tab.id)
	}
	// A window that a page opens begins with a copy of what the page has stored.
	harness.Must(t, tab.Do(harness.Context(t), "window.copy = open('/try'); 1"))
	tab.until("its copy has joined", "copy.document.querySelector('#state')?.dataset.state === 'joined'")
	if id, err := peers.Eval[string](harness.Context(t), tab.Page, "copy.document.querySelector('#id').textContent"); len(id) != 40 || id == tab.id.String() || err != nil {
		t.Errorf("the id of a copy of tab %s is %q, %v", tab.id, id, err)
	}
	harness.Must(t, tab.Do(harness.Context(t), "copy.close()"))
	tab.noErrors()

	harness.Must(t, a.Destroy(harness.Context(t)))
	tab.until("offline", "document.querySelector('#state').dataset.state === 'trying' && document.querySelector('#state').textContent.includes('Offline')")
	tab.send(a.ID().String(), "is anybody there?")
	tab.shows("out", a.ID(), "is anybody there?", "this page is offline")
	port, err := strconv.Atoi(a.PortURL()[strings.LastIndex(a.PortURL(), ":")+1:])
	harness.Must(t, err)
	other := startTry(t, binary, peers.Spec{Name: "A again", Listen: true, Port: port})
	if other.ID() == a.ID() {
		t.Fatal("the node has the same id again")
	}
	tab.joined()
	tab.send(other.ID().String(), "hello again")
	if _, err := other.Events().Wait(harness.Context(t), func(e peers.Event) bool { return e.Kind == peers.EventMessage && e.Node == before }); err != nil {
		t.Error(err)
	}
}

// testTryProxies joins through a proxy that speaks TLS for the node, and through
// one that lets no WebSocket pass, so that WebRTC is left.
func testTryProxies(t *testing.T, binary string) {
	a := startTry(t, binary, peers.Spec{Name: "A", Listen: true})
	c := harness.StartChromium(t)
	target, err := url.Parse(httpURL(a))
	harness.Must(t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}

	secure := httptest.NewUnstartedServer(proxy)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // the browser has to get used to the certificate
	secure.StartTLS()
	t.Cleanup(secure.Close)
	tab := openTab(t, c, "tls", "about:blank")
	harness.Must(t, tab.Run(harness.Context(t), chromedp.Steps(
		func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
			_, err := chromedp.Call(ctx, security.SetIgnoreCertificateErrors, security.SetIgnoreCertificateErrorsParams{Ignore: true})
			return chromedp.Void{}, err
		},
		chromedp.Navigate(secure.URL+"/try"))))
	tab.joined()
	tab.send(a.ID().String(), "by TLS")
	tab.shows("out", a.ID(), "by TLS", "Delivered in ")
	tab.noErrors()

	var refused atomic.Int64
	closed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			refused.Add(1)
			http.Error(w, "no WebSockets here", http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(closed.Close)
	tab = openTab(t, c, "webrtc", closed.URL+"/try")
	tab.joined()
	tab.send(a.ID().String(), "by WebRTC")
	tab.shows("out", a.ID(), "by WebRTC", "Delivered in ")
	if refused.Load() == 0 {
		t.Error("it tried no WebSocket first")
	}
}
