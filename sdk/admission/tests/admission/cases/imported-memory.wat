;; F203: a memory and a global that a host would have to give.
(module
  (import "env" "memory" (memory 1))
  (import "env" "counter" (global i32))
  (export "memory" (memory 0))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))
