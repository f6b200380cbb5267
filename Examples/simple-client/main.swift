// An xDS client: subscribes to types, by name or all of them, and prints what changes.
//
//     simple-client 127.0.0.1:18000 cds eds=web,api
//     simple-client --sotw --id probe-1 --cluster web unix:///run/control-plane.sock lds
//
// What it cannot read is answered with a NACK that says why. SIGINT and SIGTERM end it.
import WeirXDS
import XDSClient

var arguments = CommandLine.arguments.dropFirst()
var variant = ProtocolVariant.delta
var id = "simple-client"
var cluster = ""
while let option = arguments.first, option.hasPrefix("--") {
    arguments.removeFirst()
    switch option {
    case "--sotw": variant = .sotw
    case "--id": id = arguments.popFirst() ?? id
    case "--cluster": cluster = arguments.popFirst() ?? cluster
    default: fail("unknown option \(option)")
    }
}
guard let server = arguments.popFirst(), !arguments.isEmpty else {
    fail("usage: simple-client [--sotw] [--id ID] [--cluster CLUSTER] SERVER TYPE[=NAME,NAME...]...")
}

var configuration = XDSClient.Configuration(
    servers: [server], node: Node(id: id, cluster: cluster, userAgentName: "simple-client"))
configuration.variant = variant
do {
    let client = try XDSClient(configuration, validate: check, onEvent: report)
    for subscription in arguments {
        let parts = subscription.split(separator: "=", maxSplits: 1)
        let type = XDSType(shortName: String(parts[0])) ?? XDSType(typeURL: String(parts[0]))
        if parts.count == 1 {
            client.subscribeToAll(of: type)
        } else {
            client.subscribe(to: type, names: parts[1].split(separator: ",").map(String.init))
        }
    }
    waitForSignal()
    client.close()
} catch {
    fail(error.description)
}
