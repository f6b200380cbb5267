import Glibc
import WeirBase
import WeirConfig
import WeirLoop

/// What systemd is told of the process's life (`Type=notify`), and the signs of life that its watchdog wants. Without it,
/// nothing. Confined to the main loop.
final class ServiceManager {
    private let notifier: ServiceNotifier
    private let shared: RelayShared
    private let watchdogPeriod: Nanoseconds?
    private var watchdog: TimerWatcher?
    private var isStopping = false

    init(_ environment: [String: String], loop: Loop, shared: RelayShared) {
        self.notifier = ServiceNotifier(path: environment["NOTIFY_SOCKET"])
        self.shared = shared
        self.watchdogPeriod = Self.watchdogPeriod(environment)
        guard let period = self.watchdogPeriod, self.notifier.isListenedTo else { return }
        let timer = TimerWatcher(loop: loop) { [unowned self] in self.showLife() }
        self.watchdog = timer
        timer.start(after: period, every: period)
    }

    /// Half of what the watchdog allows; nil if it does not watch this process.
    private static func watchdogPeriod(_ environment: [String: String]) -> Nanoseconds? {
        guard let text = environment["WATCHDOG_USEC"], let limit = Int64(text), limit > 0, limit < 1 << 50 else {
            return nil
        }
        if let pid = environment["WATCHDOG_PID"], pid != String(getpid()) { return nil }
        return max(.milliseconds(1), .microseconds(limit / 2))
    }

    /// Only while all loops turn: one that does not is what a watchdog is for.
    private func showLife() {
        if self.shared.stuckLoops(at: Loop.monotonicNow()).isEmpty { self.notifier.tell("WATCHDOG=1") }
    }

    func ready() {
        guard !self.isStopping else { return }
        self.notifier.tell("READY=1\nSTATUS=serving")
    }

    /// `MONOTONIC_USEC` is what `Type=notify-reload` asks for.
    func reloading() {
        guard !self.isStopping else { return }
        self.notifier.tell(
            "RELOADING=1\nMONOTONIC_USEC=\(Loop.monotonicNow().rawValue / 1_000)\nSTATUS=reading the configuration")
    }

    func stopping(within time: Nanoseconds) {
        self.isStopping = true
        self.notifier.tell("STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=\(time.rawValue / 1_000)")
    }

    func cancel() { self.watchdog?.cancel() }
}

extension EndpointAddress {
    /// Where a listener listens; nil for a host name, which listeners do not have.
    var socketAddress: SocketAddress? {
        switch self {
        case .unix(let path): .unix(path: path)
        case .network(let host, let port): SocketAddress(numericHost: host, port: port)
        }
    }
}

extension PassedSockets {
    func descriptors(of address: SocketAddress) -> [Descriptor] {
        self.sockets.filter { $0.address == address }.map(\.descriptor)
    }

    /// Those of an address that one of several workers accepts from: every socket has a worker, every worker a socket.
    func descriptors(of address: SocketAddress, worker: Int, workers: Int) -> [Descriptor] {
        let all = self.descriptors(of: address)
        guard !all.isEmpty else { return [] }
        guard all.count >= workers else { return [all[worker % all.count]] }
        return all.indices.filter { $0 % workers == worker }.map { all[$0] }
    }
}
