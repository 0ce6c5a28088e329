;; F101: the text format where the binary one is wanted.
(module binary "(module)")
