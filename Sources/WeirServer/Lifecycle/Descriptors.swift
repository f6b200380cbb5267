import Glibc
import WeirConfig
package import WeirProtobuf

/// Where the descriptors of all xDS messages are: where the environment says, or else beside the program, in
/// `../share/weir`, or two folders up, as in a build.
enum DescriptorFile {
    static let name = "xds-descriptors.binpb"

    static var paths: [String] {
        if let path = processEnvironment()["WEIR_DESCRIPTORS"] { return [path] }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = unsafe buffer.withUnsafeMutableBytes { bytes -> Int in
            guard let base = bytes.baseAddress else { return 0 }
            return unsafe readlink("/proc/self/exe", base.assumingMemoryBound(to: CChar.self), bytes.count)
        }
        let program = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
        let folder = program.lastIndex(of: "/").map { String(program[..<$0]) } ?? "."
        return ["\(folder)/\(self.name)", "\(folder)/../share/weir/\(self.name)", "\(folder)/../../\(self.name)"]
    }

    /// The first that can be used, for a command that ends soon.
    static func load() -> DescriptorSet? {
        for path in self.paths {
            if let bytes = ProcessReader.readBytes(path), let descriptors = try? DescriptorSet(bytes: bytes) {
                return descriptors
            }
        }
        return nil
    }
}

/// The descriptors of all xDS messages, from a file or, without one, from where a relay looks for them; nil: there are none.
package func loadDescriptors(_ file: String?) -> DescriptorSet? {
    guard let file = file else { return DescriptorFile.load() }
    return ProcessReader.readBytes(file).flatMap { try? DescriptorSet(bytes: $0) }
}
