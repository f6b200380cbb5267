import Glibc
import Synchronization
import WeirBase
import WeirLoop
import WeirObserve

/// The way to the log, for every thread. Lines are written to standard error by a thread of their own, so that a reader
/// of the log that is slow never holds up a loop; beyond a bound lines are dropped, counted, and the count is logged.
final class Logger: Sendable {
    /// Lines that may wait for the writer.
    private static let linesMax = 16_384

    private let mailbox = Mailbox<LogLine>(capacity: Logger.linesMax)
    private let threshold: Atomic<Int>
    private let format: LogFormat
    private let thread: Locked<WorkerThread?>
    private let limiter = Locked(LogLimiter())
    private let limited = Atomic<Int>(0)

    /// - Parameter isSilent: nothing is written at all.
    init(level: LogLevel, format: LogFormat, isSilent: Bool = false) {
        self.threshold = Atomic(isSilent ? .max : level.rawValue)
        self.format = format
        self.thread = Locked(nil)
        let mailbox = self.mailbox
        let writer = WorkerThread(name: "weir-log") { LogWriter(mailbox: mailbox).run() }
        self.thread.withLock { $0 = writer }
    }

    var level: LogLevel {
        get { LogLevel(rawValue: self.threshold.load(ordering: .relaxed)) ?? .info }
        set { self.threshold.store(newValue.rawValue, ordering: .relaxed) }
    }

    /// Cheap when the level is off; the fields are not evaluated then.
    func log(_ level: LogLevel, _ message: String, _ fields: @autoclosure () -> [(String, String)] = []) {
        guard level.rawValue >= self.threshold.load(ordering: .relaxed) else { return }
        let record = LogRecord(level, Loop.wallNow(), message, fields())
        self.mailbox.post(.line(self.format.line(record)))
    }

    /// The same for what peers can make happen by the thousand: a storm is cut, and `reportLeftOut` says by how much.
    /// `kind` stands for messages that are the same but for what varies in them; `linesMax` of it are enough in ten seconds
    /// where the usual hundred are too many. Any thread.
    func logOften(
        _ level: LogLevel, _ message: String, kind: String? = nil, linesMax: Int? = nil,
        _ fields: @autoclosure () -> [(String, String)] = []
    ) {
        guard level.rawValue >= self.threshold.load(ordering: .relaxed) else { return }
        let now = Loop.monotonicNow()
        guard self.limiter.withLock({ $0.admits(kind ?? message, now: now, linesMax: linesMax) }) else {
            self.limited.wrappingAdd(1, ordering: .relaxed)
            return
        }
        self.log(level, message, fields())
    }

    /// Lines that were not written: because there were too many of their message, and because the writer was behind.
    var dropped: (limited: Int, queue: Int) {
        (self.limited.load(ordering: .relaxed), self.mailbox.dropped)
    }

    /// To be called a few times a minute at least, by one thread.
    func reportLeftOut(all: Bool = false) {
        let now = Loop.monotonicNow()
        for (message, count) in self.limiter.withLock({ $0.takeLeftOut(now: now, all: all) }) {
            self.log(.warning, "log lines were left out", [("what", message), ("count", String(count))])
        }
    }

    /// Writes what waits and ends the writer; nothing is logged afterwards.
    func close() {
        self.reportLeftOut(all: true)
        self.mailbox.close(after: .end)
        self.thread.withLock { $0 }?.join()
    }
}

private enum LogLine: Sendable {
    case line([UInt8])
    case end
}

/// The writing end, confined to its thread.
private final class LogWriter {
    private let loop = Loop()
    private let mailbox: Mailbox<LogLine>
    private var inbox: Inbox<LogLine>?
    private var reportedDrops = 0

    init(mailbox: Mailbox<LogLine>) { self.mailbox = mailbox }

    func run() {
        self.inbox = Inbox(loop: self.loop, mailbox: self.mailbox) { [unowned self] lines in self.write(lines) }
        self.loop.run()
        self.inbox?.cancel()
    }

    private func write(_ lines: [LogLine]) {
        var bytes: [UInt8] = []
        var isOver = false
        for line in lines {
            switch line {
            case .line(let text): bytes += text
            case .end: isOver = true
            }
        }
        let dropped = self.mailbox.dropped
        if dropped > self.reportedDrops {
            bytes += Array("weir: \(dropped - self.reportedDrops) log lines were dropped\n".utf8)
            self.reportedDrops = dropped
        }
        Self.writeAll(bytes)
        if isOver { self.loop.stop() }
    }

    /// A log that cannot be written is no reason to stop serving.
    private static func writeAll(_ bytes: [UInt8]) {
        var offset = 0
        while offset < bytes.count {
            let written = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.write(2, buffer.baseAddress?.advanced(by: offset), buffer.count - offset)
            }
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { return }
            offset += written
        }
    }
}
