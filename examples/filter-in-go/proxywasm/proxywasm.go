// Package proxywasm is what a filter in Go needs of proxy-wasm 0.2.1: the callbacks that a proxy makes for each
// request, and what can be asked of the proxy in them. The standard toolchain makes the module:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o filter.wasm .
//
// There the proxy is Envoy (envoy.go); in tests it is a World (native.go), so that `go test` needs no Envoy.
package proxywasm

import "errors"

// Filter is what one request meets. Callbacks never run at the same time. Embed Pass to write only those that are
// needed.
type Filter interface {
	// RequestHeaders is called when the headers are there; ends says that nothing follows them.
	RequestHeaders(ends bool) Action
	// RequestBody is called for each piece; size is how much of the body is held.
	RequestBody(size int, ends bool) Action
	// RequestTrailers is called when the request ends with trailers, and no piece of its body said that it ends.
	RequestTrailers() Action
	ResponseHeaders(ends bool) Action
	ResponseBody(size int, ends bool) Action
	ResponseTrailers() Action
}

// Pass lets everything go on.
type Pass struct{}

func (Pass) RequestHeaders(bool) Action    { return Continue }
func (Pass) RequestBody(int, bool) Action  { return Continue }
func (Pass) RequestTrailers() Action       { return Continue }
func (Pass) ResponseHeaders(bool) Action   { return Continue }
func (Pass) ResponseBody(int, bool) Action { return Continue }
func (Pass) ResponseTrailers() Action      { return Continue }

// Action is what becomes of a part of a message.
type Action uint32

const (
	// Continue lets it go on.
	Continue Action = 0
	// Hold keeps it, and what comes behind it.
	Hold Action = 1
)

// Headers says whose headers.
type Headers uint32

const (
	Request  Headers = 0
	Response Headers = 2
)

// Buffer says which bytes.
type Buffer uint32

const (
	RequestBody   Buffer = 0
	ResponseBody  Buffer = 1
	configuration Buffer = 7
)

// Level is how much a line of the log matters.
type Level uint32

const (
	Debug Level = 1
	Info  Level = 2
	Warn  Level = 3
	Error Level = 4
)

var (
	configure = func([]byte) error { return errors.New("the module registers no filter") }
	newFilter = func() Filter { return Pass{} }
)

// Register says how the configuration is read, which happens before any request and whenever it changes, and how
// the filter of a request is made. Call it in an init function.
func Register(read func(configuration []byte) error, filter func() Filter) {
	configure, newFilter = read, filter
}

// Log writes a line to the proxy's log.
func Log(level Level, line string) { hostLog(level, line) }

// Get gives the first value of a header.
func Get(headers Headers, name string) (string, bool) { return hostGet(headers, name) }

// Set makes this the only value of a header.
func Set(headers Headers, name, value string) { hostSet(headers, name, value) }

// Remove removes all values of a header.
func Remove(headers Headers, name string) { hostRemove(headers, name) }

// Read gives the first bytes of what is held of a body.
func Read(buffer Buffer, size int) []byte {
	if size <= 0 {
		return nil
	}
	return hostRead(buffer, size)
}

// Replace puts bytes in the place of all that is held of a body.
func Replace(buffer Buffer, bytes []byte) { hostReplace(buffer, bytes) }

// Answer answers the request in the place of the service.
func Answer(status int, text string) Action {
	hostAnswer(status, text)
	return Hold
}

// Counter is a number that grows; Envoy shows it as wasmcustom.<name>.
type Counter uint32

// NewCounter names a counter; do so when the configuration is read.
func NewCounter(name string) Counter { return Counter(hostDefineCounter(name)) }

// Add counts.
func (counter Counter) Add(by int64) { hostCount(uint32(counter), by) }
