import WeirBase
import WeirHTTP2
import WeirTransport

/// Finds clients that do not read what waits for them, on one worker. A connection on which something waits is looked at once
/// a second, a tenth of them at a time; what is kept are marks for streams.
struct StalledReaders {
    private struct StreamKey: Hashable {
        var connection: ObjectIdentifier
        /// Tells a connection from a later one at the same address.
        var openedAt: Instant
        var stream: Int32
    }

    private struct Mark {
        var taken: Int
        var since: Instant
    }

    struct Found {
        /// Their sockets take nothing.
        var connections: [ServerConnection] = []
        /// Their windows are closed.
        var streams: [(connection: ServerConnection, stream: Int32)] = []
    }

    /// By part of the connections.
    private var marks: [[StreamKey: Mark]] = Array(repeating: [:], count: WaitingConnections.parts)
    private var part = 0

    /// Looks at the next part. To be called ten times a second.
    ///
    /// - Parameter limit: how long a client may take nothing of what waits for it.
    mutating func look(_ listeners: [ServerListener], at now: Instant, limit: Nanoseconds) -> Found {
        self.part = (self.part + 1) % WaitingConnections.parts
        var found = Found()
        var marks: [StreamKey: Mark] = [:]
        for listener in listeners {
            for connection in listener.waitingConnections.waiting(in: self.part) {
                self.look(connection, now, limit, &marks, &found)
            }
        }
        self.marks[self.part] = marks
        return found
    }

    private func look(
        _ connection: ServerConnection, _ now: Instant, _ limit: Nanoseconds, _ marks: inout [StreamKey: Mark],
        _ found: inout Found
    ) {
        if let since = connection.blockedSince, now - since >= limit {
            found.connections.append(connection)
            return
        }
        connection.forEachWaiting { stream, taken in
            let key = StreamKey(
                connection: ObjectIdentifier(connection), openedAt: connection.openedAt, stream: stream)
            var mark = Mark(taken: taken, since: now)
            if let old = self.marks[self.part][key], old.taken == taken { mark.since = old.since }
            if now - mark.since >= limit { found.streams.append((connection, stream)) } else { marks[key] = mark }
        }
    }

    /// Forgets all marks: nothing is looked for.
    mutating func rest() {
        for index in self.marks.indices where !self.marks[index].isEmpty { self.marks[index] = [:] }
    }
}
