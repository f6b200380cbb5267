import Glibc
import WeirBase

extension ClosedRange<Nanoseconds> {
    /// What waits for a peer.
    static let timeout = Nanoseconds.milliseconds(1)...Nanoseconds.seconds(3_600)
    /// What paces something that goes on for ever.
    static let period = Nanoseconds.milliseconds(1)...Nanoseconds.seconds(7 * 86_400)
}

extension Field {
    func address() -> EndpointAddress? {
        guard let text = self.text() else { return nil }
        if let address = EndpointAddress(text) { return address }
        self.error("\"\(text)\" is not an address; expected host:port, [v6]:port or unix:///path")
        return nil
    }

    /// Where weir itself listens: an IP address, or `localhost`, which is 127.0.0.1. Another name might mean several
    /// addresses, or another one tomorrow.
    func listenAddress() -> EndpointAddress? {
        guard let address = self.address() else { return nil }
        guard case .network(let host, let port) = address else { return address }
        if host == "localhost" { return .network(host: "127.0.0.1", port: port) }
        if isNumericHost(host) { return address }
        self.error("\"\(host)\" is a name; what weir listens on must be an IP address, such as 0.0.0.0:\(port)")
        return nil
    }

    /// A path, complete as seen from the folder of the configuration.
    func path(in folder: String) -> String? {
        self.nonEmptyText().map { resolved($0, in: folder) }
    }

    /// A path to a file that can be read now.
    func readableFile(in folder: String) -> String? {
        guard let path = self.path(in: folder) else { return nil }
        guard let problem = fileProblem(path) else { return path }
        self.error("cannot read \"\(path)\": \(problem)")
        return nil
    }

    func keepalive() -> KeepaliveConfiguration? {
        guard let section = self.section(["interval", "timeout"]) else { return nil }
        var keepalive = KeepaliveConfiguration()
        section.read("interval", into: &keepalive.interval) { $0.duration(.period, orZero: true) }
        section.read("timeout", into: &keepalive.timeout) { $0.duration(.timeout) }
        return keepalive
    }
}

private func isNumericHost(_ host: String) -> Bool {
    var four = in_addr()
    var six = in6_addr()
    return unsafe inet_pton(AF_INET, host, &four) == 1 || inet_pton(AF_INET6, host, &six) == 1
}
