;; F101: no byte at all.
(module binary "")
