package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// emitBinding is the function of a page's window that reports to Page.OnEmit.
const emitBinding = "itestEmit"

// A Chromium is a headless browser with a profile of its own. It is driven over a pipe,
// and dies with this process.
//
// Its pages are allowed the microphone, which none of them uses: to a page that may hear
// the user Chromium shows the addresses of the machine. Any other page gets mDNS names,
// which need a network with multicast. A flag adds the loopback addresses. WebRTC then
// works within a machine that has no network.
type Chromium struct {
	ctx    context.Context // of chromedp: the browser and its first, empty page
	cancel context.CancelFunc
}

// StartChromium starts the browser. The context bounds only the start; Close ends it.
func StartChromium(ctx context.Context) (*Chromium, error) {
	path, err := LookTool("chromium")
	if err != nil {
		return nil, err
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:len(chromedp.DefaultExecAllocatorOptions):len(chromedp.DefaultExecAllocatorOptions)],
		chromedp.ExecPath(path), chromedp.DisableGPU,
		chromedp.Flag("allow-loopback-in-peer-connection", true), chromedp.Flag("disable-component-update", true))
	if os.Getuid() == 0 {
		opts = append(opts, chromedp.NoSandbox) // Chromium has none for root
	}
	allocator, free := chromedp.NewExecAllocator(context.Background(), opts...)
	c := &Chromium{}
	c.ctx, c.cancel = chromedp.NewContext(allocator)
	end := c.cancel
	c.cancel = func() {
		end()
		free()
	}
	stop := context.AfterFunc(ctx, end)
	_, err = chromedp.Run(c.ctx, func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.CallBrowser(ctx, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: "microphone"}, Setting: browser.PermissionSettingGranted,
		})
		return chromedp.Void{}, err
	})
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("itest: start chromium: %w", err)
	}
	return c, nil
}

// Close ends the browser and frees its profile. It may be called again.
func (c *Chromium) Close() error {
	c.cancel()
	return nil
}

// Kill ends the browser as kill -9 does, and returns when it is gone.
func (c *Chromium) Kill(ctx context.Context) error {
	b := chromedp.FromContext(c.ctx).Browser
	if err := b.Process().Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("itest: kill chromium: %w", err)
	}
	select {
	case <-b.LostConnection:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("itest: kill chromium: %w", ctx.Err())
	}
}

// A Page is a tab of a Chromium.
type Page struct {
	name string
	ctx  context.Context // of chromedp
	end  context.CancelFunc

	// Errors is what went wrong in the page: errors on its console, uncaught exceptions, and
	// resources that it could not load.
	Errors *Log[string]

	emit    func(string) // nil means that the reports are discarded
	console sync.WaitGroup
}

// Open opens a page and returns when it is loaded. onEmit is called with each string that
// the page's scripts pass to window.itestEmit, one after the other; nil means that they are
// discarded. name is for reports.
func (c *Chromium) Open(ctx context.Context, name, url string, onEmit func(string)) (*Page, error) {
	p := &Page{name: name, Errors: NewLog[string]("errors of page " + name), emit: onEmit}
	p.ctx, p.end = chromedp.NewContext(c.ctx)
	open := func() error {
		// The tab lives as long as the context of its first action.
		stop := context.AfterFunc(ctx, p.end)
		if err := chromedp.Listen(p.ctx, p.heard); err != nil {
			return err
		}
		messages := chromedp.Console(p.ctx)
		// Ends with the tab; Close waits.
		p.console.Go(func() {
			for m, err := range messages {
				if err != nil {
					return
				}
				if m.IsException() || m.Type == chromedp.ConsoleError {
					p.Errors.Add(fmt.Sprintf("%v (%s)", m, m.URL))
				}
			}
		})
		if !stop() {
			return ctx.Err()
		}
		return p.Run(ctx, chromedp.Steps(
			func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
				_, err := chromedp.Call(ctx, runtime.AddBinding, runtime.AddBindingParams{Name: emitBinding})
				return chromedp.Void{}, err
			},
			chromedp.Navigate(url)))
	}
	if err := open(); err != nil {
		p.Close()
		return nil, fmt.Errorf("itest: open page %s at %s: %w", name, url, err)
	}
	return p, nil
}

// heard runs on chromedp's goroutine that reads from the browser: it must not wait.
func (p *Page) heard(event any) {
	if e, is := event.(*runtime.EventBindingCalled); is && e.Name == emitBinding && p.emit != nil {
		p.emit(e.Payload)
	}
}

// Run runs an action of chromedp until ctx ends, or the page.
func (p *Page) Run(ctx context.Context, action chromedp.Action[chromedp.Void]) error {
	_, err := pageRun(ctx, p, action)
	return err
}

func pageRun[T any](ctx context.Context, p *Page, action chromedp.Action[T]) (T, error) {
	joined, cancel := context.WithCancel(p.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	v, err := chromedp.Run(joined, action)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return v, err
}

// Eval evaluates a JavaScript expression in a page, awaits it if it is a promise, and
// returns the value as a T, decoded from its JSON. An exception is an error.
func Eval[T any](ctx context.Context, p *Page, js string) (T, error) {
	v, err := pageRun(ctx, p, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	if err != nil {
		return v, fmt.Errorf("itest: page %s: %.100s: %w", p.name, js, err)
	}
	return v, nil
}

// Name names the page in reports.
func (p *Page) Name() string { return p.name }

// Do evaluates a JavaScript expression for its effect, and awaits it if it is a promise.
func (p *Page) Do(ctx context.Context, js string) error {
	_, err := Eval[chromedp.Void](ctx, p, js)
	return err
}

// Reload loads the page again, as a user does, and returns when the new document is
// loaded.
func (p *Page) Reload(ctx context.Context) error {
	if err := p.Run(ctx, chromedp.Reload()); err != nil {
		return fmt.Errorf("itest: page %s: reload: %w", p.name, err)
	}
	return nil
}

// Screenshot returns a PNG of the page as a window of this size shows it.
func (p *Page) Screenshot(ctx context.Context, width, height int64) ([]byte, error) {
	if err := p.Run(ctx, chromedp.EmulateViewport(width, height)); err != nil {
		return nil, fmt.Errorf("itest: page %s: viewport of %d x %d: %w", p.name, width, height, err)
	}
	png, err := pageRun(ctx, p, chromedp.CaptureScreenshot())
	if err != nil {
		return nil, fmt.Errorf("itest: page %s: screenshot: %w", p.name, err)
	}
	return png, nil
}

// Close closes the tab, as a user does. It may be called again.
func (p *Page) Close() error {
	p.end()
	p.console.Wait()
	return nil
}

// A PageServer serves pages and their scripts to browsers on this machine.
type PageServer struct {
	server http.Server
	base   string
	served chan struct{}
}

// ServePages serves the scripts in some folders, those in the first ones first, and the
// pages that URL names.
func ServePages(dirs ...string) (*PageServer, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort(Loopback, "0"))
	if err != nil {
		return nil, fmt.Errorf("itest: serve pages: %w", err)
	}
	// By this name a page is a secure context.
	s := &PageServer{base: fmt.Sprintf("http://localhost:%d", ln.Addr().(*net.TCPAddr).Port), served: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/js/{name}", func(w http.ResponseWriter, r *http.Request) {
		for _, dir := range dirs {
			path := filepath.Join(dir, filepath.Base(r.PathValue("name")))
			if _, err := os.Stat(path); err == nil {
				http.ServeFile(w, r, path)
				return
			}
		}
		http.NotFound(w, r)
	})
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintln(w, `<!doctype html><title>itest</title><link rel="icon" href="data:,">`)
		for _, script := range r.URL.Query()["js"] {
			fmt.Fprintf(w, "<script src=\"/js/%s\"></script>\n", url.PathEscape(script))
		}
	})
	s.server.Handler = mux
	// Close ends it and waits.
	go func() {
		defer close(s.served)
		s.server.Serve(ln)
	}()
	return s, nil
}

// URL is the address of an empty page that loads these scripts, one after the other.
func (s *PageServer) URL(scripts ...string) string {
	return s.base + "/?" + url.Values{"js": scripts}.Encode()
}

// Close ends the server and its connections.
func (s *PageServer) Close() error {
	err := s.server.Close()
	<-s.served
	return err
}
