/// Where to listen or connect, as a person writes it; the host may be a name.
package enum Endpoint: Sendable, Hashable, CustomStringConvertible {
    /// `host` is a name, an IPv4 address, or an IPv6 address without brackets.
    case tcp(host: String, port: UInt16)
    case unix(path: String)

    private static let unixPrefix = "unix://"

    /// Parses `host:port`, `[v6]:port` or `unix:///path`.
    package init(parsing text: String) throws(AddressError) {
        self = text.hasPrefix(Self.unixPrefix) ? try Self.unix(text) : try Self.tcp(text)
    }

    /// What `init(parsing:)` takes.
    package var description: String {
        switch self {
        case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): Self.unixPrefix + path
        }
    }

    /// The host name without port; nil for a Unix socket.
    package var host: String? {
        guard case .tcp(let host, _) = self else { return nil }
        return host
    }

    /// The address itself, unless the host is a name that must be resolved first.
    package var numericAddress: SocketAddress? {
        switch self {
        case .tcp(let host, let port): SocketAddress(numericHost: host, port: port)
        case .unix(let path): .unix(path: path)
        }
    }

    private static func unix(_ text: String) throws(AddressError) -> Endpoint {
        let path = String(text.dropFirst(Self.unixPrefix.count))
        guard path.hasPrefix("/") else {
            throw AddressError(description: "\"\(text)\" needs an absolute path, as in unix:///run/weir.sock")
        }
        guard path.utf8.count <= SocketAddress.pathMax, !path.utf8.contains(0) else {
            throw AddressError(
                description: "\"\(text)\": the path of a Unix socket holds at most \(SocketAddress.pathMax) bytes")
        }
        return .unix(path: path)
    }

    private static func tcp(_ text: String) throws(AddressError) -> Endpoint {
        guard !text.hasSuffix("]"), let colon = text.lastIndex(of: ":") else {
            throw AddressError(
                description: "\"\(text)\" has no port; write host:port, [v6]:port or unix:///path")
        }
        let digits = text[text.index(after: colon)...]
        guard digits.utf8.allSatisfy({ (48...57).contains($0) }), let port = UInt16(digits) else {
            throw AddressError(description: "\"\(text)\": \"\(digits)\" is no port; a port is a number from 0 to 65535")
        }
        return .tcp(host: try Self.host(text[..<colon], in: text), port: port)
    }

    private static func host(_ part: Substring, in text: String) throws(AddressError) -> String {
        if part.hasPrefix("["), part.hasSuffix("]") {
            let host = String(part.dropFirst().dropLast())
            guard host.contains(":"), SocketAddress(numericHost: host, port: 0) != nil else {
                throw AddressError(description: "\"\(text)\": \"\(host)\" is no IPv6 address")
            }
            return host
        }
        if part.contains(":") {
            throw AddressError(description: "\"\(text)\": an IPv6 address stands in brackets, as in [::1]:18000")
        }
        guard !part.isEmpty else {
            throw AddressError(description: "\"\(text)\" has no host; 0.0.0.0 means all IPv4 addresses, [::] all")
        }
        let isName = part.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
            default: false
            }
        }
        guard isName, part.utf8.count <= 253 else {
            throw AddressError(description: "\"\(text)\": \"\(part)\" is no host name")
        }
        return String(part)
    }
}
