import WeirBase
import WeirHTTP2
import WeirTransport

/// Finds clients that do not read what waits for them, on one worker. All connections are looked at in turn, some of them ten
/// times a second; what is kept are marks for streams on which something waits, which are few.
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

    /// By slice of the connections.
    private var marks: [[StreamKey: Mark]] = []
    private var slice = 0

    /// Looks at the next slice. To be called ten times a second. A client is found after the limit, and at most two rounds
    /// more.
    ///
    /// - Parameter limit: how long a client may take nothing of what waits for it.
    mutating func look(_ listeners: [ServerListener], at now: Instant, limit: Nanoseconds) -> Found {
        let slices = Self.slices(limit)
        if self.marks.count != slices { self.marks = Array(repeating: [:], count: slices) }
        self.slice = (self.slice + 1) % slices
        var found = Found()
        var marks: [StreamKey: Mark] = [:]
        for listener in listeners {
            for index in stride(from: self.slice, to: listener.connections.count, by: slices) {
                self.look(listener.connections[index], now, limit, &marks, &found)
            }
        }
        self.marks[self.slice] = marks
        return found
    }

    /// A round takes a quarter of the limit, 1 to 5 s: with thousands of idle connections the looks are most of the work.
    private static func slices(_ limit: Nanoseconds) -> Int {
        let quarter = Nanoseconds(rawValue: limit.rawValue / 4)
        let round = min(max(quarter, .seconds(1)), .seconds(5))
        return Int(round.rawValue / Nanoseconds.milliseconds(100).rawValue)
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
