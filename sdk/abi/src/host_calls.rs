//! Functions that a host offers: `env.proxy_*` and a few that toolchains import.
//!
//! Each gives a [`Status`](crate::Status) as `i32` unless its line says otherwise. Names of
//! parameters: a *pointer* and *length* name bytes in the module's memory that are read during the
//! call; a *return pointer* names where the host writes its answer. Data that the host returns lies
//! in memory that it got from the module's own `malloc` and that then belongs to the module.

use crate::value::functions;

functions! {
    /// level, pointer, length
    LOG = "proxy_log" (I32 I32 I32) -> (I32);
    /// return pointer
    GET_LOG_LEVEL = "proxy_get_log_level" (I32) -> (I32);
    /// return pointers of code, message pointer, message length
    GET_STATUS = "proxy_get_status" (I32 I32 I32) -> (I32);
    /// path (segments separated by one NUL), length, return pointers of value pointer and length
    GET_PROPERTY = "proxy_get_property" (I32 I32 I32 I32) -> (I32);
    /// path, length, value, length; writes filter state `wasm.<path>`
    SET_PROPERTY = "proxy_set_property" (I32 I32 I32 I32) -> (I32);
    /// status, details, length, body, length, header pairs, length, gRPC status (-1 for none)
    SEND_LOCAL_RESPONSE = "proxy_send_local_response" (I32 I32 I32 I32 I32 I32 I32 I32) -> (I32);
    /// stream type
    CONTINUE_STREAM = "proxy_continue_stream" (I32) -> (I32);
    /// stream type
    CLOSE_STREAM = "proxy_close_stream" (I32) -> (I32);
    /// map type, key, length, return pointers of value pointer and length; gives the first value only
    GET_HEADER_MAP_VALUE = "proxy_get_header_map_value" (I32 I32 I32 I32 I32) -> (I32);
    /// map type, key, length, value, length
    ADD_HEADER_MAP_VALUE = "proxy_add_header_map_value" (I32 I32 I32 I32 I32) -> (I32);
    /// map type, key, length, value, length
    REPLACE_HEADER_MAP_VALUE = "proxy_replace_header_map_value" (I32 I32 I32 I32 I32) -> (I32);
    /// map type, key, length
    REMOVE_HEADER_MAP_VALUE = "proxy_remove_header_map_value" (I32 I32 I32) -> (I32);
    /// map type, return pointers of pairs pointer and length
    GET_HEADER_MAP_PAIRS = "proxy_get_header_map_pairs" (I32 I32 I32) -> (I32);
    /// map type, pairs, length; pairs that do not parse clear the map
    SET_HEADER_MAP_PAIRS = "proxy_set_header_map_pairs" (I32 I32 I32) -> (I32);
    /// map type, return pointer of the sum of all key and value lengths
    GET_HEADER_MAP_SIZE = "proxy_get_header_map_size" (I32 I32) -> (I32);
    /// buffer type, start, length at most, return pointers of bytes pointer and length
    GET_BUFFER_BYTES = "proxy_get_buffer_bytes" (I32 I32 I32 I32 I32) -> (I32);
    /// buffer type, return pointers of length and flags
    GET_BUFFER_STATUS = "proxy_get_buffer_status" (I32 I32 I32) -> (I32);
    /// buffer type, start, length to replace, bytes, length
    SET_BUFFER_BYTES = "proxy_set_buffer_bytes" (I32 I32 I32 I32 I32) -> (I32);
    /// cluster, length, header pairs, length, body, length, trailer pairs, length, timeout in ms, return pointer of the token
    HTTP_CALL = "proxy_http_call" (I32 I32 I32 I32 I32 I32 I32 I32 I32 I32) -> (I32);
    /// service, length, service name, length, method, length, metadata pairs, length, message, length, timeout in ms, return pointer of the token
    GRPC_CALL = "proxy_grpc_call" (I32 I32 I32 I32 I32 I32 I32 I32 I32 I32 I32 I32) -> (I32);
    /// service, length, service name, length, method, length, metadata pairs, length, return pointer of the token
    GRPC_STREAM = "proxy_grpc_stream" (I32 I32 I32 I32 I32 I32 I32 I32 I32) -> (I32);
    /// token, message, length, end of stream
    GRPC_SEND = "proxy_grpc_send" (I32 I32 I32 I32) -> (I32);
    /// token
    GRPC_CLOSE = "proxy_grpc_close" (I32) -> (I32);
    /// token
    GRPC_CANCEL = "proxy_grpc_cancel" (I32) -> (I32);
    /// period in ms, 0 for never
    SET_TICK_PERIOD_MILLISECONDS = "proxy_set_tick_period_milliseconds" (I32) -> (I32);
    /// return pointer of a u64
    GET_CURRENT_TIME_NANOSECONDS = "proxy_get_current_time_nanoseconds" (I32) -> (I32);
    /// metric type, name, length, return pointer of the id
    DEFINE_METRIC = "proxy_define_metric" (I32 I32 I32 I32) -> (I32);
    /// id, difference
    INCREMENT_METRIC = "proxy_increment_metric" (I32 I64) -> (I32);
    /// id, value
    RECORD_METRIC = "proxy_record_metric" (I32 I64) -> (I32);
    /// id, return pointer of a u64
    GET_METRIC = "proxy_get_metric" (I32 I32) -> (I32);
    /// key, length, return pointers of value pointer, value length and version
    GET_SHARED_DATA = "proxy_get_shared_data" (I32 I32 I32 I32 I32) -> (I32);
    /// key, length, value, length, version that must stand there (0 for any)
    SET_SHARED_DATA = "proxy_set_shared_data" (I32 I32 I32 I32 I32) -> (I32);
    /// name, length, return pointer of the token
    REGISTER_SHARED_QUEUE = "proxy_register_shared_queue" (I32 I32 I32) -> (I32);
    /// VM id, length, name, length, return pointer of the token
    RESOLVE_SHARED_QUEUE = "proxy_resolve_shared_queue" (I32 I32 I32 I32 I32) -> (I32);
    /// token, bytes, length
    ENQUEUE_SHARED_QUEUE = "proxy_enqueue_shared_queue" (I32 I32 I32) -> (I32);
    /// token, return pointers of bytes pointer and length
    DEQUEUE_SHARED_QUEUE = "proxy_dequeue_shared_queue" (I32 I32 I32) -> (I32);
    /// context
    SET_EFFECTIVE_CONTEXT = "proxy_set_effective_context" (I32) -> (I32);
    /// no parameter
    DONE = "proxy_done" () -> (I32);
    /// name, length, argument, length, return pointers of result pointer and length
    CALL_FOREIGN_FUNCTION = "proxy_call_foreign_function" (I32 I32 I32 I32 I32 I32) -> (I32);
    /// two threads; gives whether they are one
    PTHREAD_EQUAL = "pthread_equal" (I32 I32) -> (I32);
    /// index of the memory that grew; gives nothing
    EMSCRIPTEN_NOTIFY_MEMORY_GROWTH = "emscripten_notify_memory_growth" (I32) -> ();
}

/// What only hosts of version 0.1.0 offer, to modules of that version.
pub mod version_0_1_0 {
    use crate::value::functions;

    functions! {
        /// return pointers of configuration pointer and length
        GET_CONFIGURATION = "proxy_get_configuration" (I32 I32) -> (I32);
        /// no parameter
        CONTINUE_REQUEST = "proxy_continue_request" () -> (I32);
        /// no parameter
        CONTINUE_RESPONSE = "proxy_continue_response" () -> (I32);
        /// no parameter
        CLEAR_ROUTE_CACHE = "proxy_clear_route_cache" () -> (I32);
    }
}

/// The part of WASI that hosts answer, under both of [`WASI_MODULES`](crate::WASI_MODULES).
pub mod wasi {
    use crate::value::functions;

    functions! {
        /// file, vectors, their number, return pointer of the bytes written; 1 is logged as info, 2 as error
        FD_WRITE = "fd_write" (I32 I32 I32 I32) -> (I32);
        /// file, vectors, their number, return pointer of the bytes read
        FD_READ = "fd_read" (I32 I32 I32 I32) -> (I32);
        /// file, offset, whence, return pointer of the position
        FD_SEEK = "fd_seek" (I32 I64 I32 I32) -> (I32);
        /// file
        FD_CLOSE = "fd_close" (I32) -> (I32);
        /// file, return pointer of the status
        FD_FDSTAT_GET = "fd_fdstat_get" (I32 I32) -> (I32);
        /// file, flags
        FD_FDSTAT_SET_FLAGS = "fd_fdstat_set_flags" (I32 I32) -> (I32);
        /// file, return pointer of the directory's description
        FD_PRESTAT_GET = "fd_prestat_get" (I32 I32) -> (I32);
        /// file, path, length
        FD_PRESTAT_DIR_NAME = "fd_prestat_dir_name" (I32 I32 I32) -> (I32);
        /// directory, flags, path, length, open flags, rights, inherited rights, file flags, return pointer of the file
        PATH_OPEN = "path_open" (I32 I32 I32 I32 I32 I64 I64 I32 I32) -> (I32);
        /// directory, flags, path, length, return pointer of the status
        PATH_FILESTAT_GET = "path_filestat_get" (I32 I32 I32 I32 I32) -> (I32);
        /// return pointers of the argument pointers and their bytes
        ARGS_GET = "args_get" (I32 I32) -> (I32);
        /// return pointers of the number and the bytes
        ARGS_SIZES_GET = "args_sizes_get" (I32 I32) -> (I32);
        /// return pointers of the variable pointers and their bytes
        ENVIRON_GET = "environ_get" (I32 I32) -> (I32);
        /// return pointers of the number and the bytes
        ENVIRON_SIZES_GET = "environ_sizes_get" (I32 I32) -> (I32);
        /// clock (0 real, 1 monotonic), precision, return pointer of nanoseconds
        CLOCK_TIME_GET = "clock_time_get" (I32 I64 I32) -> (I32);
        /// bytes to fill, length
        RANDOM_GET = "random_get" (I32 I32) -> (I32);
        /// subscriptions, events, number, return pointer of the number of events
        POLL_ONEOFF = "poll_oneoff" (I32 I32 I32 I32) -> (I32);
        /// no parameter
        SCHED_YIELD = "sched_yield" () -> (I32);
        /// file, return pointer of the status
        FD_FILESTAT_GET = "fd_filestat_get" (I32 I32) -> (I32);
        /// clock, return pointer of the nanoseconds between two of its steps
        CLOCK_RES_GET = "clock_res_get" (I32 I32) -> (I32);
        /// file, offset, length, advice
        FD_ADVISE = "fd_advise" (I32 I64 I64 I32) -> (I32);
        /// file, offset, length
        FD_ALLOCATE = "fd_allocate" (I32 I64 I64) -> (I32);
        /// file
        FD_DATASYNC = "fd_datasync" (I32) -> (I32);
        /// file, rights, inherited rights
        FD_FDSTAT_SET_RIGHTS = "fd_fdstat_set_rights" (I32 I64 I64) -> (I32);
        /// file, size
        FD_FILESTAT_SET_SIZE = "fd_filestat_set_size" (I32 I64) -> (I32);
        /// file, time of access, time of change, flags
        FD_FILESTAT_SET_TIMES = "fd_filestat_set_times" (I32 I64 I64 I32) -> (I32);
        /// file, vectors, their number, offset, return pointer of the bytes read
        FD_PREAD = "fd_pread" (I32 I32 I32 I64 I32) -> (I32);
        /// file, vectors, their number, offset, return pointer of the bytes written; as `fd_write`
        FD_PWRITE = "fd_pwrite" (I32 I32 I32 I64 I32) -> (I32);
        /// directory, bytes to fill, length, position, return pointer of the bytes filled
        FD_READDIR = "fd_readdir" (I32 I32 I32 I64 I32) -> (I32);
        /// file, its new number
        FD_RENUMBER = "fd_renumber" (I32 I32) -> (I32);
        /// file
        FD_SYNC = "fd_sync" (I32) -> (I32);
        /// file, return pointer of the position
        FD_TELL = "fd_tell" (I32 I32) -> (I32);
        /// directory, path, length
        PATH_CREATE_DIRECTORY = "path_create_directory" (I32 I32 I32) -> (I32);
        /// directory, flags, path, length, time of access, time of change, flags
        PATH_FILESTAT_SET_TIMES = "path_filestat_set_times" (I32 I32 I32 I32 I64 I64 I32) -> (I32);
        /// directory, path, length, bytes to fill, length, return pointer of the bytes filled
        PATH_READLINK = "path_readlink" (I32 I32 I32 I32 I32 I32) -> (I32);
        /// directory, path, length
        PATH_REMOVE_DIRECTORY = "path_remove_directory" (I32 I32 I32) -> (I32);
        /// directory, path, length, directory, path, length
        PATH_RENAME = "path_rename" (I32 I32 I32 I32 I32 I32) -> (I32);
        /// directory, path, length
        PATH_UNLINK_FILE = "path_unlink_file" (I32 I32 I32) -> (I32);
        /// socket, flags, return pointer of the socket
        SOCK_ACCEPT = "sock_accept" (I32 I32 I32) -> (I32);
        /// socket, vectors, their number, flags, return pointers of the bytes and of flags
        SOCK_RECV = "sock_recv" (I32 I32 I32 I32 I32 I32) -> (I32);
        /// socket, vectors, their number, flags, return pointer of the bytes
        SOCK_SEND = "sock_send" (I32 I32 I32 I32 I32) -> (I32);
        /// socket, how
        SOCK_SHUTDOWN = "sock_shutdown" (I32 I32) -> (I32);
        /// exit code; gives nothing, and does not end the module in Envoy
        PROC_EXIT = "proc_exit" (I32) -> ();
    }
}
