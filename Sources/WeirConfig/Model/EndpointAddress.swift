/// Where to listen or to connect: `host:port`, `[v6]:port` or `unix:///path`.
package enum EndpointAddress: Hashable, Sendable, CustomStringConvertible {
    /// `host` is a name or an address, an IPv6 address without its brackets.
    case network(host: String, port: UInt16)
    case unix(path: String)

    /// The longest path that a Unix socket's address holds, without its final zero byte.
    package static let unixPathBytesMax = 107

    /// The address that a text means, or nil.
    package init?(_ text: String) {
        if text.hasPrefix("unix://") {
            let path = String(text.dropFirst("unix://".count))
            guard path.hasPrefix("/"), path.utf8.count > 1, path.utf8.count <= EndpointAddress.unixPathBytesMax else {
                return nil
            }
            self = .unix(path: path)
            return
        }
        guard let colon = text.lastIndex(of: ":"), let port = EndpointAddress.port(text[colon...].dropFirst()) else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
            guard host.contains(":") else { return nil }
        } else if host.contains(where: { ":[]".contains($0) }) {
            return nil
        }
        guard !host.isEmpty, host.utf8.count <= 255, !host.contains(where: { $0.isWhitespace || $0 == "/" }) else {
            return nil
        }
        self = .network(host: String(host), port: port)
    }

    private static func port(_ text: Substring) -> UInt16? {
        guard text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let port = UInt16(text), port > 0 else { return nil }
        return port
    }

    /// Whether only this machine can reach it.
    package var isLoopback: Bool {
        switch self {
        case .network(let host, _): host.hasPrefix("127.") || host == "::1" || host == "localhost"
        case .unix: true
        }
    }

    package var description: String {
        switch self {
        case .network(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): "unix://\(path)"
        }
    }
}
