// What a filter in AssemblyScript is, and what it can ask of the proxy: the host calls of proxy-wasm 0.2.1 behind a few
// functions. The callbacks that Envoy makes are in `callbacks.ts`.

// ---- What a filter is

/** What becomes of a part of a message. */
export enum Action {
  /** It goes on. */
  Continue = 0,
  /** It is held, and what follows it. */
  Hold = 1,
}

/** What a request meets. Callbacks that are not written let it go on. */
export class Filter {
  requestHeaders(ends: bool): Action {
    return Action.Continue;
  }
  responseHeaders(ends: bool): Action {
    return Action.Continue;
  }
}

/** What is wrong with a configuration, or "". It is asked first, and whenever the configuration changes. */
export type Configure = (configuration: string) => string;
/** Makes the filter of a request. */
export type Make = () => Filter;

let configure: Configure = (configuration: string) => "the module registers no filter";
let make: Make = () => new Filter();

/** Says how the configuration is read and what a request meets; once, when the module starts. */
export function register(read: Configure, filter: Make): void {
  configure = read;
  make = filter;
}

/** What is wrong with a configuration, in the words of the filter that is registered. */
export function wrongWith(configuration: string): string {
  return configure(configuration);
}

/** The filter of a new request. */
export function made(): Filter {
  return make();
}

// ---- What it can ask

/** Whose headers. */
export enum Headers {
  Request = 0,
  Response = 2,
}

/** How important a line of the log is. */
export enum Level {
  Debug = 1,
  Info = 2,
  Warn = 3,
  Error = 4,
}

/** Writes a line to the proxy's log. */
export function log(level: Level, line: string): void {
  const text = String.UTF8.encode(line);
  hostLog(level, changetype<usize>(text), text.byteLength);
}

/** The first value of a header, or null. */
export function get(headers: Headers, name: string): string | null {
  const key = String.UTF8.encode(name);
  const found = hostGetHeader(headers, changetype<usize>(key), key.byteLength, addressAt, sizeAt);
  return found == 0 ? String.UTF8.decode(take()) : null;
}

/** Makes this the only value of a header. */
export function set(headers: Headers, name: string, value: string): void {
  const key = String.UTF8.encode(name);
  const text = String.UTF8.encode(value);
  hostSetHeader(headers, changetype<usize>(key), key.byteLength, changetype<usize>(text), text.byteLength);
}

/** Adds a value of a header to those that are there. */
export function add(headers: Headers, name: string, value: string): void {
  const key = String.UTF8.encode(name);
  const text = String.UTF8.encode(value);
  hostAddHeader(headers, changetype<usize>(key), key.byteLength, changetype<usize>(text), text.byteLength);
}

/** Answers the request in the place of the service. */
export function answer(status: u32, body: string): Action {
  const text = String.UTF8.encode(body);
  hostAnswer(status, 0, 0, changetype<usize>(text), text.byteLength, 0, 0, -1);
  return Action.Hold;
}

/** The configuration that is stated, of so many bytes. */
export function configuration(size: u32): string {
  const found = size > 0 && hostGetBuffer(PLUGIN_CONFIGURATION, 0, size, addressAt, sizeAt) == 0;
  return found ? String.UTF8.decode(take()) : "";
}

/** Nanoseconds since 1970. */
export function now(): u64 {
  hostNow(timeAt);
  return load<u64>(timeAt);
}

// ---- The host calls; memory is addresses of 32 bits to them

@external("env", "proxy_log")
declare function hostLog(level: u32, message: usize, length: u32): u32;
@external("env", "proxy_get_current_time_nanoseconds")
declare function hostNow(time: usize): u32;
@external("env", "proxy_get_buffer_bytes")
declare function hostGetBuffer(buffer: u32, start: u32, length: u32, address: usize, size: usize): u32;
@external("env", "proxy_get_header_map_value")
declare function hostGetHeader(map: u32, name: usize, length: u32, address: usize, size: usize): u32;
@external("env", "proxy_replace_header_map_value")
declare function hostSetHeader(map: u32, name: usize, length: u32, value: usize, size: u32): u32;
@external("env", "proxy_add_header_map_value")
declare function hostAddHeader(map: u32, name: usize, length: u32, value: usize, size: u32): u32;
@external("env", "proxy_send_local_response")
declare function hostAnswer(
  status: u32, details: usize, detailsLength: u32, body: usize, bodyLength: u32,
  headers: usize, headersLength: u32, grpcStatus: i32,
): u32;

const PLUGIN_CONFIGURATION: u32 = 7;

// Where the host writes where it put something, and how much; and the time.
const addressAt: usize = memory.data(8);
const sizeAt: usize = addressAt + 4;
const timeAt: usize = memory.data(8, 8);

// Takes over what the host put into memory that it was given.
function take(): ArrayBuffer {
  const address = <usize>load<u32>(addressAt);
  const size = load<u32>(sizeAt);
  const bytes = new ArrayBuffer(size);
  if (size > 0) memory.copy(changetype<usize>(bytes), address, size);
  if (address != 0) heap.free(address);
  return bytes;
}

/** Where AssemblyScript ends when something cannot go on. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  log(Level.Error, (message ? message : "ended") + " at " + (file ? file : "?") + ":" + line.toString());
  unreachable();
}
