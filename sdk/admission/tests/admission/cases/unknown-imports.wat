;; F201: a call of another version, a typing error, and an operating system.
(module
  (import "env" "proxy_clear_route_cache" (func (result i32)))
  (import "env" "proxy_get_header_map_pair" (func (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_raise" (func (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))
