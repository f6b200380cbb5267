import Glibc

/// What `stat` says of a file, or of everything in a folder: differs after any change that matters.
struct PathFingerprint: Equatable {
    /// The most files and folders of a tree that are looked at.
    static let entriesMax = 10_000
    static let depthMax = 8

    private struct Entry: Equatable {
        let path: String
        let device: UInt64
        let inode: UInt64
        let size: Int64
        let modified: Int64
        let changed: Int64
    }

    private var entries: [Entry] = []
    private(set) var isFolder = false
    /// Folders in which events mean a change of the path: those of the path and of what it links to, and the tree.
    private(set) var foldersToWatch: Set<String> = []

    init(of path: String) {
        self.foldersToWatch.insert(Self.parent(of: path))
        if let target = Self.resolved(path) { self.foldersToWatch.insert(Self.parent(of: target)) }
        self.isFolder = self.add(path, depth: 0)
    }

    /// Whether it is a folder.
    @discardableResult
    private mutating func add(_ path: String, depth: Int) -> Bool {
        var status = stat()
        guard self.entries.count < Self.entriesMax, unsafe stat(path, &status) == 0 else { return false }
        let isFolder = status.st_mode & S_IFMT == S_IFDIR
        self.entries.append(
            Entry(
                path: path, device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: Int64(status.st_size),
                modified: Self.nanoseconds(status.st_mtim), changed: Self.nanoseconds(status.st_ctim)))
        if isFolder, depth < Self.depthMax {
            self.foldersToWatch.insert(path)
            for name in Self.names(in: path) { self.add(path + "/" + name, depth: depth + 1) }
        }
        return isFolder
    }

    private static func nanoseconds(_ time: timespec) -> Int64 {
        Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
    }

    /// Without hidden names: a Kubernetes volume keeps its generations in them and shows the current one by links.
    private static func names(in folder: String) -> [String] {
        guard let handle = unsafe opendir(folder) else { return [] }
        defer { unsafe closedir(handle) }
        var names: [String] = []
        while names.count < Self.entriesMax, let entry = unsafe readdir(handle) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }

    private static func resolved(_ path: String) -> String? {
        guard let target = unsafe realpath(path, nil) else { return nil }
        defer { unsafe free(target) }
        return unsafe String(cString: target)
    }

    static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
