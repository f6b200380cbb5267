import Glibc

/// A folder of its own below the system's one for temporary files, gone with the last reference.
final class ScratchFolder {
    let path: String
    private var files: [String] = []

    /// Nil where no folder can be made.
    init?() {
        let parent = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/weir-tidy-XXXXXX".utf8CString)
        let path = unsafe template.withUnsafeMutableBufferPointer { buffer -> String? in
            guard let start = buffer.baseAddress, let made = unsafe mkdtemp(start) else { return nil }
            return unsafe String(cString: made)
        }
        guard let path else { return nil }
        self.path = path
    }

    deinit {
        for file in self.files { unsafe unlink(file) }
        unsafe rmdir(self.path)
    }

    func write(_ name: String, _ text: String) {
        let path = "\(self.path)/\(name)"
        guard let file = unsafe fopen(path, "w") else { return }
        self.files.append(path)
        unsafe fputs(text, file)
        unsafe fclose(file)
    }
}
