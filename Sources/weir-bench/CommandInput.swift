import Glibc
import WeirLoop

/// Lines of standard input, on a loop.
final class CommandInput {
    private var watcher: IOWatcher?
    private var partial: [UInt8] = []

    init(_ loop: Loop, onLine: @escaping ([Substring]) -> Void) {
        _ = fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK)
        let watcher = IOWatcher(loop: loop, descriptor: 0) { [unowned self] _ in
            var chunk = [UInt8](repeating: 0, count: 4096)
            let count = unsafe read(0, &chunk, chunk.count)
            if count == 0 || count < 0 && errno != EAGAIN { return loop.stop() }
            self.partial += chunk[..<max(0, count)]
            while let end = self.partial.firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: self.partial[..<end], as: UTF8.self)
                self.partial.removeSubrange(...end)
                onLine(line.split(separator: " "))
            }
        }
        watcher.interest = .read
        self.watcher = watcher
    }
}
