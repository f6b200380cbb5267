import Glibc

/// Tells the service manager how the process is, by the protocol of `sd_notify`: one datagram to the socket that
/// `NOTIFY_SOCKET` names. Does nothing where there is none. Any thread; never blocks, and a manager that does not listen
/// costs nothing.
package struct ServiceNotifier: Sendable {
    private let address: SocketAddress?

    /// - Parameter path: the value of `NOTIFY_SOCKET`: an absolute path, or `@` and a name in the abstract namespace.
    package init(path: String?) {
        guard let path = path, path.utf8.count > 1, path.utf8.count <= SocketAddress.pathMax,
            path.hasPrefix("/") || path.hasPrefix("@")
        else {
            self.address = nil
            return
        }
        self.address = .unix(path: path)
    }

    package var isListenedTo: Bool { self.address != nil }

    /// `state`: assignments, one a line, as in `READY=1`.
    package func tell(_ state: String) {
        guard let address = self.address else { return }
        let type = CInt(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(AF_UNIX, type, 0)
        guard descriptor >= 0 else { return }
        defer { Socket.close(descriptor) }
        let bytes = Array(state.utf8)
        unsafe address.withNotifyAddress { pointer, length in
            unsafe bytes.withUnsafeBytes { bytes in
                _ = unsafe sendto(descriptor, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL), pointer, length)
            }
        }
    }
}

extension SocketAddress {
    /// As `withSockaddr`, but a path that begins with `@` is a name in the abstract namespace.
    fileprivate func withNotifyAddress(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Void) {
        guard case .unix(let path) = self, path.hasPrefix("@") else {
            unsafe self.withSockaddr { unsafe body($0, $1) }
            return
        }
        var storage = sockaddr_un()
        storage.sun_family = sa_family_t(AF_UNIX)
        let start = MemoryLayout<sa_family_t>.size
        let name = Array(path.utf8.dropFirst().prefix(SocketAddress.pathMax - 1))
        unsafe withUnsafeMutableBytes(of: &storage) { bytes in
            // A zero byte, then the name: the length says where it ends.
            unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[(start + 1)..<(start + 1 + name.count)])
                .copyBytes(from: name)
        }
        let length = socklen_t(start + 1 + name.count)
        unsafe withUnsafePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, length) }
        }
    }
}
