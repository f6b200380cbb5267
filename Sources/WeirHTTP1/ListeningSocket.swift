import CMicrohttpd
import Glibc

/// A bound, listening, non-blocking TCP socket, to be handed over.
struct ListeningSocket {
    let descriptor: CInt
    let port: UInt16

    init(address: String) throws(HTTPServerError) {
        let endpoint = try SocketAddress(address)
        let family = endpoint.isIPv6 ? AF_INET6 : AF_INET
        let kind = CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(family, kind, 0)
        if descriptor < 0 { throw .cannotListen(address: address, reason: errorText(errno)) }
        var on: CInt = 1
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<CInt>.size))
        var failure = endpoint.bind(descriptor)
        if failure == 0, listen(descriptor, HTTPServerLimits.backlog) != 0 { failure = errno }
        if failure != 0 {
            _ = close(descriptor)
            throw .cannotListen(address: address, reason: errorText(failure))
        }
        self.descriptor = descriptor
        self.port = boundPort(descriptor)
    }
}

/// An IP address and a port.
struct SocketAddress {
    private var v4 = sockaddr_in()
    private var v6 = sockaddr_in6()
    let isIPv6: Bool

    /// `1.2.3.4:80` or `[::1]:80`.
    init(_ text: String) throws(HTTPServerError) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            throw .malformedAddress(text)
        }
        let host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            self.isIPv6 = true
            self.v6.sin6_family = sa_family_t(AF_INET6)
            self.v6.sin6_port = port.bigEndian
            guard unsafe inet_pton(AF_INET6, String(host.dropFirst().dropLast()), &self.v6.sin6_addr) == 1 else {
                throw .malformedAddress(text)
            }
        } else {
            self.isIPv6 = false
            self.v4.sin_family = sa_family_t(AF_INET)
            self.v4.sin_port = port.bigEndian
            guard unsafe inet_pton(AF_INET, String(host), &self.v4.sin_addr) == 1 else {
                throw .malformedAddress(text)
            }
        }
    }

    /// Binds; 0 or the error number.
    func bind(_ descriptor: CInt) -> CInt {
        self.isIPv6 ? bindTo(descriptor, self.v6) : bindTo(descriptor, self.v4)
    }
}

private func bindTo<Address>(_ descriptor: CInt, _ address: Address) -> CInt {
    unsafe withUnsafeBytes(of: address) { bytes in
        guard let start = unsafe bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self) else { return EINVAL }
        return unsafe Glibc.bind(descriptor, start, socklen_t(bytes.count)) == 0 ? 0 : errno
    }
}

/// The port a socket is bound to, or 0. Both families keep the port at the same place.
private func boundPort(_ descriptor: CInt) -> UInt16 {
    var address = sockaddr_in6()
    var bytes = socklen_t(MemoryLayout<sockaddr_in6>.size)
    let result = unsafe withUnsafeMutableBytes(of: &address) { storage in
        guard let start = unsafe storage.baseAddress?.assumingMemoryBound(to: sockaddr.self) else { return CInt(-1) }
        return unsafe getsockname(descriptor, start, &bytes)
    }
    return result == 0 ? UInt16(bigEndian: address.sin6_port) : 0
}

/// `1.2.3.4:80` or `[::1]:80`; empty for what is neither.
func peerText(_ address: UnsafePointer<sockaddr>?) -> String {
    guard let address = unsafe address else { return "" }
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    let isIPv6 = unsafe CInt(address.pointee.sa_family) == AF_INET6
    let port: UInt16
    let isNamed: Bool
    if isIPv6 {
        var v6 = unsafe UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in6.self)
        port = UInt16(bigEndian: v6.sin6_port)
        isNamed = unsafe inet_ntop(AF_INET6, &v6.sin6_addr, &text, socklen_t(text.count)) != nil
    } else if unsafe CInt(address.pointee.sa_family) == AF_INET {
        var v4 = unsafe UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in.self)
        port = UInt16(bigEndian: v4.sin_port)
        isNamed = unsafe inet_ntop(AF_INET, &v4.sin_addr, &text, socklen_t(text.count)) != nil
    } else {
        return ""
    }
    let host = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return isNamed ? (isIPv6 ? "[\(host)]:\(port)" : "\(host):\(port)") : ""
}

private func errorText(_ number: CInt) -> String {
    guard let text = unsafe strerror(number) else { return "error \(number)" }
    return unsafe String(cString: text)
}
