;; F101: a version that there is not.
(module binary "\00asm\02\00\00\00")
