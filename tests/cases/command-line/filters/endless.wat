;; Never ends when it is configured, which would hang Envoy.
(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (loop $again (br $again))
    (unreachable))
  (func (export "proxy_on_log") (param i32)))
