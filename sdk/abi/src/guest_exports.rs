//! Functions that a module exports and a host calls. All but an allocator are optional.
//!
//! A host that finds one of these names with another signature refuses the module. In parameters,
//! *context* is the number of the stream (or of the root) that a callback concerns.

use crate::value::functions;

functions! {
    /// Gives memory of this size to the host, 0 if there is none. Envoy prefers this name.
    MALLOC = "malloc" (I32) -> (I32);
    /// The specification's name for the allocator, asked for where `malloc` is not exported.
    ON_MEMORY_ALLOCATE = "proxy_on_memory_allocate" (I32) -> (I32);
    /// Constructors, once per VM.
    INITIALIZE = "_initialize" () -> ();
    /// Called after [`INITIALIZE`], with 0 and 0.
    MAIN = "main" (I32 I32) -> (I32);
    /// Called after [`INITIALIZE`] where there is no [`MAIN`].
    MAIN_VOID = "__main_void" () -> (I32);
    /// Called instead of [`INITIALIZE`] if only this is there.
    START = "_start" () -> ();
    /// context, parent (0: this is a root)
    ON_CONTEXT_CREATE = "proxy_on_context_create" (I32 I32) -> ();
    /// root, size of the VM configuration; gives whether it is accepted
    ON_VM_START = "proxy_on_vm_start" (I32 I32) -> (I32);
    /// root, size of the plugin configuration; gives whether it is accepted. Never called by Envoy.
    VALIDATE_CONFIGURATION = "proxy_validate_configuration" (I32 I32) -> (I32);
    /// root, size of the plugin configuration; gives whether it is accepted
    ON_CONFIGURE = "proxy_on_configure" (I32 I32) -> (I32);
    /// root
    ON_TICK = "proxy_on_tick" (I32) -> ();
    /// context
    ON_NEW_CONNECTION = "proxy_on_new_connection" (I32) -> (I32);
    /// context, size, end of stream
    ON_DOWNSTREAM_DATA = "proxy_on_downstream_data" (I32 I32 I32) -> (I32);
    /// context, size, end of stream
    ON_UPSTREAM_DATA = "proxy_on_upstream_data" (I32 I32 I32) -> (I32);
    /// context, who closed it
    ON_DOWNSTREAM_CONNECTION_CLOSE = "proxy_on_downstream_connection_close" (I32 I32) -> ();
    /// context, who closed it
    ON_UPSTREAM_CONNECTION_CLOSE = "proxy_on_upstream_connection_close" (I32 I32) -> ();
    /// context, number of headers, end of stream; gives an [`Action`](crate::Action)
    ON_REQUEST_HEADERS = "proxy_on_request_headers" (I32 I32 I32) -> (I32);
    /// context, size, end of stream
    ON_REQUEST_BODY = "proxy_on_request_body" (I32 I32 I32) -> (I32);
    /// context, number of trailers
    ON_REQUEST_TRAILERS = "proxy_on_request_trailers" (I32 I32) -> (I32);
    /// context, number of elements
    ON_REQUEST_METADATA = "proxy_on_request_metadata" (I32 I32) -> (I32);
    /// context, number of headers, end of stream; gives an [`Action`](crate::Action)
    ON_RESPONSE_HEADERS = "proxy_on_response_headers" (I32 I32 I32) -> (I32);
    /// context, size, end of stream
    ON_RESPONSE_BODY = "proxy_on_response_body" (I32 I32 I32) -> (I32);
    /// context, number of trailers
    ON_RESPONSE_TRAILERS = "proxy_on_response_trailers" (I32 I32) -> (I32);
    /// context, number of elements
    ON_RESPONSE_METADATA = "proxy_on_response_metadata" (I32 I32) -> (I32);
    /// root, token, number of headers (0: the call failed), size of the body, number of trailers
    ON_HTTP_CALL_RESPONSE = "proxy_on_http_call_response" (I32 I32 I32 I32 I32) -> ();
    /// root, token, number of elements
    ON_GRPC_RECEIVE_INITIAL_METADATA = "proxy_on_grpc_receive_initial_metadata" (I32 I32 I32) -> ();
    /// root, token, size
    ON_GRPC_RECEIVE = "proxy_on_grpc_receive" (I32 I32 I32) -> ();
    /// root, token, number of elements
    ON_GRPC_RECEIVE_TRAILING_METADATA = "proxy_on_grpc_receive_trailing_metadata" (I32 I32 I32) -> ();
    /// root, token, gRPC status
    ON_GRPC_CLOSE = "proxy_on_grpc_close" (I32 I32 I32) -> ();
    /// root, token
    ON_QUEUE_READY = "proxy_on_queue_ready" (I32 I32) -> ();
    /// context, id, size. Not called by Envoy.
    ON_FOREIGN_FUNCTION = "proxy_on_foreign_function" (I32 I32 I32) -> ();
    /// context; gives whether it may be deleted now
    ON_DONE = "proxy_on_done" (I32) -> (I32);
    /// context; all header maps can be read again
    ON_LOG = "proxy_on_log" (I32) -> ();
    /// context
    ON_DELETE = "proxy_on_delete" (I32) -> ();
}

/// Callbacks that have another signature in version 0.1.0.
pub mod version_0_1_0 {
    use crate::value::functions;

    functions! {
        /// context, number of headers; gives an [`Action`](crate::Action)
        ON_REQUEST_HEADERS = "proxy_on_request_headers" (I32 I32) -> (I32);
        /// context, number of headers; gives an [`Action`](crate::Action)
        ON_RESPONSE_HEADERS = "proxy_on_response_headers" (I32 I32) -> (I32);
    }
}
