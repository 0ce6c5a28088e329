//! The enumerations of the contract. Their numbers are what crosses the border.

/// Declares an enumeration with its numbers, and the way back from a number.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i32)]
        pub enum $name {
            $($(#[$item_doc])* $item = $number,)*
        }

        impl $name {
            /// The number that crosses the border.
            #[must_use]
            pub const fn number(self) -> i32 {
                self as i32
            }

            /// The item of a number, `None` if the contract has none.
            #[must_use]
            pub const fn from_number(number: i32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$item),)*
                    _ => None,
                }
            }
        }
    };
}

numbered! {
    /// What a host call gives.
    Status {
        /// Done.
        Ok = 0,
        /// There is nothing of that name.
        NotFound = 1,
        /// A parameter has no meaning here.
        BadArgument = 2,
        /// A value has no wire form.
        SerializationFailure = 3,
        /// Bytes of the module do not parse.
        ParseFailure = 4,
        /// An expression does not compile.
        BadExpression = 5,
        /// A pointer and length are not inside the module's memory, or its allocator failed.
        InvalidMemoryAccess = 6,
        /// There is nothing in it.
        Empty = 7,
        /// Someone else changed the value.
        CasMismatch = 8,
        /// A result has another type.
        ResultMismatch = 9,
        /// The host failed.
        InternalFailure = 10,
        /// The connection is gone.
        BrokenConnection = 11,
        /// The host does not offer this.
        Unimplemented = 12,
    }
}

numbered! {
    /// How grave a line of the log is.
    LogLevel {
        /// trace
        Trace = 0,
        /// debug
        Debug = 1,
        /// info
        Info = 2,
        /// warn
        Warn = 3,
        /// error
        Error = 4,
        /// critical
        Critical = 5,
    }
}

numbered! {
    /// Which header map.
    MapType {
        /// Of the request.
        RequestHeaders = 0,
        /// Behind the request's body.
        RequestTrailers = 1,
        /// Of the response.
        ResponseHeaders = 2,
        /// Behind the response's body.
        ResponseTrailers = 3,
        /// Of a gRPC call's answer.
        GrpcReceiveInitialMetadata = 4,
        /// Of a gRPC call's answer.
        GrpcReceiveTrailingMetadata = 5,
        /// Of an HTTP call's answer.
        HttpCallResponseHeaders = 6,
        /// Of an HTTP call's answer.
        HttpCallResponseTrailers = 7,
    }
}

numbered! {
    /// Which buffer.
    BufferType {
        /// Of the request.
        HttpRequestBody = 0,
        /// Of the response.
        HttpResponseBody = 1,
        /// From the client of a connection.
        DownstreamData = 2,
        /// From the server of a connection.
        UpstreamData = 3,
        /// Of an HTTP call's answer.
        HttpCallResponseBody = 4,
        /// Of a gRPC call's answer.
        GrpcReceiveBuffer = 5,
        /// The VM's configuration.
        VmConfiguration = 6,
        /// The plugin's configuration.
        PluginConfiguration = 7,
        /// The argument of a foreign call.
        CallData = 8,
    }
}

numbered! {
    /// Which half of a stream or connection.
    StreamType {
        /// An HTTP request.
        Request = 0,
        /// An HTTP response.
        Response = 1,
        /// The connection to the client.
        Downstream = 2,
        /// The connection to the server.
        Upstream = 3,
    }
}

numbered! {
    /// What a metric counts.
    MetricType {
        /// Grows only.
        Counter = 0,
        /// A level.
        Gauge = 1,
        /// A distribution.
        Histogram = 2,
    }
}

numbered! {
    /// What a header callback asks for.
    Action {
        /// Go on with the next filter.
        Continue = 0,
        /// Hold the stream.
        StopIteration = 1,
        /// Hold the stream and collect its body.
        StopAllIterationAndBuffer = 3,
        /// Hold the stream and collect its body up to the buffer's limit.
        StopAllIterationAndWatermark = 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_back_as_its_item() {
        assert_eq!(Status::from_number(Status::CasMismatch.number()), Some(Status::CasMismatch));
        assert_eq!(MapType::from_number(8), None);
        assert_eq!(Action::from_number(2), None);
    }
}
