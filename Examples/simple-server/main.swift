// An xDS control plane: a snapshot for each group of clients, and a new one every few seconds.
//
//     simple-server 127.0.0.1:18000 127.0.0.1:9901 10000 2 127.0.0.1:8080 127.0.0.1:8081
//
// listens on the first address, and has metrics, readiness and the debug page on the second. Envoys listen on port 10000 of
// their machine; every two seconds they, and gRPC clients of `xds:///greeter`, are sent to the next of the backends. Health
// checks and reflection are on the gRPC port. SIGTERM and SIGINT drain.
import WeirXDS
import XDSServer

let arguments = CommandLine.arguments.dropFirst()
guard arguments.count >= 5, let port = UInt16(arguments[3]), let seconds = Int(arguments[4]), seconds > 0 else {
    fail("usage: simple-server LISTEN ADMIN INGRESS-PORT SECONDS BACKEND...")
}
let backends = Array(arguments.dropFirst(4))

do throws(XDSServerError) {
    var configuration = XDSServer.Configuration(listeners: [arguments[1]])
    configuration.adminAddress = arguments[2]
    configuration.drainTimeout = .seconds(5)
    // Envoys and gRPC clients are two groups: what configures the one means nothing to the other.
    configuration.key = { client throws(XDSServer.Refusal) in
        switch client.node.userAgentName {
        case "envoy", "simple-client": return "envoy"
        case let name where name.hasPrefix("gRPC"): return "grpc"
        case let name: throw XDSServer.Refusal("this control plane is for Envoy and gRPC, not for \"\(name)\"")
        }
    }
    configuration.onRejection = { rejection in
        say("\(rejection.nodeID) rejects \(rejection.type.label) \(rejection.version): \(rejection.reason)")
    }

    let parser = try ResourceParser()
    let server = try XDSServer(configuration)
    var version = 0
    func update() throws(XDSServerError) {
        let backend = backends[version % backends.count]
        version += 1
        for (group, listener) in listeners(envoyPort: port) {
            let resources = try parser.resources(in: listener + common(backend), source: group)
            server.setSnapshot(XDSServer.Snapshot(resources, version: String(version)), for: group)
        }
        say("version \(version): \(backend)")
    }

    try update()
    try server.start()
    while !XDSServer.waitForTermination(upTo: .seconds(seconds)) { try update() }
    server.stop()
} catch {
    fail(error.description)
}
