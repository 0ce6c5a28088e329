;; F104: exceptions.
(module
  (tag $oops)
  (func (throw $oops)))
