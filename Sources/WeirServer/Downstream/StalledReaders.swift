import WeirBase
import WeirHTTP2
import WeirTransport

/// Finds clients that do not read what waits for them, on one worker. A connection is looked at once a second, a tenth of
/// them at a time; what is kept are marks for streams on which something waits, which are few.
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

    private static let slices = 10
    private var marks: [[StreamKey: Mark]] = Array(repeating: [:], count: Self.slices)
    private var slice = 0

    /// Looks at the next slice. To be called ten times a second.
    ///
    /// - Parameter limit: how long a client may take nothing of what waits for it.
    mutating func look(_ listeners: [ServerListener], at now: Instant, limit: Nanoseconds) -> Found {
        self.slice = (self.slice + 1) % Self.slices
        var found = Found()
        var marks: [StreamKey: Mark] = [:]
        for listener in listeners {
            for index in stride(from: self.slice, to: listener.connections.count, by: Self.slices) {
                self.look(listener.connections[index], now, limit, &marks, &found)
            }
        }
        self.marks[self.slice] = marks
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
            if let old = self.marks[self.slice][key], old.taken == taken { mark.since = old.since }
            if now - mark.since >= limit { found.streams.append((connection, stream)) } else { marks[key] = mark }
        }
    }

    /// Forgets all marks: nothing is looked for.
    mutating func rest() {
        for index in self.marks.indices where !self.marks[index].isEmpty { self.marks[index] = [:] }
    }
}
