;; F103: a module of which the end was lost.
(module binary "\00asm\01\00\00\00" "\01\05\01")
