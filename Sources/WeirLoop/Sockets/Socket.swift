import CWeirShims
import Glibc

/// Socket system calls, non-blocking throughout. The returned descriptors belong to the caller.
package enum Socket {}

extension Socket {
    /// A listening socket, bound and ready for `accept`.
    ///
    /// - Parameters:
    ///   - address: port 0 lets the kernel choose (see `localAddress`). A Unix path where a dead socket is left over is
    ///     taken over; a live one is an error. `[::]` listens for IPv4 too.
    ///   - reusePort: several sockets, one per loop, share the port and the kernel spreads the connections. Has no
    ///     meaning for a Unix socket: bind once and let the loops share duplicates of the descriptor.
    package static func listen(on address: SocketAddress, reusePort: Bool, backlog: Int) throws(SystemError) -> CInt {
        if case .unix(let path) = address { try self.removeStaleSocket(at: path) }
        let descriptor = try self.open(address, operation: "listen on")
        do throws(SystemError) {
            if !address.isUnix {
                try self.set(descriptor, SOL_SOCKET, SO_REUSEADDR, 1, address)
                if reusePort { try self.set(descriptor, SOL_SOCKET, SO_REUSEPORT, 1, address) }
            }
            if address.family == AF_INET6 { try self.set(descriptor, CInt(IPPROTO_IPV6), IPV6_V6ONLY, 0, address) }
            unsafe try self.check(address, "listen on") { unsafe Glibc.bind(descriptor, $0, $1) }
            unsafe try self.check(address, "listen on") { _, _ in Glibc.listen(descriptor, CInt(clamping: backlog)) }
        } catch {
            self.close(descriptor)
            throw error
        }
        return descriptor
    }

    /// The next waiting connection, or nil if none waits. An error with `isExhaustion` means: pause accepting.
    package static func accept(_ listener: CInt) throws(SystemError) -> (descriptor: CInt, peer: SocketAddress)? {
        while true {
            var accepted: (result: CInt, code: CInt) = (-1, 0)
            let peer = unsafe SocketAddress.filled { address, length in
                accepted = retrying { unsafe weir_accept(listener, address, length) }
                return accepted.result >= 0
            }
            if accepted.result >= 0 { return (accepted.result, (peer ?? .unix(path: "")).unmapped) }
            switch accepted.code {
            case EAGAIN: return nil
            // Trouble of the one connection that was next (accept(2)): go on with the one behind it.
            case ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH,
                EPERM:
                continue
            default: throw SystemError(code: accepted.code, operation: "accept")
            }
        }
    }

    /// Begins to connect. When the descriptor becomes writable, `connectionError` says how it went.
    package static func connect(to address: SocketAddress) throws(SystemError) -> CInt {
        let descriptor = try self.open(address, operation: "connect to")
        let (result, code) = unsafe address.withSockaddr { pointer, length in
            retrying { unsafe Glibc.connect(descriptor, pointer, length) }
        }
        if result == 0 || code == EINPROGRESS { return descriptor }
        self.close(descriptor)
        throw SystemError(code: code, operation: "connect to", subject: address.description)
    }

    /// Why a connection attempt failed; nil if it succeeded. Ask once the descriptor is writable.
    package static func connectionError(_ descriptor: CInt) -> SystemError? {
        var code: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        let result = unsafe getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
        if result != 0 { return SystemError(code: errno, operation: "connect") }
        return code == 0 ? nil : SystemError(code: code, operation: "connect")
    }

    /// Send small writes at once. No effect on a Unix socket.
    package static func setNoDelay(_ descriptor: CInt) {
        var one: CInt = 1
        _ = unsafe setsockopt(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<CInt>.size))
    }

    /// Where the socket is bound: tells the port when port 0 was asked for.
    package static func localAddress(_ descriptor: CInt) -> SocketAddress? {
        unsafe SocketAddress.filled { address, length in unsafe getsockname(descriptor, address, length) == 0 }
    }

    package static func peerAddress(_ descriptor: CInt) -> SocketAddress? {
        unsafe SocketAddress.filled { address, length in unsafe getpeername(descriptor, address, length) == 0 }?
            .unmapped
    }

    /// Tells the peer that nothing more will be written.
    package static func shutdownWrite(_ descriptor: CInt) { _ = Glibc.shutdown(descriptor, CInt(SHUT_WR)) }

    /// A second descriptor of the same socket, for another loop that accepts from it.
    package static func duplicate(_ descriptor: CInt) throws(SystemError) -> CInt {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw SystemError(code: errno, operation: "duplicate a descriptor") }
        return copy
    }

    /// For descriptors that no `Descriptor` owns.
    package static func close(_ descriptor: CInt) { _ = Glibc.close(descriptor) }

    /// Removes the path of a Unix socket that this process had bound.
    package static func unlink(_ address: SocketAddress) {
        if case .unix(let path) = address, !path.isEmpty { _ = unsafe Glibc.unlink(path) }
    }
}

extension Socket {
    private static func open(_ address: SocketAddress, operation: String) throws(SystemError) -> CInt {
        let type = CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(address.family, type, 0)
        guard descriptor >= 0 else {
            throw SystemError(code: errno, operation: operation, subject: address.description)
        }
        return descriptor
    }

    private static func set(_ descriptor: CInt, _ level: CInt, _ option: CInt, _ value: CInt, _ address: SocketAddress)
        throws(SystemError)
    {
        var value = value
        let result = unsafe setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<CInt>.size))
        guard result == 0 else {
            throw SystemError(code: errno, operation: "listen on", subject: address.description)
        }
    }

    private static func check(
        _ address: SocketAddress, _ operation: String, _ call: (UnsafePointer<sockaddr>, socklen_t) -> CInt
    ) throws(SystemError) {
        let code = unsafe address.withSockaddr { unsafe call($0, $1) == 0 ? 0 : errno }
        guard code == 0 else { throw SystemError(code: code, operation: operation, subject: address.description) }
    }

    /// Removes a socket file on which nobody listens any more: what a killed process leaves behind.
    private static func removeStaleSocket(at path: String) throws(SystemError) {
        var status = stat()
        guard unsafe lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return }
        do throws(SystemError) {
            self.close(try self.connect(to: .unix(path: path)))
        } catch {
            if error.code == ECONNREFUSED { _ = unsafe Glibc.unlink(path) }
            return
        }
        throw SystemError(code: EADDRINUSE, operation: "listen on", subject: "unix://\(path)")
    }
}
