// swift-tools-version: 6.2
import PackageDescription

// The compiler is told everything: Swift 6 language mode, strict memory safety, warnings are errors, imports are
// internal unless they say otherwise. See docs/architecture.md for the modules and the direction of imports.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
]

func swift(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .testTarget(name: name + "Tests", dependencies: [.target(name: name)] + dependencies, swiftSettings: strict)
}

// What libFuzzer drives (see `make fuzz`): only where it is asked for, as nothing else links the fuzzer's runtime.
let isFuzzing = Context.environment["WEIR_FUZZ"] == "1"
let fuzzTargets: [Target] = [
    .systemLibrary(name: "CLibFuzzer", path: "Tests/CLibFuzzer"),
    .executableTarget(
        name: "weir-fuzz", dependencies: ["CLibFuzzer", "WeirFuzzEntries"], path: "Tests/WeirFuzzDriver",
        swiftSettings: strict),
]

let package = Package(
    name: "weir",
    products: [
        .executable(name: "weir", targets: ["weir"]),
        // For builders of control planes and clients (docs/library.md), thickest first.
        .library(name: "XDSServer", targets: ["XDSServer", "WeirXDS", "WeirBase"]),
        .library(name: "XDSClient", targets: ["XDSClient", "WeirXDS", "WeirBase"]),
        .library(name: "WeirXDS", targets: ["WeirXDS", "WeirBase"]),
    ],
    targets: [
        // C libraries, one system-library target each. libev ships no pkg-config file on Debian.
        .systemLibrary(name: "CEv", providers: [.apt(["libev-dev"])]),
        .systemLibrary(name: "CNghttp2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
        .systemLibrary(name: "CMicrohttpd", pkgConfig: "libmicrohttpd", providers: [.apt(["libmicrohttpd-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "CLMDB", providers: [.apt(["liblmdb-dev"])]),
        .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
        // Without pkg-config: their .pc files carry -pthread, which SwiftPM refuses with a warning at every build.
        .systemLibrary(name: "CRE2", providers: [.apt(["libre2-dev"])]),
        .systemLibrary(name: "CProtobuf", providers: [.apt(["libprotobuf-dev"])]),

        // Shims: one-line inline functions for macros, and C faces for the two C++ libraries. No logic.
        .target(name: "CWeirShims", dependencies: ["CEv", "COpenSSL", "CCurl"]),
        .target(name: "CWeirRE2", dependencies: ["CRE2"], linkerSettings: [.linkedLibrary("re2")]),
        .target(name: "CWeirProtobuf", dependencies: ["CProtobuf"], linkerSettings: [.linkedLibrary("protobuf")]),
        // The files of the debug endpoint's page, which files.c puts into the program.
        .target(name: "CWeirPage", exclude: ["files"]),

        // Pure: no sockets, clock, threads, logs, Foundation.
        swift("WeirBase"),
        swift("WeirHash", ["CXXHash"]),
        swift("WeirGzip", ["CZlib"]),
        swift("WeirRegex", ["CWeirRE2", "WeirBase"]),
        swift("WeirXDS", ["WeirBase"]),
        swift("WeirRules", ["WeirRegex", "WeirXDS", "WeirBase"]),
        swift("WeirEngine", ["WeirHash", "WeirXDS", "WeirBase"]),
        swift("WeirObserve", ["WeirBase"]),
        swift("WeirTrace", ["WeirXDS", "WeirBase"]),

        // I/O and formats: each wraps one C library; siblings do not import each other.
        swift("WeirLoop", ["CEv", "CWeirShims", "WeirBase"]),
        swift("WeirTLS", ["COpenSSL", "CWeirShims", "WeirBase"]),
        swift("WeirHTTP2", ["CNghttp2", "WeirGzip", "WeirBase"]),
        swift("WeirYAML", ["CYAML", "WeirBase"]),
        swift("WeirProtobuf", ["CWeirProtobuf", "WeirBase"]),
        swift("WeirHTTP1", ["CMicrohttpd", "WeirBase"]),
        swift("WeirHTTPClient", ["CCurl", "CWeirShims", "WeirBase"]),
        swift("WeirStore", ["CLMDB", "WeirHash", "WeirXDS", "WeirBase"]),
        swift("WeirPage", ["CWeirPage", "WeirHash"]),

        // Composition.
        swift("WeirTransport", ["WeirLoop", "WeirTLS", "WeirHTTP2", "WeirBase"]),
        swift(
            "WeirUpstream",
            ["WeirTransport", "WeirEngine", "WeirObserve", "WeirLoop", "WeirTLS", "WeirHTTP2", "WeirXDS", "WeirBase"]),
        swift("WeirConfig", ["WeirYAML", "WeirRules", "WeirRegex", "WeirXDS", "WeirBase"]),
        swift("WeirFiles", ["WeirYAML", "WeirProtobuf", "WeirXDS", "WeirBase"]),
        swift("WeirSnapshots", ["WeirLoop", "WeirEngine", "WeirXDS", "WeirBase"]),
        swift(
            "WeirServer",
            [
                "WeirTransport", "WeirUpstream", "WeirConfig", "WeirFiles", "WeirSnapshots", "WeirHTTP1", "WeirStore",
                "WeirEngine", "WeirObserve",
                "WeirProtobuf", "WeirPage", "WeirHTTPClient", "WeirTrace",
                "WeirLoop", "WeirTLS", "WeirHTTP2", "WeirHash", "WeirGzip", "WeirRules", "WeirXDS", "WeirBase",
            ]),
        .executableTarget(
            name: "weir",
            dependencies: ["WeirServer", "WeirHTTPClient", "WeirConfig", "WeirRules", "WeirXDS", "WeirBase"],
            swiftSettings: strict),
        // The benchmark's load client, origin and raw write loop (`make bench`).
        .executableTarget(
            name: "weir-bench",
            dependencies: ["WeirTransport", "WeirHTTP2", "WeirTLS", "WeirLoop", "WeirEngine", "WeirXDS", "WeirBase"],
            swiftSettings: strict),

        // What others build on, and examples of it.
        swift(
            "XDSClient",
            [
                "WeirUpstream", "WeirTransport", "WeirEngine", "WeirObserve", "WeirLoop", "WeirTLS", "WeirXDS",
                "WeirBase",
            ]),
        swift(
            "XDSServer",
            [
                "WeirServer", "WeirSnapshots", "WeirEngine", "WeirConfig", "WeirRules", "WeirFiles", "WeirProtobuf",
                "WeirLoop", "WeirXDS", "WeirBase",
            ]),
        .executableTarget(
            name: "simple-server", dependencies: ["XDSServer", "WeirXDS"], path: "Examples/simple-server",
            swiftSettings: strict),
        .executableTarget(
            name: "simple-client", dependencies: ["XDSClient", "WeirXDS"], path: "Examples/simple-client",
            swiftSettings: strict),

        // Tests.
        tests("WeirBase"),
        tests("WeirRegex"),
        tests("WeirXDS", ["WeirBase"]),
        tests("WeirRules", ["WeirXDS", "WeirBase"]),
        tests("WeirEngine", ["WeirXDS", "WeirBase"]),
        tests("WeirObserve", ["WeirBase"]),
        tests("WeirTrace", ["WeirBase"]),
        tests("WeirLoop", ["WeirBase"]),
        tests("WeirTLS", ["WeirBase"]),
        tests("WeirGzip", ["WeirBase"]),
        tests("WeirHTTP2", ["WeirGzip", "WeirBase"]),
        tests("WeirYAML", ["WeirBase"]),
        tests("WeirProtobuf", ["WeirBase"]),
        tests("WeirHTTP1", ["WeirBase"]),
        tests("WeirHTTPClient", ["WeirHTTP1", "WeirBase"]),
        tests("WeirStore", ["WeirXDS", "WeirBase"]),
        tests("WeirPage"),
        tests("WeirTransport", ["WeirLoop", "WeirTLS", "WeirHTTP2", "WeirBase"]),
        tests("WeirConfig", ["WeirRules", "WeirXDS", "WeirYAML", "WeirBase"]),
        tests("WeirFiles", ["WeirProtobuf", "WeirXDS", "WeirBase"]),
        tests("WeirSnapshots", ["WeirEngine", "WeirXDS", "WeirBase"]),
        tests("WeirServer", ["WeirHTTP1", "WeirStore", "WeirEngine", "WeirLoop", "WeirXDS", "WeirBase"]),
        tests("XDSServer", ["XDSClient", "WeirXDS", "WeirBase"]),
        tests("XDSClient", ["WeirEngine", "WeirXDS", "WeirBase"]),
        .testTarget(name: "WeirCommandTests", dependencies: ["weir", "WeirBase"], swiftSettings: strict),
        .testTarget(name: "WeirTidyTests", dependencies: ["WeirConfig", "WeirBase"], swiftSettings: strict),
        .target(
            name: "WeirFuzzEntries",
            dependencies: [
                "WeirEngine", "WeirConfig", "WeirFiles", "WeirProtobuf", "WeirYAML", "WeirHTTP2", "WeirRules",
                "WeirRegex", "WeirStore", "WeirXDS", "WeirBase",
            ],
            path: "Tests/WeirFuzzEntries", swiftSettings: strict),
        .testTarget(name: "WeirFuzzTests", dependencies: ["WeirFuzzEntries"], swiftSettings: strict),
    ] + (isFuzzing ? fuzzTargets : []),
    cxxLanguageStandard: .cxx17
)
