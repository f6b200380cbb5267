import Glibc
import Synchronization
import WeirBase
import WeirLoop

/// The way to one worker, for every other thread: its mailbox and its pulse.
final class WorkerLink: Sendable {
    /// Batches that may wait in a mailbox. One batch is what one turn of the sender has to say, so this is reached only
    /// when a worker has not turned for very long.
    static let batchesMax = 65_536

    let index: Int
    let mailbox = Mailbox<[WorkerMessage]>(capacity: WorkerLink.batchesMax)

    init(index: Int) { self.index = index }

    /// False if the box is full: then the sender keeps the message or says that it is lost.
    @discardableResult
    func post(_ message: WorkerMessage) -> Bool { self.mailbox.post([message]) }

    /// Waits some seconds for a place in a full box: for the main thread only, which has nothing else to do.
    @discardableResult
    func postPatiently(_ message: WorkerMessage) -> Bool {
        for _ in 0..<500 {
            if self.post(message) { return true }
            // A worker that is over takes nothing.
            if self.mailbox.isClosed { return false }
            usleep(10_000)
        }
        return false
    }
}

/// A stable placement of keys on workers: every worker knows the home of every key without asking.
enum Placement {
    static func home(of key: String, workers: Int) -> Int {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in key.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        // The low bits of FNV-1a are weak for short keys that differ at the end only.
        return Int((hash ^ hash >> 32) % UInt64(workers))
    }
}
