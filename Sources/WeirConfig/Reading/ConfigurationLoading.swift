package import WeirBase
import WeirRules
import WeirYAML

/// Reads and checks a relay.yaml, its rule file and the presence of the files that it names.
///
/// `environment` is what `${NAME}` takes its values from. The configuration is nil exactly when some diagnostic is an
/// error; all of them come in one run, in file order. Blocks on the disk: not for a loop that serves.
package func loadConfiguration(
    path: String, environment: [String: String]
) -> (configuration: RelayConfiguration?, diagnostics: [Diagnostic]) {
    do {
        return readConfiguration(try readFile(path), path: path, environment: environment)
    } catch {
        return (nil, [Diagnostic(.error, at: nil, "cannot read \"\(path)\": \(error)")])
    }
}

/// The same for a relay.yaml whose bytes are at hand. `path` names it in messages, and its folder is where paths in it
/// begin.
package func readConfiguration(
    _ bytes: [UInt8], path: String, environment: [String: String]
) -> (configuration: RelayConfiguration?, diagnostics: [Diagnostic]) {
    let context = ReadingContext()
    let tree: YAMLNode
    do { tree = try parseYAML(bytes, file: path) } catch { return (nil, error.diagnostics.inOrder(of: path)) }
    let root = EnvironmentSubstitution(environment: environment, context: context).apply(to: tree)
    let configuration = Field(path: "", node: root, context: context).relay(path)
    return (context.hasErrors ? nil : configuration, context.diagnostics.inOrder(of: path))
}

extension Field {
    func relay(_ path: String) -> RelayConfiguration? {
        let known = [
            "downstream", "upstreams", "aggregation", "identity", "cache", "guards", "checks", "admin", "log",
            "tracing",
            "workers",
        ]
        guard let section = self.section(known) else { return nil }
        let folder = folder(of: path)
        let upstreams = section.require("upstreams")?.upstreams(in: folder)
        let names = section["upstreams"]?.node.mapping?.map(\.key) ?? []
        let reader = RulesReader(upstreams: names, folder: folder)
        let aggregation = section.require("aggregation").flatMap { reader.aggregation($0) }
        var relay = RelayConfiguration(
            path: path, upstreams: upstreams ?? [], aggregation: aggregation ?? .rules([]))
        section.read("downstream", into: &relay.downstream) { $0.downstream(in: folder) }
        section.read("identity", into: &relay.identity) { $0.identity(relay.downstream.listeners) }
        section.read("cache", into: &relay.cache) { $0.cache(in: folder) }
        section.read("guards", into: &relay.guards) { $0.guards() }
        section.read("checks", into: &relay.checks) { $0.checks() }
        section.read("admin", into: &relay.admin) { $0.admin(in: folder) }
        section["upstreams"]?.checkAddresses(relay)
        section.read("log", into: &relay.log) { $0.log() }
        section.read("tracing", into: &relay.tracing) { $0.tracing(in: folder) }
        section.read("workers", into: &relay.workers) { $0.integer(0...1_024) }
        return relay
    }

    private func cache(in folder: String) -> CacheConfiguration? {
        guard let section = self.section(["linger", "max_groups", "store", "warm_from", "warm_tls"]) else { return nil }
        var cache = CacheConfiguration()
        section.read("linger", into: &cache.linger) { $0.duration(.period, orZero: true) }
        section.read("max_groups", into: &cache.groupsMax) { $0.integer(1...10_000_000) }
        section.read("warm_from", into: &cache.warmFrom) { $0.nonEmptyList()?.compactMap { $0.address() } }
        section.read("warm_tls", into: &cache.warmTLS) { $0.clientTLS(in: folder) }
        if let tls = section["warm_tls"], section["warm_from"] == nil {
            tls.error("it needs \"warm_from\": without it there is nothing to connect to")
        }
        section.read("store", into: &cache.store) { $0.store(in: folder) }
        return cache
    }

    private func log() -> LogConfiguration? {
        guard let section = self.section(["level", "format"]) else { return nil }
        var log = LogConfiguration()
        section.read("level", into: &log.level) { $0.choice(LogConfiguration.Level.self) }
        section.read("format", into: &log.format) { $0.choice(LogConfiguration.Format.self) }
        return log
    }
}
