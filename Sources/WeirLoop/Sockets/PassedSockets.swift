import Glibc

/// Listening sockets that the service manager has opened and passes on (`LISTEN_FDS`): connections that come while the
/// process is away wait in them.
package struct PassedSockets: Sendable {
    /// One of them, by where it listens.
    package struct Passed: Sendable {
        package let address: SocketAddress
        package let descriptor: Descriptor
        /// Its entry of `LISTEN_FDNAMES`; empty without.
        package let name: String
    }

    package let sockets: [Passed]
    /// What was passed and cannot be used: why, for the log.
    package let unusable: [String]

    private static let firstDescriptor: CInt = 3
    private static let descriptorsMax: CInt = 256

    /// Takes over what is meant for this process. To be called once, before other descriptors are opened.
    package init(environment: [String: String]) {
        guard environment["LISTEN_PID"] == String(getpid()), let text = environment["LISTEN_FDS"],
            let count = CInt(text), count > 0, count <= Self.descriptorsMax
        else {
            self.sockets = []
            self.unusable = []
            return
        }
        let names = environment["LISTEN_FDNAMES"]?.split(separator: ":", omittingEmptySubsequences: false) ?? []
        var sockets: [Passed] = []
        var unusable: [String] = []
        for offset in 0..<count {
            let number = Self.firstDescriptor + offset
            let name = names.indices.contains(Int(offset)) ? String(names[Int(offset)]) : ""
            if let problem = Self.prepare(number) {
                unusable.append("descriptor \(number) (\(name)): \(problem)")
            } else if let address = Socket.localAddress(number) {
                sockets.append(Passed(address: address, descriptor: Descriptor(number), name: name))
            }
        }
        self.sockets = sockets
        self.unusable = unusable
    }

    /// Why a descriptor is no listening stream socket; else it is not blocking and not inherited from now on.
    private static func prepare(_ descriptor: CInt) -> String? {
        let flags = fcntl(descriptor, F_GETFD)
        guard flags >= 0 else { return "it is not open" }
        _ = fcntl(descriptor, F_SETFD, flags | FD_CLOEXEC)
        guard self.option(descriptor, SO_TYPE) == CInt(SOCK_STREAM.rawValue) else { return "it is no stream socket" }
        guard self.option(descriptor, SO_ACCEPTCONN) == 1 else { return "it does not listen" }
        let status = fcntl(descriptor, F_GETFL)
        guard status >= 0, fcntl(descriptor, F_SETFL, status | O_NONBLOCK) >= 0 else { return "it cannot be set up" }
        return Socket.localAddress(descriptor) == nil ? "its address is unknown" : nil
    }

    private static func option(_ descriptor: CInt, _ name: CInt) -> CInt? {
        var value: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        return unsafe getsockopt(descriptor, SOL_SOCKET, name, &value, &length) == 0 ? value : nil
    }
}
