;; may: call
;; F204: what was not declared is cut off: bodies, and data that is shared. The call is declared.
(module
  (import "env" "proxy_grpc_close" (func (param i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) (i32.const 0)))
