import CWeirShims
import Glibc

/// inotify on a changing set of folders. Confined to its loop.
final class FolderNotifier {
    /// Something happened to a name in a watched folder, or, without a name, to the folder itself.
    struct Event: Hashable {
        let folder: String
        let name: String
    }

    /// Called with what the events of one turn were about.
    var onEvents: ((Set<Event>) -> Void)?

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
        var events: Set<Event> = []
        unsafe withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 8) { buffer in
            while true {
                let count = unsafe Glibc.read(self.descriptor.rawValue, buffer.baseAddress, buffer.count)
                guard count > 0 else { return }
                unsafe self.collect(UnsafeRawBufferPointer(rebasing: buffer[..<count]), into: &events)
            }
        }
        if !events.isEmpty { self.onEvents?(events) }
    }

    /// The end of a watch that was asked for tells of no change.
    private func collect(_ bytes: UnsafeRawBufferPointer, into events: inout Set<Event>) {
        let header = MemoryLayout<inotify_event>.size
        var offset = 0
        while bytes.count - offset >= header {
            let event = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: inotify_event.self)
            let nameCount = min(Int(event.len), bytes.count - offset - header)
            let name = unsafe bytes[(offset + header)..<(offset + header + nameCount)].prefix { $0 != 0 }
            if event.mask != UInt32(IN_IGNORED) {
                events.insert(
                    Event(
                        folder: self.watched[event.wd] ?? "", name: unsafe String(decoding: name, as: UTF8.self)))
            }
            offset += header + nameCount
        }
    }
}
