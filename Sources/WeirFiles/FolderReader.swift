import Glibc
import WeirBase

/// Reads the resource files of a path: the file, or the `.yaml`, `.yml` and `.json` files of a folder, by name. Blocks.
///
/// Dotfiles, subfolders, pipes and sockets of a folder are passed over; links are followed, as a mounted Kubernetes
/// ConfigMap consists of links.
enum FolderReader {
    /// The largest file that is read, in bytes.
    static let fileBytesMax = 64 << 20

    struct Failure: Error { var diagnostic: Diagnostic }

    /// The paths of the files, in the order of their names.
    static func files(at path: String) throws(Failure) -> [String] {
        var information = stat()
        guard unsafe stat(path, &information) == 0 else { throw self.failure(path, "cannot be read: \(self.reason)") }
        guard information.st_mode & S_IFMT == S_IFDIR else { return [path] }
        guard let folder = unsafe opendir(path) else { throw self.failure(path, "cannot be read: \(self.reason)") }
        defer { unsafe _ = closedir(folder) }
        var names: [String] = []
        while let entry = unsafe readdir(folder) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            let isResource = [".yaml", ".yml", ".json"].contains { name.hasSuffix($0) }
            if isResource, !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted().map { path.hasSuffix("/") ? path + $0 : "\(path)/\($0)" }.filter(self.mayBeFile)
    }

    /// Whether to read what stands in a folder. A link to nothing stays: its file is missing, and reading it says so.
    private static func mayBeFile(_ path: String) -> Bool {
        var information = stat()
        guard unsafe stat(path, &information) == 0 else { return true }
        return information.st_mode & S_IFMT == S_IFREG
    }

    static func read(_ path: String) throws(Failure) -> [UInt8] {
        // Without O_NONBLOCK the opening of a pipe would wait for somebody who writes to it, for ever.
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw self.failure(path, "cannot be read: \(self.reason)") }
        defer { close(descriptor) }
        var information = stat()
        guard unsafe fstat(descriptor, &information) == 0 else {
            throw self.failure(path, "cannot be read: \(self.reason)")
        }
        guard information.st_mode & S_IFMT == S_IFREG else {
            throw self.failure(path, "cannot be read: it is neither a regular file nor a folder")
        }
        var result: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw self.failure(path, "cannot be read: \(self.reason)") }
            if count == 0 { return result }
            result += chunk[..<count]
            guard result.count <= self.fileBytesMax else {
                throw self.failure(path, "is larger than \(self.fileBytesMax >> 20) MiB")
            }
        }
    }

    private static var reason: String { unsafe String(cString: strerror(errno)) }

    private static func failure(_ path: String, _ text: String) -> Failure {
        Failure(diagnostic: Diagnostic(.error, at: SourcePlace(file: path, line: 1, column: 1), "the file \(text)"))
    }
}
