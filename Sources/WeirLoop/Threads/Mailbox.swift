import CWeirShims
import Glibc
import Synchronization

/// A bounded queue of messages from any thread to one loop.
///
/// The only way between threads. A burst of messages costs one wake-up: only the post that finds the box empty writes
/// the descriptor, and the receiver empties the whole box at once. Messages of one sender arrive in their order.
///
/// A box whose receiver is gone is closed: what a message holds, which may be the box itself, must not stay with it.
package final class Mailbox<Message: Sendable>: Sendable {
    private struct Queue: Sendable {
        var messages: [Message] = []
        var isClosed = false
    }

    /// The most messages that can wait; a post beyond that is refused and counted.
    package let capacity: Int
    private let queue = Locked(Queue())
    private let droppedCount = Atomic<Int>(0)
    private let wake: CInt

    /// Traps only if the process has no descriptor left; mailboxes are made at start-up.
    package init(capacity: Int) {
        precondition(capacity > 0, "a mailbox must be able to hold a message")
        self.capacity = capacity
        self.wake = weir_eventfd_open()
        precondition(self.wake >= 0, "cannot make a mailbox: \(SystemError.text(errno))")
    }

    deinit { _ = Glibc.close(self.wake) }

    /// Puts a message in the box; false when the box is full, which `dropped` counts, or closed.
    @discardableResult
    package func post(_ message: Message) -> Bool {
        let (accepted, first, isClosed) = self.queue.withLock { queue in
            guard !queue.isClosed, queue.messages.count < self.capacity else { return (false, false, queue.isClosed) }
            queue.messages.append(message)
            return (true, queue.messages.count == 1, false)
        }
        if first { self.ring() }
        if !accepted, !isClosed { self.droppedCount.wrappingAdd(1, ordering: .relaxed) }
        return accepted
    }

    /// Puts the message in the box that is the last one the receiver gets; there is room for it in a full box, too. All
    /// that comes after it is refused. Does nothing if the box is closed.
    package func close(after message: Message) {
        let first = self.queue.withLock { queue in
            guard !queue.isClosed else { return false }
            queue.isClosed = true
            queue.messages.append(message)
            return queue.messages.count == 1
        }
        if first { self.ring() }
    }

    /// Lets go of what waits, and refuses all that comes.
    func close() {
        // It is freed when the lock is free again: who is in a message may post while it goes.
        let waiting = self.queue.withLock { queue in
            queue.isClosed = true
            defer { queue.messages = [] }
            return queue.messages
        }
        withExtendedLifetime(waiting) {}
    }

    /// Whether nothing is taken any more.
    package var isClosed: Bool { self.queue.withLock { $0.isClosed } }

    /// Messages refused so far because the box was full.
    package var dropped: Int { self.droppedCount.load(ordering: .relaxed) }

    /// Messages waiting at this moment.
    package var count: Int { self.queue.withLock { $0.messages.count } }

    /// The descriptor that becomes readable when messages wait.
    var wakeDescriptor: CInt { self.wake }

    /// Swaps the waiting messages with `batch`, which must be empty (its storage becomes the queue's).
    func exchange(_ batch: inout [Message]) {
        precondition(batch.isEmpty, "messages would be lost")
        self.silence()  // before the exchange: a post after it finds the box empty and rings again
        self.queue.withLock { swap(&$0.messages, &batch) }
    }

    private func ring() {
        var one: UInt64 = 1
        // A full counter (EAGAIN) means that the receiver is about to wake up anyway.
        while unsafe Glibc.write(self.wake, &one, 8) < 0 && errno == EINTR {}
    }

    private func silence() {
        var count: UInt64 = 0
        while unsafe Glibc.read(self.wake, &count, 8) < 0 && errno == EINTR {}
    }
}

/// The receiving side of a mailbox, confined to its loop. One inbox per mailbox.
package final class Inbox<Message: Sendable> {
    private let mailbox: Mailbox<Message>
    private let onMessages: ([Message]) -> Void
    private var watcher: IOWatcher?
    private var spare: [Message] = []

    /// `onMessages` is given all waiting messages at once, never an empty list.
    package init(loop: Loop, mailbox: Mailbox<Message>, onMessages: @escaping ([Message]) -> Void) {
        self.mailbox = mailbox
        self.onMessages = onMessages
        let watcher = IOWatcher(loop: loop, descriptor: mailbox.wakeDescriptor) { [unowned self] _ in self.drain() }
        watcher.interest = .read
        self.watcher = watcher
    }

    deinit { self.cancel() }

    /// No more calls: the box is closed, and what waits in it is let go of.
    package func cancel() {
        self.watcher?.cancel()
        self.watcher = nil
        self.mailbox.close()
    }

    /// Storage for this many messages is kept between bursts; that of a larger burst is given back.
    private static var storageKept: Int { 4096 }

    private func drain() {
        var batch = self.spare
        self.spare = []
        self.mailbox.exchange(&batch)
        guard !batch.isEmpty else { return self.spare = batch }
        self.onMessages(batch)
        batch.removeAll(keepingCapacity: batch.capacity <= Self.storageKept)
        self.spare = batch
    }
}
