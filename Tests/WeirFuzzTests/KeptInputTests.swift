import Glibc
import Testing
import WeirFuzzEntries

private let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/Tests/Fuzz"

/// An input that is kept in the repository: where a fuzzer begins, or what once was a finding.
private struct KeptInput: CustomTestStringConvertible, Sendable {
    let target: FuzzTarget
    let name: String

    var testDescription: String { "\(self.target.rawValue)/\(self.name)" }

    var bytes: [UInt8]? {
        guard let file = unsafe fopen("\(root)/\(self.testDescription)", "r") else { return nil }
        defer { unsafe fclose(file) }
        return unsafe [UInt8](unsafeUninitializedCapacity: 1 << 20) { buffer, count in
            unsafe count = fread(buffer.baseAddress, 1, buffer.count, file)
        }
    }
}

private func names(in folder: String) -> [String] {
    guard let directory = unsafe opendir(folder) else { return [] }
    defer { unsafe closedir(directory) }
    var names: [String] = []
    while let entry = unsafe readdir(directory) {
        let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        if !name.hasPrefix(".") { names.append(name) }
    }
    return names.sorted()
}

private let keptInputs = FuzzTarget.allCases.flatMap { target in
    names(in: "\(root)/\(target.rawValue)").map { KeptInput(target: target, name: $0) }
}

@Suite("Inputs that are kept for the fuzzers")
struct KeptInputTests {
    @Test("every target has some", arguments: FuzzTarget.allCases)
    func some(_ target: FuzzTarget) { #expect(keptInputs.contains { $0.target == target }) }

    @Test("every folder and every dictionary is that of a target")
    func folders() {
        for name in names(in: root) where name != "run.sh" {
            let target = name.split(separator: ".dict", maxSplits: 1).first.map(String.init) ?? ""
            #expect(FuzzTarget(rawValue: target) != nil, "\(name)")
        }
    }

    @Test("each goes through its target without a finding", arguments: keptInputs)
    private func replay(_ input: KeptInput) throws { try input.target.run(#require(input.bytes)) }
}
