import Glibc

/// Why a file cannot be read, in the system's words.
package struct FileError: Error, Hashable, Sendable, CustomStringConvertible {
    package var description: String
}

/// The bytes of a regular file (or of what else can be read to an end), at most `bytesMax`.
package func readFile(_ path: String, bytesMax: Int = 64 << 20) throws(FileError) -> [UInt8] {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileError(description: systemMessage(errno)) }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
        let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
        if count < 0 {
            let code = errno
            if code == EINTR { continue }
            throw FileError(description: systemMessage(code))
        }
        if count == 0 { return bytes }
        guard bytes.count + count <= bytesMax else {
            throw FileError(description: "it has more than \(bytesMax) bytes")
        }
        bytes.append(contentsOf: chunk[..<count])
    }
}

/// Why `path` is no file that can be opened for reading; nil if it is one.
func fileProblem(_ path: String) -> String? {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return systemMessage(errno) }
    defer { close(descriptor) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { return systemMessage(errno) }
    return status.st_mode & S_IFMT == S_IFDIR ? "Is a directory" : nil
}

/// Whether there is anything at `path`.
func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

private func systemMessage(_ code: CInt) -> String {
    guard let text = unsafe strerror(code) else { return "error \(code)" }
    return unsafe String(cString: text)
}

/// The folder part of a path; `.` for a bare name.
package func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// `path` as seen from `folder`; an absolute one stays.
package func resolved(_ path: String, in folder: String) -> String {
    path.hasPrefix("/") || folder == "." ? path : (folder.hasSuffix("/") ? folder : folder + "/") + path
}
