// What Envoy calls, under the names of proxy-wasm 0.2.1. A context is the plugin itself, which has no parent, or a request.

import { Filter, Level, configuration, log, made, wrongWith } from "./proxy";

const filters = new Map<u32, Filter>();

export function proxy_abi_version_0_2_1(): void {}

export function proxy_on_memory_allocate(size: u32): usize {
  return heap.alloc(size);
}

export function proxy_on_configure(context: u32, size: u32): u32 {
  const wrong = wrongWith(configuration(size));
  if (wrong.length > 0) log(Level.Error, "the configuration is not accepted: " + wrong);
  return wrong.length > 0 ? 0 : 1;
}

export function proxy_on_context_create(context: u32, parent: u32): void {
  if (parent != 0) filters.set(context, made());
}

export function proxy_on_request_headers(context: u32, count: u32, ends: u32): u32 {
  return filters.has(context) ? filters.get(context).requestHeaders(ends != 0) : 0;
}

export function proxy_on_response_headers(context: u32, count: u32, ends: u32): u32 {
  return filters.has(context) ? filters.get(context).responseHeaders(ends != 0) : 0;
}

export function proxy_on_delete(context: u32): void {
  filters.delete(context);
}
