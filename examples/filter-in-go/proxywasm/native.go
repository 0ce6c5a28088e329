//go:build !wasip1

package proxywasm

// World is the proxy in tests: what a filter sees of a request, and what it did.
type World struct {
	Headers  map[Headers]map[string]string
	Bodies   map[Buffer][]byte
	Counters map[string]int64
	Log      []string
	// Status is that of an answer of the filter, or 0; Text is its body.
	Status int
	Text   string

	counters []string
}

var world *World

// Start configures the filter that is registered, in a world of its own.
func Start(configuration string) (*World, error) {
	world = &World{Counters: map[string]int64{}}
	world.forget()
	return world, configure([]byte(configuration))
}

// Begin is a request with these headers that begins; what the request before did is forgotten, but not what was counted
// and logged.
func (world *World) Begin(headers map[string]string) Filter {
	world.forget()
	for name, value := range headers {
		world.Headers[Request][name] = value
	}
	return newFilter()
}

func (world *World) forget() {
	world.Headers = map[Headers]map[string]string{Request: {}, Response: {}}
	world.Bodies = map[Buffer][]byte{}
	world.Status, world.Text = 0, ""
}

func hostLog(_ Level, line string) { world.Log = append(world.Log, line) }

func hostGet(headers Headers, name string) (string, bool) {
	value, found := world.Headers[headers][name]
	return value, found
}

func hostSet(headers Headers, name, value string) { world.Headers[headers][name] = value }

func hostRemove(headers Headers, name string) { delete(world.Headers[headers], name) }

func hostRead(buffer Buffer, size int) []byte {
	held := world.Bodies[buffer]
	return held[:min(size, len(held))]
}

func hostReplace(buffer Buffer, bytes []byte) { world.Bodies[buffer] = bytes }

func hostAnswer(status int, text string) { world.Status, world.Text = status, text }

func hostDefineCounter(name string) uint32 {
	world.counters = append(world.counters, name)
	world.Counters[name] = 0
	return uint32(len(world.counters) - 1)
}

func hostCount(metric uint32, by int64) { world.Counters[world.counters[metric]] += by }
