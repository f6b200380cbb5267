import Glibc

/// A text that is no address, and why.
package struct AddressError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
}

/// A numeric address that a socket can be bound or connected to.
package enum SocketAddress: Sendable, Hashable, CustomStringConvertible {
    /// `address` in host byte order: 127.0.0.1 is 0x7F000001.
    case v4(address: UInt32, port: UInt16)
    /// `high` and `low` in host byte order; `scope` is the interface index of a link-local address, else zero.
    case v6(high: UInt64, low: UInt64, scope: UInt32, port: UInt16)
    /// Empty path: a client that bound no name.
    case unix(path: String)

    /// Parses `1.2.3.4:80`, `[::1]:80` or `unix:///path`. A host name is an error: that is the resolver's work.
    package init(parsing text: String) throws(AddressError) {
        let endpoint = try Endpoint(parsing: text)
        guard let address = endpoint.numericAddress else {
            throw AddressError(
                description: "\"\(text)\" has a host name where a numeric address is needed, as in 127.0.0.1:18000")
        }
        self = address
    }

    /// Nil unless `host` is a numeric IPv4 or IPv6 address.
    package init?(numericHost host: String, port: UInt16) {
        var v4 = in_addr()
        if unsafe inet_pton(AF_INET, host, &v4) == 1 {
            self = .v4(address: UInt32(bigEndian: v4.s_addr), port: port)
            return
        }
        var v6 = in6_addr()
        guard unsafe inet_pton(AF_INET6, host, &v6) == 1 else { return nil }
        self = Self.v6(v6, scope: 0, port: port)
    }

    /// `host:port`, `[v6]:port` or `unix:///path`: what `init(parsing:)` takes.
    package var description: String {
        switch self {
        case .v4(_, let port): "\(self.host):\(port)"
        case .v6(_, _, _, let port): "[\(self.host)]:\(port)"
        case .unix(let path): "unix://\(path)"
        }
    }

    /// The address without port: `1.2.3.4`, `::1`, or the path.
    package var host: String {
        switch self {
        case .v4(let address, _):
            return "\(address >> 24).\(address >> 16 & 255).\(address >> 8 & 255).\(address & 255)"
        case .v6(let high, let low, _, _):
            var raw = Self.bytes(high: high, low: low)
            return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { text in
                guard let base = text.baseAddress,
                    unsafe inet_ntop(AF_INET6, &raw, base, socklen_t(text.count)) != nil
                else { return "?" }
                return unsafe String(cString: base)
            }
        case .unix(let path): return path
        }
    }

    /// Nil for a Unix socket.
    package var port: UInt16? {
        switch self {
        case .v4(_, let port), .v6(_, _, _, let port): port
        case .unix: nil
        }
    }

    package var isUnix: Bool { self.port == nil }

    /// An IPv4 address that a dual-stack socket shows as IPv6 (`::ffff:1.2.3.4`) as the IPv4 address it is.
    package var unmapped: SocketAddress {
        guard case .v6(0, let low, _, let port) = self, low >> 32 == 0xFFFF else { return self }
        return .v4(address: UInt32(truncatingIfNeeded: low), port: port)
    }
}

// MARK: - C

extension SocketAddress {
    /// A Unix socket path holds at most this many bytes.
    static let pathMax = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1

    var family: CInt {
        switch self {
        case .v4: AF_INET
        case .v6: AF_INET6
        case .unix: AF_UNIX
        }
    }

    private static func v6(_ raw: in6_addr, scope: UInt32, port: UInt16) -> SocketAddress {
        unsafe withUnsafeBytes(of: raw) { bytes in
            .v6(
                high: UInt64(bigEndian: unsafe bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
                low: UInt64(bigEndian: unsafe bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
                scope: scope, port: port)
        }
    }

    private static func bytes(high: UInt64, low: UInt64) -> in6_addr {
        var raw = in6_addr()
        unsafe withUnsafeMutableBytes(of: &raw) { bytes in
            unsafe bytes.storeBytes(of: high.bigEndian, toByteOffset: 0, as: UInt64.self)
            unsafe bytes.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        return raw
    }

    /// The address as C wants it, for the length of the call.
    func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var storage = sockaddr_storage()
        let length = unsafe withUnsafeMutableBytes(of: &storage) { unsafe self.store(into: $0) }
        return unsafe withUnsafePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, length) }
        }
    }

    private func store(into bytes: UnsafeMutableRawBufferPointer) -> socklen_t {
        switch self {
        case .v4(let address, let port):
            var raw = sockaddr_in()
            raw.sin_family = sa_family_t(AF_INET)
            raw.sin_port = port.bigEndian
            raw.sin_addr.s_addr = address.bigEndian
            unsafe bytes.storeBytes(of: raw, as: sockaddr_in.self)
            return socklen_t(MemoryLayout<sockaddr_in>.size)
        case .v6(let high, let low, let scope, let port):
            var raw = sockaddr_in6()
            raw.sin6_family = sa_family_t(AF_INET6)
            raw.sin6_port = port.bigEndian
            raw.sin6_addr = Self.bytes(high: high, low: low)
            raw.sin6_scope_id = scope
            unsafe bytes.storeBytes(of: raw, as: sockaddr_in6.self)
            return socklen_t(MemoryLayout<sockaddr_in6>.size)
        case .unix(let path):
            unsafe bytes.storeBytes(of: sa_family_t(AF_UNIX), as: sa_family_t.self)
            let start = MemoryLayout<sa_family_t>.size
            let text = path.utf8.prefix(Self.pathMax)
            unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + text.count]).copyBytes(from: text)
            return socklen_t(start + text.count + 1)
        }
    }

    /// What `fill` (accept, getsockname, getaddrinfo) left in a buffer; nil if it failed or the family is unknown.
    static func filled(by fill: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Bool)
        -> SocketAddress?
    {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let done = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe fill($0, &length) }
        }
        guard done else { return nil }
        return unsafe withUnsafeBytes(of: &storage) { unsafe SocketAddress(bytes: $0, length: Int(length)) }
    }

    init?(bytes: UnsafeRawBufferPointer, length: Int) {
        guard length >= MemoryLayout<sa_family_t>.size, length <= bytes.count else { return nil }
        switch CInt(unsafe bytes.loadUnaligned(as: sa_family_t.self)) {
        case AF_INET where length >= MemoryLayout<sockaddr_in>.size:
            let raw = unsafe bytes.loadUnaligned(as: sockaddr_in.self)
            self = .v4(address: UInt32(bigEndian: raw.sin_addr.s_addr), port: UInt16(bigEndian: raw.sin_port))
        case AF_INET6 where length >= MemoryLayout<sockaddr_in6>.size:
            let raw = unsafe bytes.loadUnaligned(as: sockaddr_in6.self)
            let port = UInt16(bigEndian: raw.sin6_port)
            self = Self.v6(raw.sin6_addr, scope: raw.sin6_scope_id, port: port)
        case AF_UNIX:
            let path = unsafe bytes[MemoryLayout<sa_family_t>.size..<length].prefix { $0 != 0 }
            self = .unix(path: unsafe String(decoding: path, as: UTF8.self))
        default: return nil
        }
    }
}
