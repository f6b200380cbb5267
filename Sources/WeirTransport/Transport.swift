import WeirBase
import WeirHTTP2
package import WeirLoop

/// What the connections of one loop share: the read buffer, output queues, deadlines, and the list of connections that
/// have something to write. Confined to its loop; takes the loop's `beforeSleep` for itself.
package final class Transport {
    package let loop: Loop
    let log: (TransportEvent) -> Void
    let readBuffer = ReadBuffer(capacity: 64 << 10)
    let deadlines: DeadlineTable
    var generator: SeededGenerator
    /// Plaintext on its way into one TLS record.
    var record: [UInt8] = []

    /// Runs once per turn before connections are flushed: the place to push what the turn's events made due.
    package var beforeFlush: (() -> Void)?

    private var dirty: ContiguousArray<Link> = []
    private var spareOutputs: [OutputQueue] = []
    /// A delegate that writes whenever a stream has drained could keep a flush going for ever.
    private static let roundsMax = 8

    /// - Parameters:
    ///   - seed: of the jitter of connection ages.
    ///   - log: told what an operator may want to read; on the loop's thread.
    package init(loop: Loop, seed: UInt64, log: @escaping (TransportEvent) -> Void) {
        self.loop = loop
        self.log = log
        self.generator = SeededGenerator(seed: seed)
        self.deadlines = DeadlineTable(loop: loop)
        loop.beforeSleep = { [weak self] in
            self?.beforeFlush?()
            self?.flush()
        }
    }

    /// Writes what all connections have to write, each in one go. Runs by itself before the loop sleeps.
    package func flush() {
        for _ in 0..<Self.roundsMax where !self.dirty.isEmpty {
            var links: ContiguousArray<Link> = []
            swap(&links, &self.dirty)
            for link in links { link.flush() }
            if self.dirty.isEmpty {
                links.removeAll(keepingCapacity: true)
                swap(&links, &self.dirty)
            }
        }
        // Their sockets are writable, so the next turn comes at once.
        for link in self.dirty { link.flushNextTurn() }
        self.dirty.removeAll(keepingCapacity: true)
    }

    func enlist(_ link: Link) { self.dirty.append(link) }

    func takeOutput() -> OutputQueue { self.spareOutputs.popLast() ?? OutputQueue() }

    func giveBack(_ output: OutputQueue) {
        output.clear()
        if self.spareOutputs.count < 16 { self.spareOutputs.append(output) }
    }
}
