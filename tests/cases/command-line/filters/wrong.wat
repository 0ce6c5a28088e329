;; Wrong in many ways: a start section, an unknown import, an undeclared callback, a memory of another name.
(module
  (import "env" "proxy_http_cal" (func (param i32) (result i32)))
  (memory (export "mem") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (i32.const 0))
  (func $begin)
  (start $begin))
