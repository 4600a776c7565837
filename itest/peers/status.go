package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
)

const (
	// maxPage is the most bytes of a page that are read.
	maxPage = 1 << 20

	// pollEvery is the time between two looks of Until.
	pollEvery = 10 * time.Millisecond
)

// A Status is what a node shows of itself at /status.json.
type Status struct {
	ID       protocol.ID
	Links    int
	Counters map[string]uint64
}

// Drops returns the numbers of messages that the node dropped, by reason.
func (s *Status) Drops() map[string]uint64 {
	drops := make(map[string]uint64)
	for name, n := range s.Counters {
		if reason, is := strings.CutPrefix(name, "dropped: "); is && n > 0 {
			drops[reason] = n
		}
	}
	return drops
}

// FetchStatus asks the node that listens at a ws:// URL for its status.
func FetchStatus(ctx context.Context, url string) (*Status, error) {
	return fetchStatus(ctx, nil, url)
}

// FetchStatusFrom is FetchStatus for a host on a LAN, which asks.
func FetchStatusFrom(ctx context.Context, host *LANHost, url string) (*Status, error) {
	return fetchStatus(ctx, host.Dial, url)
}

func fetchStatus(ctx context.Context, dial dialFunc, url string) (*Status, error) {
	_, page, err := get(ctx, dial, url, "/status.json")
	if err != nil {
		return nil, err
	}
	var data struct {
		ID       protocol.ID
		Links    int
		Counters []struct {
			Name  string
			Value uint64
		}
	}
	if err := json.Unmarshal([]byte(page), &data); err != nil {
		return nil, fmt.Errorf("itest: status of %s: %w: %.200q", url, err, page)
	}
	s := &Status{ID: data.ID, Links: data.Links, Counters: make(map[string]uint64)}
	for _, c := range data.Counters {
		s.Counters[c.Name] = c.Value
	}
	return s, nil
}

// WaitLinks waits until the node at a ws:// URL has a number of links.
func WaitLinks(ctx context.Context, url string, links int) error {
	var s *Status
	err := Until(ctx, fmt.Sprintf("%d links", links), func() (done bool, err error) {
		if s, err = FetchStatus(ctx, url); err != nil {
			return false, err
		}
		return s.Links == links, nil
	})
	if err != nil && s != nil {
		err = fmt.Errorf("%w; it has %d", err, s.Links)
	}
	return err
}

// Get fetches a page as curl would from the port of a ws:// URL.
func Get(ctx context.Context, url, path string) (contentType, page string, err error) {
	return get(ctx, nil, url, path)
}

// A dialFunc opens a connection. Nil is that of package net.
type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

func get(ctx context.Context, dial dialFunc, url, path string) (contentType, page string, err error) {
	base, ok := strings.CutPrefix(strings.TrimSuffix(url, "/"), "ws://")
	if !ok {
		return "", "", fmt.Errorf("itest: get %s from %q: want a ws:// URL", path, url)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+base+path, nil)
	if err != nil {
		return "", "", fmt.Errorf("itest: get %s: %w", path, err)
	}
	// A connection for each: no goroutine is left over when tests count them.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
	res, err := client.Do(req)
	if err != nil {
		return "", "", fmt.Errorf("itest: get %s: %w", path, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxPage))
	if err != nil {
		return "", "", fmt.Errorf("itest: get %s: %w", path, err)
	}
	if res.StatusCode != http.StatusOK {
		return "", "", fmt.Errorf("itest: get %s: %s: %.200q", path, res.Status, body)
	}
	return res.Header.Get("Content-Type"), string(body), nil
}

// Until calls look again and again until it returns true or an error, or ctx ends. what is
// for the report.
func Until(ctx context.Context, what string, look func() (bool, error)) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if done, err := look(); done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("itest: wait for %s: %w", what, ctx.Err())
		}
	}
}
