import Glibc
import WeirXDS
import XDSClient

/// Prints what happened, a line for each resource.
@Sendable func report(_ event: XDSClient.Event) {
    switch event {
    case .connected(let server): say("connected to \(server)")
    case .disconnected(let server, let reason): say("disconnected from \(server): \(reason)")
    case .rejected(let type, let version, let reason): say("NACK \(type.label) version \(version): \(reason)")
    case .changed(let change):
        let label = change.type.label
        for resource in change.updated {
            say("+ \(label) \(resource.name) version \(resource.version), \(resource.value.count) bytes")
        }
        for name in change.removed { say("- \(label) \(name)") }
        for name in change.missing { say("? \(label) \(name) does not exist") }
        for (name, error) in change.errors.sorted(by: { $0.key < $1.key }) {
            say("! \(label) \(name): \(error.message) (code \(error.code))")
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

/// Writes a line at once, also where standard output is a file.
func say(_ line: String) { writeLine(line, to: STDOUT_FILENO) }

/// Says what is wrong and ends.
func fail(_ message: String) -> Never {
    writeLine("simple-client: \(message)", to: STDERR_FILENO)
    exit(2)
}

private func writeLine(_ line: String, to descriptor: CInt) {
    var line = line + "\n"
    line.withUTF8 { bytes in unsafe _ = write(descriptor, bytes.baseAddress, bytes.count) }
}
