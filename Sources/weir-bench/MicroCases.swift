import WeirBase
import WeirXDS

/// What is measured by itself. The names are the keys of `integration/microbench.json`.
enum MicroCases {
    static var all: [MicroCase] { self.home + self.shard }

    // MARK: The home's part: what the control plane says

    private static var home: [MicroCase] {
        [
            MicroCase("parse a SotW response of 1,000 endpoints", rounds: 20) {
                let message = MicroOrigin.response(count: 1000, changing: 0, version: 1)
                return {
                    let response = try? DiscoveryResponse(decoding: message.span)
                    precondition(response?.resources.count == 1000, "the response is whole")
                }
            },
            MicroCase("parse and compare a SotW response of 1,000 endpoints, nothing new", rounds: 10) {
                let origin = MicroOrigin(resources: 1000, changing: 0)
                return { origin.answer() }
            },
            MicroCase("parse, compare and publish a SotW response of 1,000 endpoints, one new", rounds: 10) {
                let origin = MicroOrigin(resources: 1000, changing: 1)
                return { origin.answer() }
            },
        ]
    }

    // MARK: The workers' part: what clients are told

    private static var shard: [MicroCase] {
        [
            MicroCase("set: take over one changed resource, nobody subscribed to it", rounds: 1000) {
                let clients = MicroClients(streams: 1, resources: 100, subscribed: 1)
                return { clients.change(99) }
            },
            MicroCase("get: answer a stream that wants a name once more, and its ACK", rounds: 1000) {
                let clients = MicroClients(streams: 1, resources: 100, subscribed: 50)
                return { clients.askAgain() }
            },
            MicroCase("watch: open a stream, subscribe to 100 names, answer, close", rounds: 500) {
                let clients = MicroClients(streams: 1, resources: 100, subscribed: 100)
                return { clients.come() }
            },
            MicroCase("plan, encode and hand out one changed resource, take the ACK, per stream", rounds: 20, of: 1000)
            {
                let clients = MicroClients(streams: 1000, resources: 100, subscribed: 100)
                return {
                    clients.change(0)
                    clients.acknowledge()
                }
            },
            MicroCase("plan and encode a response of 1,000 endpoints, and its ACK", rounds: 20) {
                let clients = MicroClients(streams: 1, resources: 1000, subscribed: 1000)
                return {
                    clients.changeAll()
                    clients.acknowledge()
                }
            },
            MicroCase("mixed: of 10, 1 change, 8 names once more, 1 stream that comes and goes", rounds: 100, of: 10) {
                let clients = MicroClients(streams: 10, resources: 100, subscribed: 50)
                return {
                    clients.change(0)
                    for _ in 0..<8 { clients.askAgain() }
                    clients.come()
                    clients.acknowledge()
                }
            },
        ]
    }
}
