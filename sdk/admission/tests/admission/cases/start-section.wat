;; F105: a start section that makes a host call, which crashes Envoy 1.40 when it loads the module.
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
  (func $start (drop (call $log (i32.const 2) (i32.const 0) (i32.const 0))))
  (start $start))
