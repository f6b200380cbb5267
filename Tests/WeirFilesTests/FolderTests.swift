import Glibc
import Testing
import WeirBase
import WeirProtobuf
import WeirXDS

@testable import WeirFiles

/// What of a folder is read, and what its files may hold.
@Suite struct FolderTests {
    private static let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

    private func descriptors() throws -> DescriptorSet {
        try DescriptorSet(bytes: try FolderReader.read(Self.root + "/.build/xds-descriptors.binpb"))
    }

    private static func cluster(_ name: String) -> String {
        "resources:\n- {\"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: \(name)}\n"
    }

    /// A fresh folder, handed to `body` and removed afterwards.
    private func withFolder(_ body: (String) throws -> Void) throws {
        let path = "/tmp/weir-files-tests-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        try unsafe self.done(mkdir(path, 0o700))
        defer { Self.remove(path) }
        try body(path)
    }

    private struct SystemError: Error { var code: Int32 }

    /// Fails the test when a call to the system failed.
    private func done(_ result: Int32) throws {
        guard result == 0 else { throw SystemError(code: errno) }
    }

    private static func remove(_ path: String) {
        guard let folder = unsafe opendir(path) else { return }
        var names: [String] = []
        while let entry = unsafe readdir(folder) {
            names.append(
                unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                    unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
                })
        }
        unsafe closedir(folder)
        for name in names where name != "." && name != ".." {
            if unsafe unlink("\(path)/\(name)") != 0 { unsafe rmdir("\(path)/\(name)") }
        }
        unsafe rmdir(path)
    }

    private func write(_ text: String, to path: String) throws {
        let file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        guard file >= 0 else { throw SystemError(code: errno) }
        defer { close(file) }
        let bytes = Array(text.utf8)
        let count = unsafe Glibc.write(file, bytes, bytes.count)
        #expect(count == bytes.count)
    }

    @Test("the files of a folder are read by name; dotfiles, other endings, subfolders and pipes are not")
    func whatIsRead() throws {
        let descriptors = try self.descriptors()
        try self.withFolder { folder in
            try self.write(Self.cluster("second"), to: folder + "/b.yaml")
            try self.write(Self.cluster("first"), to: folder + "/a.yml")
            try self.write(Self.cluster("hidden"), to: folder + "/.c.yaml")
            try self.write(Self.cluster("backup"), to: folder + "/d.yaml~")
            try unsafe self.done(mkdir(folder + "/sub.yaml", 0o700))
            try unsafe self.done(mkfifo(folder + "/pipe.yaml", 0o600))
            // As Kubernetes mounts a ConfigMap: the file is a link.
            try self.write(#"{"resources":[]}"#, to: folder + "/..data")
            try unsafe self.done(symlink("..data", folder + "/z.json"))
            switch loadResources(path: folder, descriptors: descriptors) {
            case .loaded(let resources): #expect(resources.map(\.name) == ["first", "second"])
            case .failed(let diagnostics): Issue.record("\(diagnostics)")
            }
        }
    }

    @Test("a pipe named as the path is an error, not a wait without end")
    func pipe() throws {
        let descriptors = try self.descriptors()
        try self.withFolder { folder in
            try unsafe self.done(mkfifo(folder + "/pipe", 0o600))
            guard case .failed(let diagnostics) = loadResources(path: folder + "/pipe", descriptors: descriptors) else {
                Issue.record("loaded")
                return
            }
            #expect(diagnostics.first?.message.contains("regular file") == true)
        }
    }

    @Test("a link to nothing is an error: a file is missing that should be there")
    func brokenLink() throws {
        let descriptors = try self.descriptors()
        try self.withFolder { folder in
            try unsafe self.done(symlink("nothing", folder + "/a.yaml"))
            guard case .failed(let diagnostics) = loadResources(path: folder, descriptors: descriptors) else {
                Issue.record("loaded")
                return
            }
            #expect(diagnostics.first?.place?.file == folder + "/a.yaml")
        }
    }

    @Test("a type without its prefix is an error that shows the whole type URL")
    func prefix() throws {
        var loading = ResourceLoading(descriptors: try self.descriptors())
        let text = "resources:\n- \"@type\": envoy.config.cluster.v3.Cluster\n  name: a\n"
        loading.load(Array(text.utf8), file: "f.yaml")
        guard case .failed(let diagnostics) = loading.result else {
            Issue.record("loaded")
            return
        }
        #expect(diagnostics.count == 1)
        #expect(diagnostics[0].description.hasPrefix("f.yaml:2:"))
        #expect(diagnostics[0].message.contains(XDSType.cds.typeURL))
    }
}
