import Testing

/// What each module of Sources may import. The architecture's picture, as a table: a new arrow is a decision, made here.
private let allowed: [String: Set<String>] = [
    // Pure: no sockets, clock, threads or logs; so no Glibc either.
    "WeirBase": [],
    "WeirHash": ["CXXHash"],
    "WeirGzip": ["CZlib"],
    "WeirRegex": ["CWeirRE2", "WeirBase"],
    "WeirXDS": ["WeirBase"],
    "WeirRules": ["WeirRegex", "WeirXDS", "WeirBase"],
    "WeirEngine": ["WeirHash", "WeirXDS", "WeirBase"],
    // Synchronization: its counters are atomics, bumped by any thread.
    "WeirObserve": ["Synchronization", "WeirBase"],

    // Spans and their encoding, with the wire writer of discovery.
    "WeirTrace": ["WeirXDS", "WeirBase"],

    // Each wraps one C library, and knows none of the others.
    "WeirLoop": ["CEv", "CWeirShims", "Glibc", "Synchronization", "WeirBase"],
    "WeirTLS": ["COpenSSL", "CWeirShims", "Glibc", "WeirBase"],
    "WeirHTTP2": ["Glibc", "CNghttp2", "WeirGzip", "WeirBase"],
    "WeirYAML": ["CYAML", "WeirBase"],
    "WeirProtobuf": ["CWeirProtobuf", "WeirBase"],
    "WeirHTTPClient": ["CCurl", "CWeirShims", "WeirBase"],
    "WeirHTTP1": ["CMicrohttpd", "Glibc", "Synchronization", "WeirBase"],
    // Its records are protobuf messages, written and read with the wire reader and writer of discovery.
    "WeirStore": ["CLMDB", "Glibc", "WeirHash", "WeirXDS", "WeirBase"],
    // The debug endpoint's page, which the compiler puts into a C target.
    "WeirPage": ["CWeirPage", "WeirHash"],

    "WeirTransport": ["Synchronization", "WeirLoop", "WeirTLS", "WeirHTTP2", "WeirBase"],
    "WeirUpstream": [
        "WeirTransport", "WeirEngine", "WeirObserve", "WeirLoop", "WeirTLS", "WeirHTTP2", "WeirXDS", "WeirBase",
    ],
    "WeirConfig": ["Glibc", "WeirYAML", "WeirRules", "WeirRegex", "WeirXDS", "WeirBase"],
    "WeirFiles": ["Glibc", "WeirYAML", "WeirProtobuf", "WeirXDS", "WeirBase"],
    "WeirSnapshots": ["WeirLoop", "WeirEngine", "WeirXDS", "WeirBase"],
    "WeirServer": [
        "Glibc", "Synchronization", "WeirTransport", "WeirUpstream", "WeirConfig", "WeirFiles", "WeirSnapshots",
        "WeirHTTP1",
        "WeirStore", "WeirEngine",
        "WeirHash", "WeirGzip", "WeirObserve", "WeirTrace", "WeirHTTPClient", "WeirPage", "WeirProtobuf", "WeirLoop",
        "WeirTLS", "WeirHTTP2", "WeirRules", "WeirXDS",
        "WeirBase",
    ],
    "weir": ["Glibc", "WeirServer", "WeirHTTPClient", "WeirConfig", "WeirRules", "WeirXDS", "WeirBase"],
    "weir-bench": [
        "Glibc", "Synchronization", "WeirTransport", "WeirHTTP2", "WeirTLS", "WeirLoop", "WeirEngine", "WeirXDS",
        "WeirBase",
    ],
    // What others build on.
    "XDSClient": [
        "WeirUpstream", "WeirTransport", "WeirEngine", "WeirObserve", "WeirLoop", "WeirTLS", "WeirXDS", "WeirBase",
    ],
    "XDSServer": [
        "Glibc", "WeirServer", "WeirSnapshots", "WeirEngine", "WeirConfig", "WeirRules", "WeirFiles", "WeirProtobuf",
        "WeirLoop", "WeirXDS", "WeirBase",
    ],
]

/// Modules that other people's C lies behind, and the one Swift module that may touch each. CWeirShims is the exception:
/// it holds one section of inline functions for each library whose macros need them.
private let libraries = [
    "CEv": "WeirLoop", "CNghttp2": "WeirHTTP2", "COpenSSL": "WeirTLS", "CYAML": "WeirYAML",
    "CMicrohttpd": "WeirHTTP1", "CLMDB": "WeirStore", "CZlib": "WeirGzip", "CXXHash": "WeirHash",
    "CWeirRE2": "WeirRegex",
    "CWeirProtobuf": "WeirProtobuf", "CWeirPage": "WeirPage", "CCurl": "WeirHTTPClient",
]

private let pure: Set<String> = [
    "WeirBase", "WeirHash", "WeirGzip", "WeirRegex", "WeirXDS", "WeirRules", "WeirEngine", "WeirObserve", "WeirTrace",
]

@Suite("Directions of imports")
struct ImportTests {
    @Test("the tree is found")
    func tree() {
        #expect(productFiles.count > 100)
        #expect(sourceFiles.contains { $0.path == "Sources/WeirBase/Instant.swift" && !$0.lines.isEmpty })
        #expect(sourceFiles.contains { $0.path.hasSuffix("ImportTests.swift") && $0.imports == ["Testing"] })
    }

    @Test("every file imports only what its module may", arguments: productFiles)
    func directions(_ file: SourceFile) throws {
        let allowed = try #require(allowed[file.module], "\(file.module) is not in the table of this test")
        let surplus = Set(file.imports).subtracting(allowed).subtracting([file.module])
        #expect(surplus.isEmpty, "\(file.module) may not import \(surplus.sorted()) (\(file.path))")
    }

    @Test("the table itself: pure modules know pure ones and one C library, and each C library has one owner")
    func table() {
        for module in pure {
            let others = (allowed[module] ?? []).filter { !pure.contains($0) && $0 != "Synchronization" }
            #expect(others.allSatisfy { libraries[$0] == module }, "\(module) is pure")
            #expect(others.count <= 1, "\(module) is pure")
        }
        for (library, owner) in libraries {
            let users = allowed.filter { $0.value.contains(library) }.keys.sorted()
            #expect(users == [owner])
        }
        #expect(allowed.filter { $0.value.contains("WeirServer") }.keys.sorted() == ["XDSServer", "weir"])
    }

    @Test("a test may look into the C library of the module it tests, and into no other")
    func testsAboveC() {
        for file in sourceFiles where file.folder == "Tests" {
            let own = file.module.dropLast("Tests".count)
            let others = file.imports.filter { $0 == "CWeirShims" || libraries[$0].map { $0 != own } ?? false }
            #expect(others.isEmpty, "\(file.path) imports \(others)")
        }
    }
}
