import Glibc
import Testing

/// One Swift file of the repository.
struct SourceFile: Sendable, CustomTestStringConvertible {
    /// From the repository's root, such as `Sources/WeirBase/Instant.swift`.
    let path: String
    /// `Sources` or `Tests`.
    let folder: String
    /// The target it belongs to.
    let module: String
    let lines: [Substring]

    var testDescription: String { self.path }

    /// Modules named by `import` lines, whatever stands before and after the word.
    var imports: [String] {
        self.lines.compactMap { line in
            let words = line.split(separator: "//", omittingEmptySubsequences: false)[0].split(separator: " ")
            guard let place = words.firstIndex(of: "import") else { return nil }
            let before = words[..<place].allSatisfy { importPrefixes.contains($0) || $0.hasPrefix("@") }
            guard before, place + 1 < words.endIndex else { return nil }
            let named = words[words.index(before: words.endIndex)]
            return named.split(separator: ".").first.map(String.init)
        }
    }
}

private let importPrefixes: Set<Substring> = ["package", "public", "internal", "private", "fileprivate", "unsafe"]

/// The repository's root, from where this file lies.
let root = String(#filePath.split(separator: "/").dropLast(3).reduce(into: "") { $0 += "/" + $1 })

/// Every Swift file of Sources and Tests.
let sourceFiles: [SourceFile] = ["Sources", "Tests"].flatMap { folder in
    filesBelow(folder).filter { $0.hasSuffix(".swift") }.map { path in
        SourceFile(
            path: path, folder: folder, module: String(path.split(separator: "/")[1]),
            lines: text(of: path).split(separator: "\n", omittingEmptySubsequences: false))
    }
}

/// The files of the product, without its tests.
let productFiles = sourceFiles.filter { $0.folder == "Sources" }

/// The text of a file of the repository; empty where there is none.
func text(of path: String) -> String {
    guard let file = unsafe fopen("\(root)/\(path)", "r") else { return "" }
    defer { unsafe fclose(file) }
    var bytes: [UInt8] = []
    while true {
        let chunk = unsafe [UInt8](unsafeUninitializedCapacity: 65_536) { buffer, count in
            unsafe count = fread(buffer.baseAddress, 1, buffer.count, file)
        }
        if chunk.isEmpty { break }
        bytes += chunk
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// Paths, from the root, of every file below a folder, sorted. Hidden ones and links are left out.
func filesBelow(_ folder: String) -> [String] {
    guard let directory = unsafe opendir("\(root)/\(folder)") else { return [] }
    defer { unsafe closedir(directory) }
    var paths: [String] = []
    while let entry = unsafe readdir(directory) {
        let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name.hasPrefix(".") { continue }
        let path = "\(folder)/\(name)"
        if unsafe Int32(entry.pointee.d_type) == Int32(DT_DIR) {
            paths += filesBelow(path)
        } else if unsafe Int32(entry.pointee.d_type) == Int32(DT_REG) {
            paths.append(path)
        }
    }
    return paths.sorted()
}
