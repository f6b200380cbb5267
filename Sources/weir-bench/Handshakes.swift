import Glibc
import WeirBase
import WeirTLS

/// The floor of a reconnect storm: mutual TLS handshakes in memory, and the processor time that the server's side of one
/// takes.
func bareHandshakes(_ options: Options) throws {
    let count = max(1, try options.number("count", 500))
    let ca = try options.text("ca")
    let server = try TLSContext.server(
        TLSServerConfiguration(
            certificateChain: try options.text("server-certificate"), privateKey: try options.text("server-key"),
            clientCA: ca))
    let client = try TLSContext.client(
        TLSClientConfiguration(
            ca: ca, certificateChain: options.optional("certificate"), privateKey: options.optional("key"),
            serverName: options.optional("server-name")))
    var time: Int64 = 0
    for _ in 0..<count { time += try serverTime(server, client) }
    report(
        "handshakes",
        [("count", String(count)), ("cpu_ms_each", milliseconds(Nanoseconds(rawValue: time / Int64(count))))])
}

/// What one handshake takes of the server.
private func serverTime(_ server: TLSContext, _ client: TLSContext) throws -> Int64 {
    var time: Int64 = 0
    let far = try TLSSession(client: client, serverName: nil)
    let begun = threadTime()
    let near = try TLSSession(context: server, role: .server)
    time += threadTime() - begun
    // The client speaks first; three flights are enough in either version of TLS.
    for _ in 0..<4 {
        let said = try flight(of: far)
        let before = threadTime()
        if !said.isEmpty { try near.receive(said.span) }
        try near.readPlaintext { _ in }
        let answer = try flight(of: near)
        time += threadTime() - before
        if !answer.isEmpty { try far.receive(answer.span) }
        try far.readPlaintext { _ in }
    }
    guard near.handshakeState == .done, far.handshakeState == .done else { throw UsageError("no handshake") }
    return time
}

private func flight(of session: TLSSession) throws -> [UInt8] {
    var bytes: [UInt8] = []
    session.takeCiphertext(upTo: .max) { part in
        for index in part.indices { bytes.append(part[index]) }
        return part.count
    }
    return bytes
}
