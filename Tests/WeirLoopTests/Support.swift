import Glibc
import Testing
import WeirBase

@testable import WeirLoop

/// Runs the loop until something stops it; after ten seconds the test fails instead of hanging.
func runBounded(_ loop: Loop, sourceLocation: SourceLocation = #_sourceLocation) {
    var timedOut = false
    let watchdog = TimerWatcher(loop: loop) { [unowned loop] in
        timedOut = true
        loop.stop()
    }
    watchdog.start(after: .seconds(10))
    loop.run()
    watchdog.cancel()
    #expect(!timedOut, "nothing stopped the loop", sourceLocation: sourceLocation)
}

/// A folder of its own, removed with all that is in it.
final class TemporaryFolder {
    let path: String

    init() {
        var template = Array("/tmp/weir-test-XXXXXX".utf8CString)
        self.path = unsafe template.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress, let made = unsafe mkdtemp(base) else { return "/nonexistent" }
            return unsafe String(cString: made)
        }
    }

    deinit { Self.remove(self.path) }

    private static func remove(_ path: String) {
        if unsafe Glibc.remove(path) == 0 { return }
        guard let handle = unsafe opendir(path) else { return }
        var names: [String] = []
        while let entry = unsafe readdir(handle) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        unsafe closedir(handle)
        for name in names { self.remove(path + "/" + name) }
        _ = unsafe Glibc.remove(path)
    }

    func write(_ name: String, _ text: String) {
        let file = unsafe open("\(self.path)/\(name)", O_CREAT | O_WRONLY | O_TRUNC, 0o600)
        _ = unsafe Glibc.write(file, text, text.utf8.count)
        close(file)
    }

    func rename(_ from: String, to: String) {
        _ = unsafe Glibc.rename("\(self.path)/\(from)", "\(self.path)/\(to)")
    }

    func makeFolder(_ name: String) { _ = unsafe mkdir("\(self.path)/\(name)", 0o700) }

    func link(_ name: String, to target: String) { _ = unsafe symlink(target, "\(self.path)/\(name)") }
}

/// Counts, for closures that escape.
final class Counter { var value = 0 }
