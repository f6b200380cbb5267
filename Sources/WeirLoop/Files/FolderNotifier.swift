import CWeirShims
import Glibc

/// inotify on a changing set of folders. Confined to its loop.
final class FolderNotifier {
    /// Called with the names that the events of one turn were about.
    var onEvents: ((Set<String>) -> Void)?

    private static let mask = UInt32(
        IN_CLOSE_WRITE | IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF
            | IN_MOVE_SELF)

    private let descriptor: Descriptor
    private var watcher: IOWatcher?
    private var watched: [CInt: String] = [:]

    /// Nil if the kernel grants no more inotify instances.
    init?(loop: Loop) {
        let raw = weir_inotify_open()
        guard raw >= 0 else { return nil }
        self.descriptor = Descriptor(raw)
        let watcher = IOWatcher(loop: loop, descriptor: raw) { [unowned self] _ in self.drain() }
        watcher.interest = .read
        self.watcher = watcher
    }

    deinit { self.cancel() }

    func cancel() {
        self.watcher?.cancel()
        self.watcher = nil
    }

    /// Watches these folders and no others. A folder that was replaced by another of the same name is found anew.
    func watch(_ folders: Set<String>) {
        var now: [CInt: String] = [:]
        for folder in folders {
            let watch = unsafe inotify_add_watch(self.descriptor.rawValue, folder, Self.mask | UInt32(IN_ONLYDIR))
            if watch >= 0 { now[watch] = folder }
        }
        for watch in self.watched.keys where now[watch] == nil {
            _ = inotify_rm_watch(self.descriptor.rawValue, watch)
        }
        self.watched = now
    }

    private func drain() {
        var names: Set<String> = []
        var any = false
        unsafe withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 8) { buffer in
            while true {
                let count = unsafe Glibc.read(self.descriptor.rawValue, buffer.baseAddress, buffer.count)
                guard count > 0 else { return }
                if unsafe Self.collect(UnsafeRawBufferPointer(rebasing: buffer[..<count]), into: &names) { any = true }
            }
        }
        if any { self.onEvents?(names) }
    }

    /// Whether any event tells of a change; the end of a watch that was asked for does not.
    private static func collect(_ events: UnsafeRawBufferPointer, into names: inout Set<String>) -> Bool {
        let header = MemoryLayout<inotify_event>.size
        var offset = 0
        var any = false
        while events.count - offset >= header {
            let event = unsafe events.loadUnaligned(fromByteOffset: offset, as: inotify_event.self)
            let nameCount = min(Int(event.len), events.count - offset - header)
            let name = unsafe events[(offset + header)..<(offset + header + nameCount)].prefix { $0 != 0 }
            if nameCount > 0 { names.insert(unsafe String(decoding: name, as: UTF8.self)) }
            if event.mask != UInt32(IN_IGNORED) { any = true }
            offset += header + nameCount
        }
        return any
    }
}
