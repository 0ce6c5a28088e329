//go:build wasip1

package proxywasm

import "unsafe"

// Envoy's host calls. What they call an address has 32 bits; a status of 0 is success.

//go:wasmimport env proxy_log
func proxyLog(level uint32, line unsafe.Pointer, length uint32) uint32

//go:wasmimport env proxy_get_buffer_bytes
func proxyGetBuffer(buffer, start, length uint32, bytes, size unsafe.Pointer) uint32

//go:wasmimport env proxy_set_buffer_bytes
func proxySetBuffer(buffer, start, length uint32, bytes unsafe.Pointer, size uint32) uint32

//go:wasmimport env proxy_get_header_map_value
func proxyGetHeader(headers uint32, name unsafe.Pointer, length uint32, value, size unsafe.Pointer) uint32

//go:wasmimport env proxy_replace_header_map_value
func proxySetHeader(headers uint32, name unsafe.Pointer, length uint32, value unsafe.Pointer, size uint32) uint32

//go:wasmimport env proxy_remove_header_map_value
func proxyRemoveHeader(headers uint32, name unsafe.Pointer, length uint32) uint32

//go:wasmimport env proxy_send_local_response
func proxyAnswer(status uint32, details unsafe.Pointer, detailsLength uint32, body unsafe.Pointer, bodyLength uint32,
	headers unsafe.Pointer, headersLength uint32, grpcStatus int32) uint32

//go:wasmimport env proxy_define_metric
func proxyDefineMetric(kind uint32, name unsafe.Pointer, length uint32, metric unsafe.Pointer) uint32

//go:wasmimport env proxy_increment_metric
func proxyIncrementMetric(metric uint32, by int64) uint32

const (
	counter = 0
	// More than any body: all of it is replaced.
	everything = 1<<31 - 1
	noGrpc     = -1
)

// What the host hands over lies in memory that it asked for. Until it is taken it is kept here by its address, or it
// would be collected: addresses alone keep nothing.
var handedOver = map[uint32][]byte{}

//go:wasmexport proxy_on_memory_allocate
func onAllocate(size uint32) unsafe.Pointer {
	bytes := make([]byte, max(size, 1))
	address := unsafe.Pointer(&bytes[0])
	handedOver[uint32(uintptr(address))] = bytes
	return address
}

func taken(address, size uint32) []byte {
	bytes := handedOver[address]
	delete(handedOver, address)
	return bytes[:min(size, uint32(len(bytes)))]
}

func textAt(text string) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.StringData(text)), uint32(len(text))
}

func bytesAt(bytes []byte) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.SliceData(bytes)), uint32(len(bytes))
}

func hostLog(level Level, line string) {
	at, length := textAt(line)
	proxyLog(uint32(level), at, length)
}

func hostGet(headers Headers, name string) (string, bool) {
	var address, size uint32
	at, length := textAt(name)
	status := proxyGetHeader(uint32(headers), at, length, unsafe.Pointer(&address), unsafe.Pointer(&size))
	if status != 0 {
		return "", false
	}
	return string(taken(address, size)), true
}

func hostSet(headers Headers, name, value string) {
	nameAt, nameLength := textAt(name)
	valueAt, valueLength := textAt(value)
	proxySetHeader(uint32(headers), nameAt, nameLength, valueAt, valueLength)
}

func hostRemove(headers Headers, name string) {
	at, length := textAt(name)
	proxyRemoveHeader(uint32(headers), at, length)
}

func hostRead(buffer Buffer, size int) []byte {
	var address, length uint32
	status := proxyGetBuffer(uint32(buffer), 0, uint32(size), unsafe.Pointer(&address), unsafe.Pointer(&length))
	if status != 0 {
		return nil
	}
	return taken(address, length)
}

func hostReplace(buffer Buffer, bytes []byte) {
	at, length := bytesAt(bytes)
	proxySetBuffer(uint32(buffer), 0, everything, at, length)
}

func hostAnswer(status int, text string) {
	at, length := textAt(text)
	proxyAnswer(uint32(status), nil, 0, at, length, nil, 0, noGrpc)
}

func hostDefineCounter(name string) uint32 {
	var metric uint32
	at, length := textAt(name)
	proxyDefineMetric(counter, at, length, unsafe.Pointer(&metric))
	return metric
}

func hostCount(metric uint32, by int64) { proxyIncrementMetric(metric, by) }

// What Envoy calls. A context is a plugin, which has no parent, or a request.

var requests = map[uint32]Filter{}

func filterOf(context uint32) Filter {
	if filter, found := requests[context]; found {
		return filter
	}
	return Pass{}
}

func number(isTrue bool) uint32 {
	if isTrue {
		return 1
	}
	return 0
}

//go:wasmexport proxy_abi_version_0_2_1
func version() {}

//go:wasmexport proxy_on_configure
func onConfigure(context, size uint32) uint32 {
	err := configure(Read(configuration, int(size)))
	if err != nil {
		Log(Error, "the configuration is not accepted: "+err.Error())
	}
	return number(err == nil)
}

//go:wasmexport proxy_on_context_create
func onCreate(context, parent uint32) {
	if parent != 0 {
		requests[context] = newFilter()
	}
}

//go:wasmexport proxy_on_request_headers
func onRequestHeaders(context, count, ends uint32) uint32 {
	return uint32(filterOf(context).RequestHeaders(ends != 0))
}

//go:wasmexport proxy_on_request_body
func onRequestBody(context, size, ends uint32) uint32 {
	return uint32(filterOf(context).RequestBody(int(size), ends != 0))
}

//go:wasmexport proxy_on_request_trailers
func onRequestTrailers(context, count uint32) uint32 {
	return uint32(filterOf(context).RequestTrailers())
}

//go:wasmexport proxy_on_response_headers
func onResponseHeaders(context, count, ends uint32) uint32 {
	return uint32(filterOf(context).ResponseHeaders(ends != 0))
}

//go:wasmexport proxy_on_response_body
func onResponseBody(context, size, ends uint32) uint32 {
	return uint32(filterOf(context).ResponseBody(int(size), ends != 0))
}

//go:wasmexport proxy_on_response_trailers
func onResponseTrailers(context, count uint32) uint32 {
	return uint32(filterOf(context).ResponseTrailers())
}

//go:wasmexport proxy_on_delete
func onDelete(context uint32) { delete(requests, context) }
