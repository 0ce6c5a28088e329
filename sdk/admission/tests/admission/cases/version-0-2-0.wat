;; The version before lacks one host call, so its modules are admitted: F201 for that call, and nothing else is wrong here.
(module
  (import "env" "proxy_continue_stream" (func (param i32) (result i32)))
  (import "env" "proxy_get_log_level" (func (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_0"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))
