/// The connections of a listener on which something could not be written, so that nobody need look at the others: ten thousand
/// that only wait for news cost nothing. In parts, which can be looked at one at a time. Confined to its loop.
package struct WaitingConnections {
    package static let parts = 10

    private var connections: [ContiguousArray<ServerConnection>] = Array(repeating: [], count: Self.parts)
    private var next = 0

    package var count: Int { self.connections.reduce(0) { $0 + $1.count } }

    mutating func add(_ connection: ServerConnection) {
        connection.waitingPart = Int8(self.next)
        self.connections[self.next].append(connection)
        self.next = (self.next + 1) % Self.parts
    }

    mutating func remove(_ connection: ServerConnection) {
        guard connection.waitingPart >= 0 else { return }
        self.connections[Int(connection.waitingPart)].removeAll { $0 === connection }
        connection.waitingPart = -1
    }

    /// Those of a part on which something still waits; the others are let go of.
    package mutating func waiting(in part: Int) -> ContiguousArray<ServerConnection> {
        for connection in self.connections[part] where !connection.isWaiting { connection.waitingPart = -1 }
        self.connections[part].removeAll { $0.waitingPart < 0 }
        return self.connections[part]
    }
}
