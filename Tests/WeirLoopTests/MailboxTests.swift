import Glibc
import Testing
import WeirBase

@testable import WeirLoop

@Suite("Mailboxes and threads")
struct MailboxTests {
    @Test("every message of four busy senders arrives once, in its sender's order")
    func load() {
        let perSender = 20_000
        let mailbox = Mailbox<(sender: Int, number: Int)>(capacity: 1_000)
        let threads = (0..<4).map { sender in
            WorkerThread(name: "sender-\(sender)") {
                for number in 0..<perSender {
                    while !mailbox.post((sender, number)) { sched_yield() }
                }
            }
        }
        let loop = Loop()
        var next = [0, 0, 0, 0]
        var outOfOrder = 0
        var batchMax = 0
        var received = 0
        let inbox = Inbox(loop: loop, mailbox: mailbox) { [unowned loop] batch in
            batchMax = max(batchMax, batch.count)
            for message in batch {
                if next[message.sender] != message.number { outOfOrder += 1 }
                next[message.sender] = message.number + 1
            }
            received += batch.count
            if received == 4 * perSender { loop.stop() }
        }
        withExtendedLifetime(inbox) { runBounded(loop) }
        for thread in threads { thread.join() }
        #expect(next == [perSender, perSender, perSender, perSender])
        #expect(outOfOrder == 0)
        #expect(batchMax <= 1_000)
    }

    @Test("a full box refuses and counts, and a burst costs one call")
    func full() {
        let mailbox = Mailbox<Int>(capacity: 3)
        #expect((0..<5).map { mailbox.post($0) } == [true, true, true, false, false])
        #expect(mailbox.dropped == 2)
        let loop = Loop()
        var batches: [[Int]] = []
        let inbox = Inbox(loop: loop, mailbox: mailbox) { [unowned loop] batch in
            batches.append(batch)
            loop.stop()
        }
        withExtendedLifetime(inbox) { runBounded(loop) }
        #expect(batches == [[0, 1, 2]])
        #expect(mailbox.count == 0)
    }

    @Test("an inbox released in its own callback hears nothing more, and its box takes nothing more")
    func releasedInCallback() {
        let mailbox = Mailbox<Int>(capacity: 10)
        let loop = Loop()
        var batches: [[Int]] = []
        var inbox: Inbox<Int>?
        inbox = Inbox(loop: loop, mailbox: mailbox) { batch in
            batches.append(batch)
            inbox = nil
            mailbox.post(2)
        }
        mailbox.post(1)
        let end = TimerWatcher(loop: loop) { [unowned loop] in loop.stop() }
        end.start(after: .milliseconds(20))
        runBounded(loop)
        #expect(inbox == nil)
        #expect(batches == [[1]])
        #expect(mailbox.count == 0 && mailbox.isClosed)
        #expect(!mailbox.post(3))
        #expect(mailbox.dropped == 0)
    }

    /// A message that holds the box it is in.
    private final class Holder: Sendable {
        let mailbox = Mailbox<@Sendable () -> Void>(capacity: 10)
    }

    @Test("what waits in a box when its inbox goes is let go of, also where it holds the box")
    func letGoOf() {
        weak var held: Holder?
        do {
            let holder = Holder()
            held = holder
            let loop = Loop()
            let inbox = Inbox(loop: loop, mailbox: holder.mailbox) { _ in }
            holder.mailbox.post { _ = holder.mailbox.count }
            inbox.cancel()
            #expect(holder.mailbox.count == 0)
            // Who comes later leaves nothing behind either.
            #expect(!holder.mailbox.post { _ = holder.mailbox.count })
        }
        #expect(held == nil)
    }

    @Test("a full box takes the last message, and nothing after it")
    func last() {
        let mailbox = Mailbox<Int>(capacity: 2)
        for number in 0..<3 { mailbox.post(number) }
        mailbox.close(after: 9)
        mailbox.close(after: 10)
        #expect(!mailbox.post(11))
        #expect(mailbox.dropped == 1)
        let loop = Loop()
        var batches: [[Int]] = []
        let inbox = Inbox(loop: loop, mailbox: mailbox) { [unowned loop] batch in
            batches.append(batch)
            loop.stop()
        }
        withExtendedLifetime(inbox) { runBounded(loop) }
        #expect(batches == [[0, 1, 9]])
    }

    @Test("a thread carries the first 15 bytes of its name, and what it did is seen after the join")
    func threadName() {
        let seen = Locked("")
        let thread = WorkerThread(name: "weir-worker-number-12") {
            let file = unsafe open("/proc/thread-self/comm", O_RDONLY)
            var bytes = [UInt8](repeating: 0, count: 32)
            let count = unsafe read(file, &bytes, bytes.count)
            close(file)
            let text = String(decoding: bytes.prefix(max(0, count - 1)), as: UTF8.self)
            seen.withLock { $0 = text }
        }
        thread.join()
        thread.join()
        #expect(seen.withLock { $0 } == "weir-worker-num")
    }
}
