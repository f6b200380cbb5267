import Testing
import WeirBase
import WeirConfig

/// Metric names that the sources spell out: quoted words that begin as a metric does.
private let metricNames: [String] = {
    let files = productFiles.filter { $0.module == "WeirObserve" }
    let words = files.flatMap { $0.lines }.flatMap { line in
        line.split(separator: "\"", omittingEmptySubsequences: false).enumerated()
            .filter { $0.offset % 2 == 1 }.map { String($0.element) }
    }
    let names = words.filter { word in
        (word.hasPrefix("weir_") || word.hasPrefix("process_"))
            && word.allSatisfy { $0.isLowercase || $0.isNumber || $0 == "_" }
    }
    return Set(names).sorted()
}()

/// Names of the fields of log lines: the first of a pair that the server's sources spell out in a list of such pairs.
private let logFieldNames: Set<String> = {
    let files = productFiles.filter { $0.module == "WeirServer" || $0.module == "WeirUpstream" }
    // The debug endpoint has such pairs for its answers, too.
    let lines = files.flatMap { file in
        guard file.path.contains("/Admin/") else { return file.lines }
        let calls = file.lines.indices.filter {
            file.lines[$0].contains(".log(") || file.lines[$0].contains(".logOften(")
        }
        return calls.flatMap { file.lines[$0..<min($0 + 7, file.lines.count)] }
    }
    let names = lines.flatMap { line in
        line.split(separator: "(\"", omittingEmptySubsequences: false).adjacentPairs.compactMap { before, after in
            before.isEmpty || before.hasSuffix(" ") || before.hasSuffix("[")
                ? after.firstRange(of: "\", ").map { String(after[..<$0.lowerBound]) } : nil
        }
    }
    return Set(names.filter { name in !name.isEmpty && name.allSatisfy { $0.isLowercase || $0 == "_" } })
}()

extension Array {
    /// Each element but the last, with its follower.
    fileprivate var adjacentPairs: [(Element, Element)] { Array<(Element, Element)>(zip(self, self.dropFirst())) }
}

/// The configurations of relays among the files that come with the project.
private let relayConfigurations = filesBelow("configs").filter { path in
    path.hasSuffix(".yaml") && !path.contains("/invalid/")
        && text(of: path).split(separator: "\n").contains { $0.hasPrefix("upstreams:") }
}

/// A fenced block of a document that begins with a comment that names it: `# relay.yaml` or `# keyer.yaml`.
private struct Example: CustomTestStringConvertible, Sendable {
    let document: String
    let file: String
    let yaml: String
    var testDescription: String { "\(self.document): \(self.yaml.prefix(60))" }
}

private let examples: [Example] = (["README.md"] + filesBelow("docs").filter { $0.hasSuffix(".md") }).flatMap { path in
    let blocks = text(of: path).split(separator: "```", omittingEmptySubsequences: false).enumerated()
    return blocks.compactMap { offset, block -> Example? in
        guard offset % 2 == 1, block.hasPrefix("yaml\n# ") else { return nil }
        let yaml = block.dropFirst("yaml\n".count)
        let file = yaml.dropFirst(2).prefix { $0 != "\n" && $0 != ":" }
        return Example(document: path, file: String(file), yaml: String(yaml))
    }
}

@Suite("Documents say what the program does")
struct DocumentTests {
    @Test("every metric is in the documents")
    func metrics() {
        #expect(metricNames.count > 20)
        let documents = text(of: "docs/operations.md") + text(of: "docs/debug-endpoint.md")
        for name in metricNames {
            #expect(documents.contains("`\(name)") || documents.contains("`\(name){"), "\(name) is not described")
        }
    }

    @Test("every reason to refuse a stream is in the documents, and no other")
    func reasons() {
        let table = text(of: "docs/operations.md").split(separator: "### Reasons of")[1].split(separator: "###")[0]
        let documented = table.split(separator: "\n").filter { $0.hasPrefix("| `") }
            .map { String($0.dropFirst(3).prefix { $0 != "`" }) }
        #expect(documented == RejectionReason.allCases.map(\.rawValue))
    }

    @Test("every field of a log line is in the documents, and no other")
    func logFields() {
        let table = text(of: "docs/operations.md").split(separator: "### Fields of log lines")[1].split(
            separator: "##")[0]
        let documented = table.split(separator: "\n").filter { $0.hasPrefix("| `") }.flatMap { row in
            row.split(separator: "|")[0].split(separator: "`", omittingEmptySubsequences: false).enumerated()
                .filter { $0.offset % 2 == 1 }.map { String($0.element) }
        }
        #expect(logFieldNames.count > 30)
        #expect(Set(documented).symmetricDifference(logFieldNames).sorted() == [])
    }

    @Test("the configurations that come with the project are valid", arguments: relayConfigurations)
    func configurations(_ path: String) throws {
        guard text(of: path).contains("private_key:") || text(of: path).contains("token_file:") else {
            let (configuration, diagnostics) = loadConfiguration(path: "\(root)/\(path)", environment: [:])
            #expect(configuration != nil && diagnostics.isEmpty, "\(diagnostics)")
            return
        }
        // Keys and tokens do not come with the project.
        let folder = try #require(ScratchFolder())
        for name in ["ca.crt", "server.crt", "server.key", "relay.crt", "relay.key", "tokens"] {
            folder.write(name, "")
        }
        folder.write("relay.yaml", text(of: path))
        let (configuration, diagnostics) = loadConfiguration(path: "\(folder.path)/relay.yaml", environment: [:])
        #expect(configuration != nil && diagnostics.isEmpty, "\(diagnostics)")
    }

    @Test("every example of a relay.yaml is valid", arguments: examples.filter { $0.file == "relay.yaml" })
    private func examplesLoad(_ example: Example) throws {
        let folder = try #require(ScratchFolder())
        for name in ["ca.crt", "server.crt", "server.key", "relay.crt", "relay.key", "tokens"] {
            folder.write(name, "")
        }
        for other in examples where other.file != "relay.yaml" { folder.write(other.file, other.yaml) }
        folder.write("relay.yaml", example.yaml)
        let (configuration, diagnostics) = loadConfiguration(
            path: "\(folder.path)/relay.yaml", environment: ["CONTROL_PLANE": "cp:18000"])
        #expect(configuration != nil, "\(diagnostics)")
        #expect(diagnostics.isEmpty, "\(diagnostics)")
    }

    @Test("there are such configurations and examples")
    func presence() {
        #expect(relayConfigurations.contains("configs/minimal.yaml"))
        #expect(relayConfigurations.contains("configs/mtls.yaml"))
        #expect(examples.contains { $0.document == "README.md" && $0.file == "relay.yaml" })
    }
}
