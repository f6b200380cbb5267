/// How a call ended, as gRPC counts it (gRPC `statuscodes.md`).
package enum GRPCStatus: Int, Sendable, CustomStringConvertible {
    case ok = 0
    case cancelled = 1
    case unknown = 2
    case invalidArgument = 3
    case deadlineExceeded = 4
    case notFound = 5
    case alreadyExists = 6
    case permissionDenied = 7
    case resourceExhausted = 8
    case failedPrecondition = 9
    case aborted = 10
    case outOfRange = 11
    case unimplemented = 12
    case `internal` = 13
    case unavailable = 14
    case dataLoss = 15
    case unauthenticated = 16

    /// The field's name, as in `INVALID_ARGUMENT`.
    package var description: String { Self.names[self.rawValue] }

    private static let names = [
        "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
        "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
        "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
    ]

    /// The status of a response that carries an HTTP status and no `grpc-status` (gRPC `http-grpc-status-mapping.md`).
    package init(httpStatus: Int) {
        switch httpStatus {
        case 400: self = .internal
        case 401: self = .unauthenticated
        case 403: self = .permissionDenied
        case 404: self = .unimplemented
        case 429, 502, 503, 504: self = .unavailable
        default: self = .unknown
        }
    }

    /// The status of a stream that the peer reset (gRPC `PROTOCOL-HTTP2.md`, "Errors").
    package init(resetCode: HTTP2ErrorCode) {
        switch resetCode {
        case .noError, .protocolError, .internalError, .flowControlError, .settingsTimeout, .frameSizeError,
            .compressionError, .connectError:
            self = .internal
        case .refusedStream: self = .unavailable
        case .cancel: self = .cancelled
        case .enhanceYourCalm: self = .resourceExhausted
        case .inadequateSecurity: self = .permissionDenied
        default: self = .unknown
        }
    }
}

/// A status with its text.
package struct GRPCFailure: Error, Equatable, Sendable, CustomStringConvertible {
    package var status: GRPCStatus
    package var message: String

    package init(_ status: GRPCStatus, _ message: String) {
        self.status = status
        self.message = message
    }

    package var description: String { self.message.isEmpty ? "\(self.status)" : "\(self.status): \(self.message)" }
}
