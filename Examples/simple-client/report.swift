import Glibc
import WeirXDS
import XDSClient

/// Prints what happened, a line for each resource.
@Sendable func report(_ event: XDSClient.Event) {
    switch event {
    case .connected(let server): print("connected to \(server)")
    case .disconnected(let server, let reason): print("disconnected from \(server): \(reason)")
    case .rejected(let type, let version, let reason): print("NACK \(type.label) version \(version): \(reason)")
    case .changed(let change):
        let label = change.type.label
        for resource in change.updated {
            print("+ \(label) \(resource.name) version \(resource.version), \(resource.value.count) bytes")
        }
        for name in change.removed { print("- \(label) \(name)") }
        for name in change.missing { print("? \(label) \(name) does not exist") }
        for (name, error) in change.errors.sorted(by: { $0.key < $1.key }) {
            print("! \(label) \(name): \(error.message) (code \(error.code))")
        }
    }
}

/// Waits for SIGINT or SIGTERM; the client's own threads take no signals.
func waitForSignal() {
    var signals = sigset_t()
    unsafe sigemptyset(&signals)
    for number in [SIGINT, SIGTERM] { unsafe sigaddset(&signals, number) }
    unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
    var taken: CInt = 0
    unsafe sigwait(&signals, &taken)
}

/// Says what is wrong and ends.
func fail(_ message: String) -> Never {
    unsafe fputs("simple-client: \(message)\n", stderr)
    exit(2)
}
