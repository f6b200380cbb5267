import Glibc
import Synchronization
import WeirBase
import WeirLoop

/// The floor: one thread that writes the same bytes to each of N loopback sockets, one write each, and the processor
/// time it takes. Another thread reads, on a core of its own if one is given. Reports the median of the rounds.
func rawWriteLoop(_ options: Options) throws {
    let count = try options.number("sockets")
    let readersCore = options.optional("readers-core").flatMap { UInt32($0) }
    let size = try options.number("bytes")
    let rounds = max(1, try options.number("rounds", 5))
    let pairs = try SocketPairs(count)
    let received = ReceivedBytes()
    let readers = pairs.readers
    let thread = WorkerThread(name: "reader") {
        if let core = readersCore { WorkerThread.stay(onProcessor: core) }
        readAll(readers, received)
    }
    let chunk = [UInt8](repeating: 7, count: size)
    var times: [Int64] = []
    var walls: [Int64] = []
    for round in 1...rounds {
        let wall = Loop.monotonicNow()
        let before = threadTime()
        for descriptor in pairs.writers { writeAll(descriptor, chunk) }
        times.append(threadTime() - before)
        walls.append((Loop.monotonicNow() - wall).rawValue)
        while received.count.load(ordering: .relaxed) < round * count * size { usleep(500) }
    }
    received.isOver.store(true, ordering: .relaxed)
    thread.join()
    report(
        "raw",
        [
            ("sockets", String(count)), ("bytes", String(size)),
            ("cpu_ms", milliseconds(Nanoseconds(rawValue: times.sorted()[rounds / 2]))),
            ("wall_ms", milliseconds(Nanoseconds(rawValue: walls.sorted()[rounds / 2]))),
        ])
}

private final class ReceivedBytes: Sendable {
    let count = Atomic<Int>(0)
    let isOver = Atomic<Bool>(false)
}

/// Connected loopback TCP sockets.
private struct SocketPairs {
    var writers: [CInt] = []
    var readers: [CInt] = []

    init(_ count: Int) throws {
        let any = try SocketAddress(parsing: "127.0.0.1:0")
        let listener = try Socket.listen(on: any, reusePort: false, backlog: 1024)
        defer { Socket.close(listener) }
        guard let address = Socket.localAddress(listener) else { throw UsageError("no address") }
        for _ in 0..<count {
            self.readers.append(try Socket.connect(to: address))
            while true {
                if let (descriptor, _) = try Socket.accept(listener) {
                    Socket.setNoDelay(descriptor)
                    self.writers.append(descriptor)
                    break
                }
                usleep(50)
            }
        }
    }
}

func threadTime() -> Int64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

func writeAll(_ descriptor: CInt, _ bytes: [UInt8]) {
    var written = 0
    while written < bytes.count {
        let count = unsafe bytes.withUnsafeBytes {
            unsafe write(descriptor, $0.baseAddress.map { unsafe $0 + written }, bytes.count - written)
        }
        if count > 0 {
            written += count
        } else if errno == EAGAIN {
            usleep(20)
        } else if errno != EINTR {
            return
        }
    }
}

private func readAll(_ descriptors: [CInt], _ received: ReceivedBytes) {
    let loop = Loop()
    var buffer = [UInt8](repeating: 0, count: 256 << 10)
    var watchers: [IOWatcher] = []
    for descriptor in descriptors {
        let watcher = IOWatcher(loop: loop, descriptor: descriptor) { _ in
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
            if count > 0 { received.count.add(count, ordering: .relaxed) }
        }
        watcher.interest = .read
        watchers.append(watcher)
    }
    let timer = TimerWatcher(loop: loop) { if received.isOver.load(ordering: .relaxed) { loop.stop() } }
    timer.start(after: .zero, every: .milliseconds(10))
    loop.run()
    timer.cancel()
    for watcher in watchers { watcher.cancel() }
}
