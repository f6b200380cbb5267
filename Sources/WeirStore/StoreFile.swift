import Glibc
import WeirBase

/// Where a store lies, and what was found there.
package enum StoreFile {
    package static let name = "weir.mdb"
    private static let lockName = "weir.lock"

    /// The file of a store that is named by its folder, or by itself.
    package static func path(_ path: String) -> String {
        self.isFolder(path) || !path.hasSuffix(".mdb") && !path.contains(".mdb.") ? path + "/" + self.name : path
    }

    static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    package static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

    /// Bytes of the file; 0 if there is none.
    package static func bytes(_ path: String) -> Int {
        var status = stat()
        return unsafe stat(path, &status) == 0 ? Int(status.st_size) : 0
    }

    /// Makes the folder and those above it that are missing.
    static func makeFolder(_ path: String) throws(StoreError) {
        if self.isFolder(path) { return }
        if let slash = path.lastIndex(of: "/"), slash > path.startIndex { try self.makeFolder(String(path[..<slash])) }
        guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw StoreError(system: errno, "make the folder \(path)")
        }
    }

    /// The lock that one process holds while it writes the store; kept for as long as the descriptor is open.
    static func lock(_ folder: String) throws(StoreError) -> CInt {
        let path = folder + "/" + self.lockName
        let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw StoreError(system: errno, "open \(path)") }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            close(descriptor)
            guard code == EWOULDBLOCK else { throw StoreError(system: code, "lock \(path)") }
            throw StoreError(
                .locked, "another process uses the store in \(folder); each relay needs a folder of its own")
        }
        return descriptor
    }

    private static let magicOffset = 16
    private static let magic: [UInt8] = [0xDE, 0xC0, 0xEF, 0xBE]

    /// What can be said against a file without reading more of it than its head.
    package static func checkHead(_ path: String) throws(StoreError) {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw StoreError(system: errno, "open \(path)") }
        defer { close(descriptor) }
        var head = [UInt8](repeating: 0, count: 20)
        let count = unsafe head.withUnsafeMutableBytes { unsafe pread(descriptor, $0.baseAddress, $0.count, 0) }
        guard count >= 0 else { throw StoreError(system: errno, "read \(path)") }
        guard count == head.count, head[self.magicOffset...].elementsEqual(self.magic) else {
            throw StoreError(.foreign, "\(path) is no store: it does not begin like one")
        }
    }

    /// Renames a file that cannot be used, so that nothing is lost of it. Returns its new name.
    static func setAside(_ path: String, at now: WallTime) throws(StoreError) -> String {
        let stamp = now.rfc3339.filter { $0.isNumber || $0 == "T" }
        var target = "\(path).set-aside-\(stamp)"
        var number = 1
        while self.exists(target) {
            number += 1
            target = "\(path).set-aside-\(stamp)-\(number)"
        }
        guard unsafe rename(path, target) == 0 else { throw StoreError(system: errno, "rename \(path)") }
        _ = unsafe unlink(path + "-lock")
        return target
    }
}
