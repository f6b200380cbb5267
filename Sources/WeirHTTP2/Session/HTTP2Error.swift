/// An error code of RST_STREAM and GOAWAY (RFC 9113 §7); unknown codes are kept.
package struct HTTP2ErrorCode: Hashable, Sendable, CustomStringConvertible {
    package var rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    package static let noError = Self(rawValue: 0)
    package static let protocolError = Self(rawValue: 1)
    package static let internalError = Self(rawValue: 2)
    package static let flowControlError = Self(rawValue: 3)
    package static let settingsTimeout = Self(rawValue: 4)
    package static let streamClosed = Self(rawValue: 5)
    package static let frameSizeError = Self(rawValue: 6)
    package static let refusedStream = Self(rawValue: 7)
    package static let cancel = Self(rawValue: 8)
    package static let compressionError = Self(rawValue: 9)
    package static let connectError = Self(rawValue: 10)
    package static let enhanceYourCalm = Self(rawValue: 11)
    package static let inadequateSecurity = Self(rawValue: 12)
    package static let http11Required = Self(rawValue: 13)

    package var description: String {
        let index = Int(self.rawValue)
        return index < Self.names.count ? Self.names[index] : "error code \(self.rawValue)"
    }

    private static let names = [
        "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
        "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
    ]
}

/// The connection cannot go on; nothing more can be read or written.
package enum HTTP2Error: Error, Equatable, Sendable, CustomStringConvertible {
    /// The first bytes are not HTTP/2's client preface.
    case notHTTP2
    /// The peer floods us (frames that oblige us to answer, and does not read the answers).
    case flooded
    /// Memory ran out, or nghttp2 gave up for another reason, which is told in words.
    case failed(String)

    package var description: String {
        switch self {
        case .notHTTP2: "the peer does not speak HTTP/2 (with prior knowledge): its first bytes are no client preface"
        case .flooded: "the peer sends more PING or SETTINGS frames than it reads answers"
        case .failed(let reason): "HTTP/2 session failed: \(reason)"
        }
    }
}

/// Why a command for a stream was not taken.
package enum StreamRefusal: Error, Equatable, Sendable {
    /// The stream is closed, finished, or was never there: nothing more can be sent on it.
    case closed
    /// `SessionLimits.queuedMessagesMax` messages wait already; the caller should keep only the newest state.
    case queueFull
}
