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

    private let state = Cell(TransportState())
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
        for _ in 0..<Self.roundsMax where !self.state.value.dirty.isEmpty {
            var links: ContiguousArray<Link> = []
            swap(&links, &self.state.value.dirty)
            for link in links { link.flush() }
            if self.state.value.dirty.isEmpty {
                links.removeAll(keepingCapacity: true)
                swap(&links, &self.state.value.dirty)
            }
        }
        // Their sockets are writable, so the next turn comes at once.
        let left = self.state.value.dirty
        for link in left { link.flushNextTurn() }
        self.state.value.dirty.removeAll(keepingCapacity: left.isEmpty)
    }

    func enlist(_ link: Link) { self.state.value.dirty.append(link) }

    /// An empty queue, to be given back, or kept for longer than the present flush.
    func takeOutput() -> OutputQueue { self.state.value.takeOutput() }

    func keepOutput(_ output: OutputQueue) { self.state.value.keepOutput(output) }

    func giveBack(_ output: OutputQueue) {
        if !output.isEmpty { output.clear() }
        self.state.value.giveBack(output)
    }
}

/// The words of a transport that every push touches, in one place (see `Cell`).
private struct TransportState {
    var dirty: ContiguousArray<Link> = []
    /// What links gather their output in, one after the other; whoever's socket is full keeps it, and there is another.
    private var output = OutputQueue()
    private var isOutputTaken = false
    private var spareOutputs: [OutputQueue] = []

    mutating func takeOutput() -> OutputQueue {
        if self.isOutputTaken { return self.spareOutputs.popLast() ?? OutputQueue() }
        self.isOutputTaken = true
        return self.output
    }

    mutating func keepOutput(_ output: OutputQueue) {
        guard output === self.output else { return }
        self.output = self.spareOutputs.popLast() ?? OutputQueue()
        self.isOutputTaken = false
    }

    mutating func giveBack(_ output: OutputQueue) {
        if output === self.output {
            self.isOutputTaken = false
        } else if self.spareOutputs.count < 16 {
            self.spareOutputs.append(output)
        }
    }
}
